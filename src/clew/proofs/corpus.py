"""A folder of proof files as one corpus, and its split into training and validation files.

Neighbouring goals of one theorem share context, goal or whole proof, so a split by file flatters the model. Ours
holds out whole groups of files and counts what leaks all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clew.core import files, randomness
from clew.core.errors import EvidenceError
from clew.proofs.files import Proof, decode, list_proof_files, parse


@dataclass(frozen=True)
class Corpus:
    """The proofs of one folder, in the order of their file numbers."""

    folder: Path
    names: tuple[str, ...]
    r"""File names; a byte that is no UTF-8 stands as `\xff`."""
    texts: tuple[str, ...]
    """Whole text of each file."""
    proofs: tuple[Proof, ...]
    """The same, parsed."""
    total_bytes: int
    """Bytes of all the proof files."""
    strays: tuple[str, ...]
    """Names of what else the folder holds, left alone."""
    fingerprint: str
    """SHA-256 over the names and content hashes of the proof files, in order."""

    def __len__(self) -> int:
        return len(self.names)

    def stray_notice(self) -> str | None:
        """A line that names what was left alone, the first five by name; None where there was nothing else."""
        if not self.strays:
            return None
        more = f" and {len(self.strays) - 5:,} more" if len(self.strays) > 5 else ""
        return f"left alone, no proof files: {', '.join(self.strays[:5])}{more}"


@dataclass(frozen=True)
class Leakage:
    """How many of the validation files have a relative among the training files."""

    validation_files: int
    same_head_line: int
    """Files in a block whose head line (the first of `@T`) also heads a block of a training file."""
    same_goal: int
    """Files with the goal and counterfactual (`@G`, `@C`) of a training file."""
    exact_copies: int
    """Files equal to a training file."""

    def shares(self) -> dict[str, float]:
        """The three counts as shares of the validation files, 0 to 1."""
        counts = {
            "same_head_line": self.same_head_line,
            "same_goal": self.same_goal,
            "exact_copies": self.exact_copies,
        }
        return {name: count / self.validation_files for name, count in counts.items()}

    def describe(self) -> list[str]:
        """The shares as lines for a reader."""
        share = self.shares()
        return [
            f"of {self.validation_files:,} held-out files share with a training file: the theorem's head line "
            f"{share['same_head_line']:.1%}, goal and counterfactual {share['same_goal']:.1%}, "
            f"everything {share['exact_copies']:.1%}"
        ]


@dataclass(frozen=True)
class Split:
    """Indices into a corpus, each part in ascending order, and what leaks between them."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    leakage: Leakage


def read_corpus(folder: Path) -> Corpus:
    """Read and check every proof file of `folder`; subfolders are not entered.

    Raises `EvidenceError` naming file and line of the first broken file, and how many more there are.
    """
    paths, strays = list_proof_files(folder)
    texts: list[str] = []
    proofs: list[Proof] = []
    hashes: list[tuple[str, str]] = []
    total_bytes = 0
    broken: list[EvidenceError] = []
    for path in paths:
        with files.sentences_for(path, "read"):
            content = path.read_bytes()
        try:
            text = decode(content, path)
            proofs.append(parse(text, path))
        except EvidenceError as error:
            broken.append(error)
            continue
        texts.append(text)
        hashes.append((files.printable(path.name), files.sha256_of(content)))
        total_bytes += len(content)
    if broken:
        more = f" {len(broken) - 1} more of the {len(paths)} files are broken." if len(broken) > 1 else ""
        raise EvidenceError(f"{broken[0]}{more}")
    return Corpus(
        folder=folder,
        names=tuple(files.printable(path.name) for path in paths),
        texts=tuple(texts),
        proofs=tuple(proofs),
        total_bytes=total_bytes,
        strays=tuple(files.printable(path.name) for path in strays),
        fingerprint=files.sha256_of(files.canonical_json(hashes)),
    )


