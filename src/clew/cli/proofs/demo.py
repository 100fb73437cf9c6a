"""`clew demo`: the main job, small and whole: generate theorems, train, export, prove, compare, draw."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from clew.cli import flags
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, UsageError
from clew.core.files import write_json, write_text

if TYPE_CHECKING:
    from clew.proofs.evaluation.report import ProofReport

HELD_OUT = {"held_out_new": "new theorems", "held_out_longer": "theorems with longer proofs"}


class DemoOptions(flags.Options):
    """Train a small GPT to write proof steps, export it, and prove theorems that it never saw, with and without it."""

    folder: flags.Positional[Path] = Path("demo")
    """Everything goes into a new folder in this one."""
    theorems: int = pydantic.Field(default=5000, ge=200)
    """Theorems to generate and learn from."""
    theories: tuple[str, ...] = ("ring", "commutative_ring", "boolean_algebra")
    """Theories of the theorems; these are the ones that blind search finds hardest."""
    recipe: str = "tactics-demo"
    """Recipe of the model."""
    steps: int = pydantic.Field(default=0, ge=0)
    """Training steps; 0: as the recipe says."""
    prove: int = pydantic.Field(default=25, ge=2)
    """Theorems to prove of each held-out set."""
    seconds: float = pydantic.Field(default=1.0, gt=0)
    """Seconds that a search has for each theorem."""
    proposals: int = pydantic.Field(default=300, ge=1)
    """Lines that a search may have judged for each theorem, in the trial at equal proposals."""
    seed: int = 0
    """The same seed generates the same theorems and trains the same model."""
    as_json: flags.Json = False
    """Print the figures as one JSON document, the last line of stdout."""


@dataclass(frozen=True)
class Demo:
    """What a demo made."""

    folder: Path
    bundle: Path
    plot: Path
    reports: dict[str, ProofReport]
    """Report of each held-out set: "held_out_new", "held_out_longer"."""

    def figures(self) -> dict[str, dict[str, Any]]:
        """The headline figures of each held-out set."""
        return {name: _figures(report) for name, report in self.reports.items()}


def main(arguments: list[str]) -> int:
    """Run `clew demo`."""
    options = flags.parse(DemoOptions, arguments, program="clew demo")
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    made = demo(**{key: value for key, value in options if key != "as_json"}, say=say)
    say("done")
    print(_table(made.figures(), options))
    print(f"bundle: {made.bundle}\nplot:   {made.plot}\nreports: {made.folder}/held_out_*.md")
    if options.as_json:
        print_json({"folder": str(made.folder), "seconds": round(time.monotonic() - began, 1), **made.figures()})
    return EXIT_DONE


def demo(
    folder: Path | str = "demo",
    *,
    theorems: int = 5000,
    theories: Sequence[str] = DemoOptions.model_fields["theories"].default,
    recipe: str = "tactics-demo",
    steps: int = 0,
    prove: int = 25,
    seconds: float = 1.0,
    proposals: int = 300,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Demo:
    """Generate theorems, train, export, prove held-out ones with and without the model, draw: in a new folder in
    `folder`. The arguments are the flags of `clew demo`; `say` is told what goes on.

    Raises `UsageError` for a recipe that is of no proof-step model, and what each part raises.
    """
    from clew import recipes

    chosen = recipes.load(recipe)
    if chosen.objective != "next_token":
        raise UsageError(f"The demo trains a proof-step model, and {recipe} is a recipe of {chosen.objective}.")
    place = Path(folder) / f"{datetime.now():%Y-%m-%d-%H-%M-%S}"
    corpus = place / "proofs"
    say(f"generating {theorems:,} theorems with proofs -> {corpus}")
    from clew.proofs.corpus_maker import generate_corpus

    generate_corpus(corpus, theorems=theorems, seed=seed, theories=theories)
    say(f"training {recipe}")
    bundle = _train_and_export(chosen, place, steps, seed, say)
    say("proving held-out theorems, by enumeration and with the model")
    from clew.proofs.evaluation.plot import draw_guidance
    from clew.proofs.evaluation.report import evaluate, markdown

    budget: dict[str, Any] = {"proposals": proposals, "seconds": seconds, "temperature": 0.6, "max_tokens": 64}
    reports = {
        name: evaluate(bundle, corpus / name, split="all", limit=prove, seed=seed, **budget) for name in HELD_OUT
    }
    plot = place / "guidance.png"
    draw_guidance({HELD_OUT[name]: report.guidance for name, report in reports.items() if report.guidance}, plot)
    for name, report in reports.items():
        write_text(place / f"{name}.md", markdown(report))
        write_json(place / f"{name}.json", report.as_json())
    return Demo(place, bundle, plot, reports)


def _train_and_export(recipe: Any, folder: Path, steps: int, seed: int, say: Callable[[str], None]) -> Path:
    from clew.export.publish import export_gpt
    from clew.export.source import default_folder, find_source, verdict
    from clew.training import launch

    data = recipe.data.model_copy(update={"data_dir": str(folder / "proofs" / "train")})
    plan = recipe.training.model_copy(update={"max_steps": steps or recipe.training.max_steps})
    recipe = recipe.model_copy(update={"seed": seed, "data": data, "training": plan})
    run, _ = launch.train(recipe, folder / "runs", say=say)
    say("exporting and comparing the bundle with torch")
    bundle = default_folder(recipe.name, folder / "export")
    say(f"verified: {verdict(export_gpt(find_source(str(run.folder)), bundle)['parity'])}")
    return bundle


def _figures(report: ProofReport) -> dict[str, Any]:
    guidance = report.guidance
    assert guidance is not None  # generated files state theorems of ours
    seconds, proposals = guidance.equal_seconds, guidance.equal_proposals
    return {
        "bits_per_byte": report.bits_per_byte.value,
        "theorems": guidance.theorems,
        "proved_without_model": seconds["enumeration"].successes,
        "proved_with_model": seconds["model"].successes,
        "proved_without_model_equal_proposals": proposals["enumeration"].successes,
        "proved_with_model_equal_proposals": proposals["model"].successes,
        "proved_by_both": guidance.gain.cases if guidance.gain else 0,
        "guidance_gain": guidance.gain.geometric_mean if guidance.gain else None,
    }


def _table(figures: dict[str, dict[str, Any]], options: DemoOptions) -> str:
    def times(each: dict[str, Any]) -> str:
        return f"{each['proved_with_model'] / max(1, each['proved_without_model']):.1f}"

    rows = [
        ("bits per byte", "bits_per_byte", "{:.3f}"),
        ("theorems tried", "theorems", "{}"),
        (f"proved in {options.seconds:g} s each, without the model", "proved_without_model", "{}"),
        (f"proved in {options.seconds:g} s each, with the model", "proved_with_model", "{}"),
        (f"proved in {options.proposals} proposals, without", "proved_without_model_equal_proposals", "{}"),
        (f"proved in {options.proposals} proposals, with", "proved_with_model_equal_proposals", "{}"),
        ("theorems that both prove", "proved_by_both", "{}"),
        ("guidance gain: their proposals, without/with", "guidance_gain", "{:.1f}"),
    ]
    lines = [f"{'':<44}" + "".join(f"{HELD_OUT[name]:>30}" for name in figures)]
    for title, key, form in rows:
        cells = ("-" if each[key] is None else form.format(each[key]) for each in figures.values())
        lines.append(f"{title:<44}" + "".join(f"{cell:>30}" for cell in cells))
    lines.insert(
        5, f"{'times as many with the model':<44}" + "".join(f"{times(each):>30}" for each in figures.values())
    )
    return "\n".join(lines)
