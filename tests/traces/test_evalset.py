"""Eval sets: what is read is what is there, and what is wrong is told with file, line and column."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import EvidenceError, UsageError
from clew.core.files import sha256_of
from clew.traces.evalset import Question, lines_of, read_evalset, write_evalset

GOOD = '{"id": "a", "prompt": "1 + 1?", "expected_answer": "2"}'


def written(tmp_path, content):
    path = tmp_path / "eval.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_questions_are_read_in_order_with_all_that_they_have(tmp_path):
    full = {"id": "b", "prompt": "p", "expected_answer": "x", "category": "c", "difficulty": 3, "section": "s"}
    path = written(tmp_path, f"{GOOD}\n{json.dumps(full)}\n")
    found = read_evalset(path)
    assert [question.id for question in found] == ["a", "b"]
    assert found[0] == Question(id="a", prompt="1 + 1?", expected_answer="2")
    assert found[1].model_dump() == full | {"difficulty": "3"}
    assert (len(found), found.sha256, found.path) == (2, sha256_of(path.read_bytes()), str(path))


def test_a_byte_order_mark_other_line_ends_and_blank_lines_change_nothing(tmp_path):
    other = GOOD.replace('"a"', '"b"')
    plain = read_evalset(written(tmp_path, f"{GOOD}\n{other}\n")).questions
    assert read_evalset(written(tmp_path, f"\ufeff{GOOD}\r\n\r\n{other}\r\n")).questions == plain
    assert read_evalset(written(tmp_path, f"{GOOD}\n\n{other}")).questions == plain


def test_prompts_that_come_twice_are_counted(tmp_path):
    lines = [GOOD, GOOD.replace('"a"', '"b"'), GOOD.replace('"a"', '"c"')]
    assert read_evalset(written(tmp_path, "\n".join(lines))).repeated_prompts == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "b", "prompt": }', ":2:23: this is no JSON"),
        ("[1]", ":2: a line is an object"),
        ('{"id": "b", "prompt": "p"}', ":2: expected_answer is missing"),
        ('{"id": "b", "prompt": "p", "expected_answer": ""}', ":2: expected_answer: it is empty"),
        ('{"id": "b", "prompt": "p", "expected_answer": " \\n"}', ":2: expected_answer: it is empty"),
        ('{"id": "b", "prompt": "p", "expected_answer": null}', ":2: expected_answer: input should be a valid string"),
        ('{"id": "b", "prompt": "", "expected_answer": "x"}', ":2: prompt: it is empty"),
        ('{"id": 7, "prompt": "p", "expected_answer": "x"}', ":2: id: input should be a valid string"),
        ('{"id": "b", "prompt": "p", "expected_anwser": "x"}', "Did you mean 'expected_answer'?"),
        ('{"id": "a", "prompt": "p", "expected_answer": "x"}', ":2: the id 'a' stands in line 1 as well"),
        ('{"id": "b", "id": "c", "prompt": "p", "expected_answer": "x"}', "'id' stands in it twice"),
        ('{"id": "b", "prompt": "p", "expected_answer": NaN}', "NaN is no number of JSON"),
        ('{"id": "b", "prompt": "p", "expected_answer": "\\ud800"}', ":2: expected_answer: "),
        ("[" * 100_000, ":2: this is no JSON that can be kept: its brackets"),
        (b'{"id": "\xff"}', ":2:9: this byte is no UTF-8"),
    ],
)
def test_a_bad_line_is_named_with_its_place(tmp_path, line, says):
    line = line if isinstance(line, bytes) else line.encode()
    path = written(tmp_path, GOOD.encode() + b"\n" + line + b"\n")
    with pytest.raises(EvidenceError) as told:
        read_evalset(path)
    assert str(told.value).startswith(f"{path}:2") or "Did you mean" in says
    assert says in str(told.value)


def test_a_set_without_questions_and_a_file_that_is_not_there(tmp_path):
    with pytest.raises(EvidenceError, match="holds no question"):
        read_evalset(written(tmp_path, "\n\n"))
    with pytest.raises(Exception, match="There is no such file"):
        read_evalset(tmp_path / "missing.jsonl")


words = st.text(min_size=1, max_size=30).filter(lambda text: text.strip() and "\0" not in text)


@given(st.lists(st.tuples(words, words, st.none() | words), min_size=1, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory, items):
    questions = [
        Question(id=f"q{number}", prompt=prompt, expected_answer=answer, category=label)
        for number, (prompt, answer, label) in enumerate(items)
    ]
    path = tmp_path_factory.mktemp("sets") / "eval.jsonl"
    write_evalset(path, questions)
    assert list(read_evalset(path)) == questions


def test_an_eval_set_replaces_an_eval_set_and_nothing_else(tmp_path):
    path = written(tmp_path, GOOD)
    write_evalset(path, [Question(id="z", prompt="p", expected_answer="x")])
    assert [question.id for question in read_evalset(path)] == ["z"]
    path.write_text("my diary\n")
    with pytest.raises(UsageError, match="is not an eval set"):
        write_evalset(path, [Question(id="z", prompt="p", expected_answer="x")])
    assert path.read_text() == "my diary\n"


def test_labels_that_are_not_there_are_not_written():
    (line,) = lines_of([Question(id="z", prompt="p", expected_answer="x")])
    assert json.loads(line) == {"id": "z", "prompt": "p", "expected_answer": "x"}
