"""`clew synthesize`: what it prints, what it checks, and what it says when nothing is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clew.cli.main import main

DESCENDING = """task falling (xs: list) -> list
about     From the largest to the smallest.
ensures   length result == length xs
example   [3, 1, 2] -> [3, 2, 1]
example   [5, 9, 5] -> [9, 5, 5]
example   [] -> []
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task of one's own."""
    path = tmp_path / "falling.dsl"
    path.write_text(DESCENDING)
    return path


def test_the_program_stands_alone_on_stdout(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", str(task)]) == 0
    out, err = capsys.readouterr()
    assert out == "reverse (sort xs)\n"
    assert "enumerate: " in err
    assert "nodes" in err
    assert "200 generated inputs" in err
    assert "1 condition ensured hold" in err


def test_json_has_the_account(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", str(task), "--json", "--checks", "20"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["program"] == "reverse (sort xs)"
    assert (document["solved"], document["stopped"], document["search"], document["size"]) == (
        True,
        "found",
        "enumerate",
        3,
    )
    assert document["checked"]["generated"] == 20
    assert document["checked"]["failures"] == []
    assert document["trace"][-1]["nodes"] == document["nodes"] > 0


def test_the_trace_shows_each_level(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", str(task), "--trace"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cost")]
    assert len(lines) == 3


def test_a_shipped_task_is_found_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "descending"]) == 0
    assert "the reference gives the same" in capsys.readouterr().err


def test_nothing_within_the_budget_is_a_sentence_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "longest_streak", "--nodes", "2000"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "no program was found for longest_streak: its budget of nodes was used up (--nodes)." in err


def test_a_program_that_breaks_the_contract_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lucky.dsl"
    path.write_text(
        "task lucky (xs: list) -> list\nensures not (length xs == 3) || head result == last xs\n"
        "example [1, 1] -> [1, 1]\nexample [2] -> [2]\n"
    )
    assert main(["synthesize", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == "xs\n"
    assert "fits the examples and is not what the task asks for" in err
    assert "does not hold for" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_task"], "no_such_task"),
        (["descending", "--search", "beam"], "led by a model"),
        (["descending", "--model", "nowhere"], "There is no model nowhere"),
        (["descending", "--seconds", "0"], "--seconds"),
        (["descending", "--search", "sideways"], "sideways"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", *arguments]) in (1, 2)
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert "Traceback" not in err
