"""Task files: what they mean, and what is said of one that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.core.errors import ClewError
from clew.core.randomness import generator
from clew.programs.contracts import check, contradictions, ensured, load_task, required, sound
from clew.programs.interpret import Limits
from clew.programs.parse import parse_expression
from clew.programs.primitives import LONGEST, Type
from clew.programs.syntax import ProgramError
from clew.programs.task import Example, find_task, format_task, parse_arguments, parse_task, shipped_tasks

TEXT = """# A comment, then a blank line.

task sum_of_smallest (k: int, xs: list) -> int   # the signature
about     The sum of the
          k smallest elements.
requires  0 <= k
  && k <= length xs
ensures   k != 1 || result == minimum xs
# the usual one, and the edge
example   2, [3, 1, 2] -> 3
example   0, [] -> 0
reference sum (take k (sort xs))
"""


def test_a_file_says_signature_examples_contracts_and_reference() -> None:
    task = parse_task(TEXT, "a.dsl")
    assert task.name == "sum_of_smallest"
    assert task.inputs == (("k", Type.INT), ("xs", Type.LIST))
    assert task.output is Type.INT
    assert task.about == "The sum of the k smallest elements."
    assert task.examples == (Example((2, (3, 1, 2)), 3), Example((0, ()), 0))
    assert task.requires == (parse_expression("0 <= k && k <= length xs", ("k", "xs")),)
    assert task.ensures == (parse_expression("k != 1 || result == minimum xs", ("k", "xs", "result")),)
    assert task.reference == parse_expression("sum (take k (sort xs))", ("k", "xs"))
    assert task.level == 5
    assert not contradictions(task)
    assert parse_task(format_task(task)) == task


def test_line_ends_of_another_system_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.dsl"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load_task(path) == parse_task(TEXT)


def test_a_task_needs_no_more_than_a_signature() -> None:
    task = parse_task("task nothing (flag: bool) -> list")
    assert (task.examples, task.requires, task.ensures, task.reference, task.level) == ((), (), (), None, 0)


HEAD = "task a (k: int, xs: list) -> int\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.dsl:1:1: expected 'task NAME (input: type, ...) -> type' as the first line."),
        ("example 1 -> 1\n", "a.dsl:1:1: expected 'task NAME"),
        (" task a (k: int) -> int\n", "a.dsl:1:1: the first line begins with a blank"),
        ("tusk a (k: int) -> int\n", "here 'tusk'. Did you mean 'task'?"),
        ("%%\n", "here '%%'."),
        ("task (k: int) -> int\n", "a.dsl:1:6: expected the name of the task, here '('."),
        ("task sort (k: int) -> int\n", "'sort' is a word of the language; choose another name for the name"),
        ("task a k: int -> int\n", "a.dsl:1:8: expected '(' before the inputs, here 'k'."),
        ("task a () -> int\n", "a.dsl:1:9: expected the name of an input, here ')'."),
        ("task a (k int) -> int\n", "a.dsl:1:11: expected ':' between the name of an input and its type"),
        ("task a (k: number) -> int\n", "a.dsl:1:12: expected a type (int, bool, list), here 'number'."),
        ("task a (k: lst) -> int\n", "here 'lst'. Did you mean 'list'?"),
        ("task a (k: int, k: int) -> int\n", "a.dsl:1:17: 'k' is an input already"),
        ("task a (x: int) -> int\n", "a.dsl:1:9: 'x' is what lambdas call their parameters; choose another name"),
        ("task a (result: int) -> int\n", "a.dsl:1:9: 'result' is what 'ensures' calls the result"),
        ("task a (k: int) int\n", "a.dsl:1:17: expected '->' before the type of the result, here 'int'."),
        ("task a (k: int) -> int int\n", "a.dsl:1:24: expected the end of the signature, here 'int'."),
        (HEAD + HEAD, "a.dsl:2:1: 'task' stands a second time; a task has one."),
        (HEAD + "reference k\nreference k\n", "a.dsl:3:1: 'reference' stands a second time"),
        (HEAD + "example 1 -> 1\n", "a.dsl:2:11: expected ',' before the value of the input 'xs', here '->'."),
        (HEAD + "example 1, 2 -> 1\n", "a.dsl:2:12: the input 'xs' is a list, as [1, 2]; here '2'."),
        (HEAD + "example [], 2 -> 1\n", "a.dsl:2:9: the input 'k' is a whole number; here '['."),
        (HEAD + "example 1, [1 2] -> 1\n", "a.dsl:2:15: expected ',' or ']' behind an element, here '2'."),
        (HEAD + "example 1, [true] -> 1\n", "a.dsl:2:13: expected a whole number, here 'true'."),
        (HEAD + "example 1, [1] = 1\n", "a.dsl:2:16: the language has no sign '='."),
        (HEAD + "example 1, [1]\n", "a.dsl:2:15: expected '->' between arguments and result, here the end."),
        (HEAD + "example 1, [1] -> true\n", "a.dsl:2:19: the result is a whole number; here 'true'."),
        (HEAD + "example 1, [1] -> 1, 2\n", "a.dsl:2:20: expected the end of the example, here ','."),
        (HEAD + "example 1, [3000000000] -> 1\n", "a.dsl:2:13: the number is further from 0 than"),
        (HEAD + f"example 1, {[0] * (LONGEST + 1)} -> 1\n", f"no list is longer than {LONGEST}."),
        (HEAD + "requires k\n", "a.dsl:2:10: what stands behind 'requires' must be a truth value, and 'k' is a whole"),
        (HEAD + "requires result < 1\n", "a.dsl:2:10: there is nothing called 'result' here"),
        (HEAD + "ensures sum k < result\n", "a.dsl:2:13: the first argument of 'sum' is a list, and 'k' is a whole"),
        (HEAD + "reference\n  sort xs\n", "a.dsl:3:3: what stands behind 'reference' must be a whole number"),
        (HEAD + "reference\n", "a.dsl:2:10: expected a value"),
        (
            HEAD + "example 1, [1] -> 1\nexample 1, [1] -> 2\n",
            "a.dsl:3:1: the example 1, [1] -> 2 contradicts the one of line 2, which wants 1 for the same arguments.",
        ),
    ],
)
def test_what_is_said_of_a_file_that_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ProgramError) as caught:
        parse_task(text, "a.dsl")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("requires 0 < k", "a.dsl:3:1: the example 0, [] -> 0: 'requires 0 < k' does not hold for k = 0, xs = []."),
        (
            "requires head xs < 9",
            "a.dsl:3:1: the example 0, [] -> 0: 'requires head xs < 9' fails for k = 0, xs = []: the list is empty",
        ),
        (
            "ensures result != 0",
            "a.dsl:3:1: the example 0, [] -> 0: 'ensures result != 0' does not hold for k = 0,",
        ),
        ("reference sum (take k xs)", "a.dsl:2:1: the example 2, [3, 1, 2] -> 3: the reference gives 4."),
        (
            "reference at k (sort xs)",
            "a.dsl:3:1: the example 0, [] -> 0: the reference fails: there is no element at",
        ),
    ],
)
def test_examples_that_contradict_contract_or_reference_are_named(line: str, said: str) -> None:
    text = f"{HEAD}example 2, [3, 1, 2] -> 3\nexample 0, [] -> 0\n{line}\n"
    task = parse_task(text, "a.dsl")
    faults = [str(fault) for fault in contradictions(task)]
    assert any(said in fault for fault in faults), faults
    with pytest.raises(ProgramError) as caught:
        sound(task)
    assert str(caught.value).startswith("a.dsl:")


def test_a_contract_that_runs_too_long_is_a_sentence() -> None:
    nest = r"sum (map (\x -> sum (map (\y -> sum (range y)) (range 250))) (range 250)) == k"
    task = parse_task(f"{HEAD}requires {nest}\nexample 0, [] -> 0\n", "a.dsl")
    assert "more than 1,000,000 steps" in str(contradictions(task)[0])


def test_a_program_is_checked_against_the_contract() -> None:
    task = parse_task(TEXT)
    names = ("k", "xs")
    wrong = parse_expression("sum (take k xs)", names)
    partial = parse_expression("if (k == 1) (minimum xs) (at k xs)", names)
    assert check(task, parse_expression("sum (take k (sort xs))", names), (1, [3, 2])) == []
    assert check(task, wrong, (1, [3, 2])) == [
        "'ensures k != 1 || result == minimum xs' does not hold for k = 1, xs = [3, 2], result = 3."
    ]
    assert check(task, partial, (2, [3, 2])) == [
        "for k = 2, xs = [3, 2] the program fails: there is no element at that position in at k xs."
    ]
    assert check(task, partial, (5, [3, 2])) == [], "nothing is asked of arguments that the task does not allow"
    assert "steps" in check(task, wrong, (1, [3, 2]), Limits(3))[0]
    assert required(task, (5, [3, 2])) == ["'requires 0 <= k && k <= length xs' does not hold for k = 5, xs = [3, 2]."]
    assert ensured(task, (1, [3, 2]), 2) == []


def test_files_that_are_no_text_or_too_large_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "bytes.dsl").write_bytes(b"task a (k: int) -> int\n\xff\xfe")
    (tmp_path / "large.dsl").write_bytes(b"#" * 1_000_001)
    for name, said in (("bytes", "bytes.dsl:2: the byte 0xff is not UTF-8"), ("large", "more than 1,000,000 bytes")):
        with pytest.raises(ProgramError, match=said):
            load_task(tmp_path / f"{name}.dsl")
    for missing in (tmp_path / "none.dsl", tmp_path):
        with pytest.raises(ClewError):
            load_task(missing)


def test_a_task_that_ships_is_found_by_its_name_and_a_file_by_its_path(tmp_path: Path) -> None:
    assert find_task("dot_product") in shipped_tasks()
    path = tmp_path / "own.dsl"
    path.write_text(TEXT)
    assert find_task(str(path)).name == "sum_of_smallest"
    with pytest.raises(ProgramError, match="Did you mean 'dot_product'"):
        find_task("dot_produkt")
    with pytest.raises(ProgramError, match="no task of that name ships"):
        find_task("../tasks/dot_product")


def test_arguments_are_read_as_examples_write_them() -> None:
    inputs = (("k", Type.INT), ("flag", Type.BOOL), ("xs", Type.LIST))
    assert parse_arguments("-2, true, [1, -3]", inputs) == (-2, True, (1, -3))
    for text, said in (("1, true", "expected ','"), ("1, 1, []", "true or false"), ("1, true, [], 4", "no more")):
        with pytest.raises(ProgramError, match=said):
            parse_arguments(text, inputs)


@given(st.integers(0, 10**9), st.sampled_from(["cut", "drop", "double", "swap", "sign"]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_spoiled_file_is_a_task_or_a_sentence_with_its_place(seed: int, how: str) -> None:
    rng = generator(seed, "spoil")
    text = format_task(shipped_tasks()[rng.integers(len(shipped_tasks()))])
    start, end = sorted(rng.integers(0, len(text) + 1, 2).tolist())
    end = min(end, start + 12)
    other = int(rng.integers(0, len(text)))
    text = {
        "cut": text[:start],
        "drop": text[:start] + text[end:],
        "double": text[:end] + text[start:end] + text[end:],
        "swap": text[:start] + text[other : other + 5] + text[end:],
        "sign": text[:start] + "()[]\\->=#,:\n\t\r\x00é∞"[rng.integers(17)] + text[start:],
    }[how]
    try:
        task = parse_task(text, "spoiled.dsl")
    except ProgramError as error:
        said = str(error)
        assert re.match(r"spoiled\.dsl:\d+:\d+: .*\.(?: Did you mean '\w+'\?)?|.*\?$", said), said
        assert "\n" not in said
    else:
        assert parse_task(format_task(task)) == task
        contradictions(task)