def theorem_of(proof: Proof) -> str:
    """What names the theorem that a goal belongs to: the head line of its block, or the goal where it has none."""
    return proof.goal if proof.context is None else proof.context.split("\n", 1)[0]


def split_by_theorem(corpus: Corpus, fraction: float, seed: int) -> Split:
    """Hold out about `fraction` of the files, by groups that share a theorem or a goal with its counterfactual.

    So no validation file has the head line, the goal or the copy of a training file. Groups are drawn in an order
    keyed by `seed` and their text; one that would overfill the share stays in training.
    Raises `EvidenceError` for a corpus that is one group: nothing can be held out of it.
    """
    _check_splits(corpus, fraction)
    groups = _groups(corpus)
    if len(groups) < 2:
        raise EvidenceError(
            f"The {len(corpus)} proof files of {corpus.folder} belong to one theorem, so none can be held out. "
            "Add proofs of other theorems."
        )

    def position(group: Sequence[int]) -> int:
        # The name depends on the group's text and not on its place, so files added later move few of the others.
        return randomness.key(seed, "validation theorem", min(theorem_of(corpus.proofs[index]) for index in group))

    wanted = min(len(corpus) - 1, max(1, round(fraction * len(corpus))))
    held_out: list[int] = []
    for group in sorted(groups, key=position):
        if len(held_out) + len(group) <= wanted:
            held_out += group
    # Every group is larger than the share, so the smallest comes nearest to it.
    return _split(corpus, held_out or min(groups, key=lambda group: (len(group), position(group))))


def split_by_file(corpus: Corpus, fraction: float, seed: int) -> Split:
    """Hold out `fraction` of the files, each drawn by itself: the usual split, here to show what it leaks."""
    _check_splits(corpus, fraction)
    wanted = min(len(corpus) - 1, max(1, round(fraction * len(corpus))))
    order = randomness.generator(seed, "validation files").permutation(len(corpus))
    return _split(corpus, [int(index) for index in order[:wanted]])


def measure_leakage(corpus: Corpus, train: Sequence[int], validation: Sequence[int]) -> Leakage:
    """Count the validation files that share a head line, a goal or everything with a training file."""

    def shared(feature: Callable[[int], Hashable | None]) -> int:
        known = {feature(index) for index in train} - {None}
        return sum(feature(index) in known for index in validation)

    return Leakage(
        validation_files=len(validation),
        same_head_line=shared(lambda index: theorem_of(corpus.proofs[index])),
        same_goal=shared(lambda index: _goal_of(corpus.proofs[index])),
        exact_copies=shared(lambda index: corpus.texts[index]),
    )


def _check_splits(corpus: Corpus, fraction: float) -> None:
    if not 0 < fraction < 1:
        raise EvidenceError(f"The share of held-out files must lie between 0 and 1, not at {fraction}.")
    if len(corpus) < 2:
        raise EvidenceError(
            f"{corpus.folder} holds one proof file, so none can be held out. Add proofs of other theorems."
        )


def _split(corpus: Corpus, held_out: Sequence[int]) -> Split:
    validation = tuple(sorted(held_out))
    train = tuple(sorted(set(range(len(corpus))) - set(validation)))
    return Split(train=train, validation=validation, leakage=measure_leakage(corpus, train, validation))


def _goal_of(proof: Proof) -> tuple[str, str]:
    return proof.goal, proof.counterfactual


def _groups(corpus: Corpus) -> list[list[int]]:
    """Connected components of the files under "same theorem" and "same goal and counterfactual" (union-find)."""
    parent = list(range(len(corpus)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[Hashable, int] = {}
    for index, proof in enumerate(corpus.proofs):
        for feature in (theorem_of(proof), _goal_of(proof)):
            parent[root(index)] = root(first.setdefault(feature, index))
    components: dict[int, list[int]] = {}
    for index in range(len(corpus)):
        components.setdefault(root(index), []).append(index)
    return list(components.values())
