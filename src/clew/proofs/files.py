"""Proof files: reading, checking and writing. One file holds one goal, its refutation and what surrounds it.

    @T      source lines of the enclosing block, up to the line before the goal (optional)
    @G      the goal's own source lines
    @H      one line: a premise, when the goal is an implication (optional)
    @C      one line: the counterfactual, which is the negated goal that the proof refutes
    @P      the proof, one step a line (there may be none)

UTF-8; every line ends in a line feed; a marker stands alone on its line; the sections come in this order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clew.core import files
from clew.core.errors import EvidenceError

MARKERS = ("@T", "@G", "@H", "@C", "@P")
PROOF_MARKER = "@P\n"
FILE_NAME = re.compile(r"proof_.*\.txt")

_HOLDS = {
    "@T": "the lines of the enclosing block",
    "@G": "the goal",
    "@H": "a premise",
    "@C": "the negated goal",
    "@P": "the steps of the proof",
}
_REQUIRED = ("@G", "@C", "@P")
_ONE_LINE = ("@H", "@C")


@dataclass(frozen=True)
class Proof:
    """One goal with its context, its counterfactual and the steps that refute it.

    Texts carry no final line feed. Raises `EvidenceError` for what no proof file can hold: a blank section, a line
    that is a marker, a carriage return, a lone surrogate, a premise, counterfactual or step of several lines.
    """

    context: str | None
    """Source lines of the enclosing block (`@T`)."""
    goal: str
    """Source lines of the goal, with their indentation (`@G`)."""
    premise: str | None
    """One line (`@H`)."""
    counterfactual: str
    """One line: the negated goal (`@C`)."""
    steps: tuple[str, ...]
    """One line each (`@P`)."""

    def __post_init__(self) -> None:
        for marker, text in _sections_before_proof(self):
            _check_section(text, marker)
            if marker in _ONE_LINE and "\n" in text:
                raise EvidenceError(f"{marker} of a proof holds one line, not several: {text!r}.")
        for step in self.steps:
            _check_section(step, "@P")
            if "\n" in step:
                raise EvidenceError(f"A step of a proof is one line, not several: {step!r}.")


def parse(text: str, where: str | Path) -> Proof:
    """Make a proof from the text of a proof file; `where` names the file in errors.

    `render` gives the same text back. Raises `EvidenceError` as `where:line: what is wrong; what to do`.
    """

    def refuse(line: int, what: str) -> EvidenceError:
        return EvidenceError(f"{where}:{line}: {what}.")

    if not text:
        raise refuse(1, "the file is empty; write the sections @G, @C and @P, or remove the file")
    if text.startswith("\ufeff"):
        raise refuse(1, "a byte order mark stands before the text; save the file as UTF-8 without one")
    if "\r" in text:
        raise refuse(
            text.count("\n", 0, text.index("\r")) + 1,
            "a carriage return; save the file with Unix line ends (a line feed alone)",
        )
    lines = text.split("\n")
    if lines.pop() != "":
        raise refuse(len(lines) + 1, "the last line has no line feed; end it with one (the file may be cut short)")

    sections: dict[str, list[str]] = {}
    starts: dict[str, int] = {}
    current = ""
    for number, line in enumerate(lines, start=1):
        if line in MARKERS:
            if line in sections:
                raise refuse(
                    number, f"{line} stands twice, first in line {starts[line]}; keep one goal and one of each section"
                )
            if current and MARKERS.index(line) < MARKERS.index(current):
                raise refuse(number, f"{line} stands after {current}; put the sections in the order T G H C P")
            current = line
            sections[line], starts[line] = [], number
        elif not current:
            raise refuse(number, f"text stands before the first marker; begin with @T or @G, not {line[:40]!r}")
        else:
            sections[current].append(line)

    for marker in _REQUIRED:
        if marker not in sections:
            raise refuse(len(lines), f"the section {marker} is missing; add it: it holds {_HOLDS[marker]}")
    for marker, content in sections.items():
        if marker != "@P" and not any(line.strip() for line in content):
            raise refuse(starts[marker], f"{marker} holds nothing; write {_HOLDS[marker]} below it")
        if marker in _ONE_LINE and len(content) > 1:
            raise refuse(starts[marker] + 2, f"{marker} holds one line, here {len(content)}; join or remove the rest")
    for number, step in enumerate(sections["@P"], start=starts["@P"] + 1):
        if not step.strip():
            raise refuse(number, "a blank line among the steps of the proof; remove it")
    return Proof(
        context="\n".join(sections["@T"]) if "@T" in sections else None,
        goal="\n".join(sections["@G"]),
        premise=sections["@H"][0] if "@H" in sections else None,
        counterfactual=sections["@C"][0],
        steps=tuple(sections["@P"]),
    )


def render(proof: Proof) -> str:
    """Return the text of the proof file; `parse` gives the same proof back."""
    return prompt_of(proof) + "".join(f"{step}\n" for step in proof.steps)


def prompt_of(proof: Proof) -> str:
    """Return what a model is asked to continue: everything before the steps, and the marker `@P` on its line."""
    return "".join(f"{marker}\n{text}\n" for marker, text in _sections_before_proof(proof)) + PROOF_MARKER


def decode(content: bytes, where: str | Path) -> str:
    """Decode the bytes of a proof file. Raises `EvidenceError` naming the line that is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EvidenceError(
            f"{where}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8."
        ) from error


