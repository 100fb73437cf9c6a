"""The judge: a certificate is accepted when each line is justified and together they contradict the negated goal.

A line is justified when it is an instance of a law of the theory, or follows from the negated goal and the lines
before it by congruence. Generator and search are judged by this file, and it knows neither of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clew.core.errors import ClewError
from clew.core.files import is_folder, sentences_for
from clew.proofs.congruence import CongruenceClosure
from clew.proofs.files import Proof, list_proof_files, read_proof
from clew.proofs.terms import Equation, TermSyntaxError, parse_equation
from clew.proofs.theorems import StatementError, Theorem, fault_of, read_theorem


@dataclass(frozen=True)
class Verdict:
    """Whether a proof file is accepted; if not, the first line at fault (counted from 1) and why."""

    accepted: bool
    line: int = 0
    reason: str = ""


class Derivation:
    """What follows from the negation of a theorem's goal and the lines that were taken so far."""

    def __init__(self, theorem: Theorem) -> None:
        self.theorem = theorem
        self.closure = CongruenceClosure()
        self.closure.add(theorem.goal.left)
        self.closure.add(theorem.goal.right)
        # Disequations add nothing that the negated goal does not hold: a line s != t is only taken where s = t
        # would give the goal itself.

    @property
    def contradictory(self) -> bool:
        """Whether the lines taken so far give the goal, which contradicts its negation."""
        return self.closure.equal(self.theorem.goal.left, self.theorem.goal.right)

    def copy(self) -> Derivation:
        """An independent derivation in the same state."""
        other = Derivation(self.theorem)
        other.closure = self.closure.copy()
        return other

    def objection(self, line: Equation) -> str | None:
        """Why `line` may not be taken, as a sentence without its full stop; None when it may."""
        fault = fault_of(line, self.theorem.theory, self.theorem.variables)
        if fault is not None:
            return fault
        if line.holds and line.left is line.right:
            return f"'{line}' says nothing: its sides are the same term"
        if line.holds:
            if self.theorem.theory.law_of(line) is not None or self.follows(line):
                return None
            return (
                f"'{line}' is no instance of a law of the theory {self.theorem.theory.name} and does not follow "
                f"from the lines before it"
            )
        supposed = self.copy()
        supposed.closure.merge(line.left, line.right)
        return None if supposed.contradictory else f"'{line}' does not follow from the lines before it"

    def follows(self, equation: Equation) -> bool:
        """Whether the equations taken so far give this one by congruence alone."""
        return self.closure.equal(equation.left, equation.right)

    def take(self, line: Equation) -> None:
        """Add a line to which there is no objection. Nothing is checked here."""
        if line.holds:
            self.closure.merge(line.left, line.right)


def check(proof: Proof) -> Verdict:
    """Judge a proof file. The verdict's line is counted in the file that `files.render` gives."""
    try:
        theorem = read_theorem(proof)
    except StatementError as refusal:
        return Verdict(False, _line_of(proof, refusal.section), f"{str(refusal).rstrip('.')}.")
    derivation = Derivation(theorem)
    first = _line_of(proof, "@P")
    for number, step in enumerate(proof.steps, start=first):
        try:
            line = parse_equation(step)
        except TermSyntaxError as refusal:
            return Verdict(False, number, str(refusal))
        objection = derivation.objection(line)
        if objection is not None:
            return Verdict(False, number, f"{objection}.")
        derivation.take(line)
    if not derivation.contradictory:
        last = max(first - 1, first + len(proof.steps) - 1)
        return Verdict(False, last, f"the lines end without contradicting '{theorem.goal.negated()}'.")
    return Verdict(True)


def check_file(path: Path) -> Verdict:
    """Judge the proof file `path`; one that is no proof file is refused as well. Raises `ClewError` if unreadable."""
    try:
        return check(read_proof(path))
    except ClewError as error:
        # The reader's sentence begins with the file and the line, which the verdict carries apart.
        line, _, sentence = str(error).removeprefix(f"{path}:").partition(": ")
        if line.isdigit() and sentence:
            return Verdict(False, int(line), sentence)
        raise


@dataclass(frozen=True)
class Judged:
    """What became of the proof files of a folder."""

    checked: int
    refused: dict[Path, Verdict]
    """The files that were refused, each with its first fault."""


def check_folder(folder: Path | str) -> Judged:
    """Judge every proof file in `folder` and in the folders in it. Raises `EvidenceError` where there is none."""
    folder = Path(folder)
    with sentences_for(folder, "list"):
        inside = sorted(folder.glob("*/")) if is_folder(folder) else []
        parts = [path for path in (folder, *inside) if any(path.glob("proof_*.txt"))]
    paths = [path for part in parts or [folder] for path in list_proof_files(part)[0]]
    verdicts = {path: check_file(path) for path in paths}
    return Judged(len(paths), {path: verdict for path, verdict in verdicts.items() if not verdict.accepted})


def _line_of(proof: Proof, section: str) -> int:
    """Line of the file on which the content of `section` begins, counted from 1."""
    line = 2
    sections = {"@T": proof.context, "@G": proof.goal, "@H": proof.premise, "@C": proof.counterfactual}
    for marker, text in sections.items():
        if marker == section:
            break
        if text is not None:
            line += 2 + text.count("\n")
    return line
