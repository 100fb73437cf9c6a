"""A proof file comes back byte for byte, and each way of being broken is refused with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import ClewError, EvidenceError
from clew.proofs.files import (
    MARKERS,
    Proof,
    file_name,
    list_proof_files,
    parse,
    prompt_of,
    read_proof,
    render,
    write_proof,
)

EXAMPLE = """\
@T
theorem swap[A: Monoid](a: A, b: A) {
    a * b = b * a
} by {
@G
        (a * b) * A.1 = b * a
@H
a * b = b * a
@C
a * b * A.1 != b * a
@P
a * b * A.1 = a * b
a * b * A.1 != b * a
"""

lines = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=30)
    .filter(lambda line: line not in MARKERS)
    .map(str)
)
single_lines = lines.filter(lambda line: line.strip() != "")
sections = st.lists(lines, min_size=1, max_size=4).map("\n".join).filter(lambda text: text.strip() != "")
proofs = st.builds(
    Proof,
    context=st.none() | sections,
    goal=sections,
    premise=st.none() | single_lines,
    counterfactual=single_lines,
    steps=st.lists(single_lines, max_size=4).map(tuple),
)


def test_the_sections_of_a_file_become_the_fields_of_a_proof():
    assert parse(EXAMPLE, "example") == Proof(
        context="theorem swap[A: Monoid](a: A, b: A) {\n    a * b = b * a\n} by {",
        goal="        (a * b) * A.1 = b * a",
        premise="a * b = b * a",
        counterfactual="a * b * A.1 != b * a",
        steps=("a * b * A.1 = a * b", "a * b * A.1 != b * a"),
    )


def test_context_premise_and_steps_may_be_absent():
    proof = parse("@G\nx = x\n@C\nx != x\n@P\n", "example")
    assert proof == Proof(context=None, goal="x = x", premise=None, counterfactual="x != x", steps=())
    assert render(proof) == "@G\nx = x\n@C\nx != x\n@P\n"


def test_a_blank_line_within_the_source_is_kept():
    text = "@T\ntheorem t {\n\n    x = x\n@G\n    x = x\n\n@C\nx != x\n@P\n"
    assert render(parse(text, "example")) == text


def test_the_prompt_is_what_stands_before_the_steps_and_ends_in_the_marker():
    prompt = prompt_of(parse(EXAMPLE, "example"))
    assert prompt.endswith("@C\na * b * A.1 != b * a\n@P\n")
    assert prompt + "a * b * A.1 = a * b\na * b * A.1 != b * a\n" == EXAMPLE


@given(proof=proofs)
def test_every_proof_comes_back_from_its_text(proof: Proof):
    text = render(proof)
    assert text.encode().endswith(b"\n")
    assert parse(text, "drawn") == proof


@given(
    text=st.lists(st.sampled_from([*MARKERS, "x = y", "", "  ", "@X", "@G "]), max_size=9).map("\n".join),
    end=st.booleans(),
)
def test_any_text_either_comes_back_exactly_or_is_refused_in_a_sentence(text: str, end: bool):
    text += "\n" if end else ""
    sentence = None
    try:
        proof = parse(text, "drawn")
    except EvidenceError as error:
        sentence = str(error)
    if sentence is None:
        assert render(proof) == text
    else:
        assert re.fullmatch(r"drawn:[1-9]\d*: [^;]+(; [^;]+)?\.", sentence)


def test_written_files_are_read_back_with_other_alphabets(tmp_path: Path):
    proof = Proof(context=None, goal="∀x. x ≥ 0 🧶", premise=None, counterfactual="x\x0b\u2028 < 0", steps=("é",))
    write_proof(tmp_path / file_name(7), proof)
    assert read_proof(tmp_path / "proof_00007.txt") == proof


BROKEN = {
    "empty": (b"", 1, "the file is empty"),
    "not UTF-8": (b"@G\nx\n@C\n\xff\n@P\n", 4, "0xff is not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf@G\nx\n@C\ny\n@P\n", 1, "byte order mark"),
    "text before the first marker": (b"x\n@G\nx\n@C\ny\n@P\n", 1, "before the first marker"),
    "no goal": (b"@C\ny\n@P\n", 3, "@G is missing"),
    "no counterfactual": (b"@G\nx\n@P\n", 3, "@C is missing"),
    "no proof marker": (b"@G\nx\n@C\ny\n", 4, "@P is missing"),
    "out of order": (b"@C\ny\n@G\nx\n@P\n", 3, "@G stands after @C"),
    "context after goal": (b"@G\nx\n@T\nt\n@C\ny\n@P\n", 3, "@T stands after @G"),
    "twice": (b"@G\nx\n@C\ny\n@P\n@G\nx\n", 6, "@G stands twice, first in line 1"),
    "CRLF": (b"@G\nx\r\n@C\ny\n@P\n", 2, "carriage return"),
    "no final line feed": (b"@G\nx\n@C\ny\n@P\nz = 1", 6, "no line feed"),
    "cut inside a marker": (b"@G\nx\n@C\ny\n@", 5, "no line feed"),
    "goal without lines": (b"@G\n@C\ny\n@P\n", 1, "@G holds nothing"),
    "blank goal": (b"@G\n \n@C\ny\n@P\n", 1, "@G holds nothing"),
    "context without lines": (b"@T\n@G\nx\n@C\ny\n@P\n", 1, "@T holds nothing"),
    "counterfactual of two lines": (b"@G\nx\n@C\ny\nz\n@P\n", 5, "@C holds one line, here 2"),
    "premise of two lines": (b"@G\nx\n@H\np\nq\n@C\ny\n@P\n", 5, "@H holds one line, here 2"),
    "blank step": (b"@G\nx\n@C\ny\n@P\na\n\nb\n", 7, "blank line among the steps"),
}


@pytest.mark.parametrize(("content", "line", "what"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_with_file_line_and_advice(tmp_path: Path, content: bytes, line: int, what: str):
    path = tmp_path / "proof_00000.txt"
    path.write_bytes(content)
    with pytest.raises(EvidenceError) as caught:
        read_proof(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ")
    assert what in message
    assert ";" in message


@pytest.mark.parametrize(
    "change",
    [
        {"goal": " "},
        {"goal": "x\n@C\ny"},
        {"context": ""},
        {"counterfactual": "x\ny"},
        {"premise": "x\ny"},
        {"steps": ("x\ny",)},
        {"steps": ("",)},
        {"steps": ("@P",)},
        {"goal": "x\r"},
        {"goal": "\ud800"},
    ],
)
def test_a_proof_that_no_file_can_hold_cannot_be_made(change: dict[str, Any]):
    whole: dict[str, Any] = {"context": None, "goal": "x", "premise": None, "counterfactual": "y", "steps": ()}
    Proof(**whole)
    with pytest.raises(EvidenceError):
        Proof(**{**whole, **change})


def test_a_folder_is_listed_by_number_and_strays_are_named_and_left_alone(tmp_path: Path):
    for name in ("proof_00002.txt", "proof_100000.txt", "proof_00010.txt", "notes.md", "proof_1.txt.bak", ".hidden"):
        (tmp_path / name).write_text("")
    (tmp_path / "proof_folder.txt").mkdir()
    proofs_found, strays = list_proof_files(tmp_path)
    assert [path.name for path in proofs_found] == ["proof_00002.txt", "proof_00010.txt", "proof_100000.txt"]
    assert [path.name for path in strays] == [".hidden", "notes.md", "proof_1.txt.bak", "proof_folder.txt"]


def test_a_folder_without_proofs_is_refused(tmp_path: Path):
    with pytest.raises(EvidenceError, match=r"There is no folder .*missing"):
        list_proof_files(tmp_path / "missing")
    with pytest.raises(EvidenceError, match=r"holds no proof file"):
        list_proof_files(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "proof_00000.txt").write_text(EXAMPLE)
    with pytest.raises(EvidenceError, match=r"in its subfolders: train\."):
        list_proof_files(tmp_path)
    with pytest.raises(EvidenceError, match=r"is a file; name the folder"):
        list_proof_files(tmp_path / "train" / "proof_00000.txt")


def test_a_missing_file_is_a_sentence(tmp_path: Path):
    with pytest.raises(ClewError, match="There is no such file"):
        read_proof(tmp_path / "proof_00000.txt")