def read_proof(path: Path) -> Proof:
    """Read and check one proof file. Raises `EvidenceError` naming file and line, `ClewError` if it cannot be read."""
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    return parse(decode(content, path), path)


def write_proof(path: Path, proof: Proof) -> None:
    """Write one proof file, whole or not at all."""
    files.write_text(path, render(proof))


def file_name(number: int) -> str:
    """Name of the proof file with this number, counted from 0: `proof_00042.txt`."""
    return f"proof_{number:05d}.txt"


def list_proof_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the proof files of `folder` in the order of their numbers, and the strays: everything else in it.

    Subfolders are strays. Raises `EvidenceError` for a folder that is missing, is a file, or holds no proof file.
    """
    if files.is_file(folder):
        raise EvidenceError(f"{folder} is a file; name the folder that holds the proof files.")
    if not files.is_folder(folder):
        raise EvidenceError(f"There is no folder {folder}; check the path of the proof files.")
    with files.sentences_for(folder, "list"):
        # Numbers beyond five digits sort after those of five.
        entries = sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name))
    proofs = [path for path in entries if FILE_NAME.fullmatch(path.name) and path.is_file()]
    taken = set(proofs)
    strays = sorted(path for path in entries if path not in taken)
    if not proofs:
        inside = [path.name for path in strays if path.is_dir() and any(path.glob("proof_*.txt"))]
        advice = f" There are some in its subfolders: {', '.join(inside)}." if inside else ""
        raise EvidenceError(f"{folder} holds no proof file (proof_00000.txt, ...); check the path.{advice}")
    return proofs, strays


def _sections_before_proof(proof: Proof) -> list[tuple[str, str]]:
    texts = (proof.context, proof.goal, proof.premise, proof.counterfactual)
    return [(marker, text) for marker, text in zip(MARKERS, texts, strict=False) if text is not None]


def _check_section(text: str, marker: str) -> None:
    if not text.strip():
        raise EvidenceError(f"{marker} of a proof is blank; it holds {_HOLDS[marker]}.")
    if "\r" in text:
        raise EvidenceError(f"{marker} of a proof holds a carriage return; lines end in a line feed alone: {text!r}.")
    for line in text.split("\n"):
        if line in MARKERS:
            raise EvidenceError(f"A line of {marker} is the marker {line}; it would begin another section.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EvidenceError(f"{marker} of a proof holds a lone surrogate, which is no UTF-8: {text!r}.") from error
