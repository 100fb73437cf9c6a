"""Writes a corpus of generated theorems: a training set and two held-out sets, the same bytes for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import ClewError, UsageError
from clew.proofs.files import file_name, render
from clew.proofs.generator import TASTES, Generated, generate
from clew.proofs.theorems import theorem_key
from clew.proofs.theories import theory_named

TRAIN, HELD_OUT_NEW, HELD_OUT_LONGER = "train", "held_out_new", "held_out_longer"
SETS = (TRAIN, HELD_OUT_NEW, HELD_OUT_LONGER)
MANIFEST = "manifest.json"
MANIFEST_FORMAT = "clew-proof-corpus-1"

LONGER_BY = 4
"""Lines by which the longest held-out proofs exceed the longest of training."""
_DRAWS_PER_THEOREM = 60
_DRAWS_AT_LEAST = 2000


def generate_corpus(
    folder: Path,
    *,
    theorems: int = 5000,
    seed: int = 0,
    theories: Sequence[str] = (),
    max_steps: int = 8,
    held_out: int = 200,
    tick: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Write `folder`/{train,held_out_new,held_out_longer}/proof_NNNNN.txt and manifest.json; return the manifest.

    `theorems` in training with proofs of 2 to `max_steps` lines; `held_out` more of the same kind that equal none of
    them up to renaming and symmetry; up to `held_out` whose shortest known proofs are longer. `theories` (): all.
    `tick` is called with the number of training and new theorems that exist. Raises `UsageError` for wrong counts
    and names, `ClewError` when `folder` is in use or the theories hold too few theorems.
    """
    names = tuple(dict.fromkeys(theory_named(name).name for name in theories)) or tuple(TASTES)
    for value, name, lowest in ((theorems, "theorems", 1), (held_out, "held-out", 0), (max_steps, "max-steps", 2)):
        if value < lowest:
            raise UsageError(f"--{name} is {value}; it must be at least {lowest}.")
    if files.is_folder(folder) and not any(folder.iterdir()):
        with files.sentences_for(folder, "replace the empty folder"):
            folder.rmdir()
    with files.whole_folder(folder) as temporary:
        made = _make(theorems, seed, names, max_steps, held_out, tick)
        manifest = _manifest(made, seed=seed, theories=names, max_steps=max_steps)
        with files.sentences_for(folder, "write the proof files of"):
            for name in SETS:
                (temporary / name).mkdir(mode=files.FOLDER_MODE)
                for number, generated in enumerate(made[name]):
                    (temporary / name / file_name(number)).write_bytes(_text(generated).encode("utf-8"))
        files.write_json(temporary / MANIFEST, manifest)
    return manifest


def _make(
    theorems: int, seed: int, names: tuple[str, ...], max_steps: int, held_out: int, tick: Callable[[int], None]
) -> dict[str, list[Generated]]:
    """Draw theorem after theorem until every set is full, or the draws bring nothing new for too long."""
    made: dict[str, list[Generated]] = {name: [] for name in SETS}
    seen: set[str] = set()
    # Every so many theorems one is held out, so that both sets are of one distribution.
    every = (theorems + held_out) / held_out if held_out else float("inf")
    index = accepted = 0
    limit = _DRAWS_AT_LEAST + _DRAWS_PER_THEOREM * (theorems + held_out)
    while index < limit and (accepted < theorems + held_out or len(made[HELD_OUT_LONGER]) < held_out):
        generated = generate(seed, index, names, max_steps + LONGER_BY)
        index += 1
        if generated is None:
            continue
        is_longer = len(generated.steps) > max_steps
        if len(made[HELD_OUT_LONGER]) >= held_out if is_longer else accepted >= theorems + held_out:
            continue
        key = theorem_key(generated.theorem)
        if key in seen:
            continue
        seen.add(key)
        if is_longer:
            made[HELD_OUT_LONGER].append(generated)
            continue
        accepted += 1
        tick(accepted)
        is_new = len(made[HELD_OUT_NEW]) < int(accepted / every)
        made[HELD_OUT_NEW if is_new else TRAIN].append(generated)
    if accepted < theorems + held_out:
        raise ClewError(
            f"Only {accepted} different theorems with proofs of up to {max_steps} lines came up in {', '.join(names)}, "
            f"and {theorems + held_out} were asked for. Ask for fewer, for longer proofs, or for more theories."
        )
    return made


def _manifest(
    made: dict[str, list[Generated]], *, seed: int, theories: tuple[str, ...], max_steps: int
) -> dict[str, Any]:
    """What the corpus was made with and what it holds. No time, no place: the same seed gives the same manifest."""
    return {
        "format": MANIFEST_FORMAT,
        "seed": seed,
        "theories": list(theories),
        "max_steps": max_steps,
        "sets": {
            name: {
                "theorems": len(generated),
                "by_theory": _counts(each.theorem.theory.name for each in generated),
                "by_length": _counts(str(length) for length in sorted(len(each.steps) for each in generated)),
                "sha256": files.sha256_of("".join(_text(each) for each in generated)),
            }
            for name, generated in made.items()
        },
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values))


def _text(generated: Generated) -> str:
    return render(generated.theorem.to_proof(generated.steps))
