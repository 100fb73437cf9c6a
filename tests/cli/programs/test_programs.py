"""`clew programs`: what it prints, what it says, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clew.cli.main import main
from clew.programs.task import parse_task, shipped_tasks

GOOD = """task a (k: int, xs: list) -> int
example 1, [4] -> 4
ensures result == sum xs
reference sum (take k xs)
requires length xs <= k
"""


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """What a command prints on stdout and stderr."""
    assert main(["programs", *arguments]) == code
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_help_and_listing_load_no_compiler() -> None:
    program = (
        "import sys; from clew.cli.main import main\n"
        "main(['programs', '--help'])\n"
        "print('numba' in sys.modules or 'numpy' in sys.modules)\n"
        "main(['programs', 'list'])\n"
        "print('numba' in sys.modules)\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.count("False\n") == 2


def test_list_shows_every_task_the_easiest_first(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = said(capsys, "list")[0].splitlines()
    assert len(lines) == len(shipped_tasks()) + 1
    assert [line.split()[1] for line in lines[:-1]] == [task.name for task in shipped_tasks()]
    (tmp_path / "a.dsl").write_text(GOOD)
    listed = json.loads(said(capsys, "list", str(tmp_path), "--json")[0])
    assert listed == [
        {
            "name": "a",
            "about": "",
            "inputs": {"k": "int", "xs": "list"},
            "output": "int",
            "level": 4,
            "requires": ["length xs <= k"],
            "ensures": ["result == sum xs"],
            "examples": [{"arguments": [1, [4]], "result": 4}],
            "reference": "sum (take k xs)",
        }
    ]


def test_show_prints_a_task_that_can_be_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    for task in shipped_tasks()[::20]:
        assert parse_task(said(capsys, "show", task.name)[0]) == task
    assert "Did you mean 'total'?" in said(capsys, "show", "totl", code=1)[1]


def test_check_names_each_fault_with_its_place_and_exits_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    texts = {
        "good": GOOD,
        "syntax": GOOD.replace("take k xs", "take k"),
        "types": GOOD.replace("take k xs", "take xs k"),
        "contract": GOOD.replace("== sum", "!= sum"),
        "wrong": GOOD.replace("-> 4", "-> 5").replace("ensures result == sum xs\n", ""),
        "partial": GOOD.replace("sum (take k xs)", "at (k - 1) xs"),
        "twice": GOOD + "example 1, [4] -> 6\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.dsl").write_text(text)
    out = said(capsys, "check", str(tmp_path), "--json", code=1)[0].splitlines()
    assert out[-2] == "7 files, 6 faults."
    assert json.loads(out[-1]) == {"files": 7, "faults": out[:-2]}
    for name, place in (
        ("contract", "2:1"),
        ("partial", "4:11"),
        ("syntax", "4:22"),
        ("twice", "6:1"),
        ("types", "4:21"),
        ("wrong", "2:1"),
    ):
        assert sum(line.startswith(f"{tmp_path / name}.dsl:{place}: ") for line in out) == 1, (name, out)
    assert said(capsys, "check", str(tmp_path / "good.dsl"))[0] == "1 files, no faults.\n"
    assert "no such file" in said(capsys, "check", str(tmp_path / "none.dsl"), code=1)[0]
    (tmp_path / "empty").mkdir()
    assert "holds no .dsl files" in said(capsys, "check", str(tmp_path / "empty"), code=1)[1]
    assert "Name the .dsl files" in said(capsys, "check", code=2)[1]


def test_run_runs_the_reference_or_a_program_on_examples_or_an_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "run", "sum_of_smallest", "--input", "2, [3, 1, 2]")[0] == "2, [3, 1, 2] -> 3   (13 steps)\n"
    out = said(capsys, "run", "ascending", "--program", "reverse (reverse (sort xs))", "--json")[0].splitlines()
    report = json.loads(out[-1])
    assert report["failed"] == 0
    assert [each["value"] for each in report["runs"]] == [
        list(example.result) for example in next(t for t in shipped_tasks() if t.name == "ascending").examples
    ]


def test_run_says_what_is_wrong_with_a_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, err = said(capsys, "run", "sum_of_smallest", "--program", "sum (take k xs)", code=1)
    assert "  'ensures k != 1 || result == minimum xs' does not hold for k = 1, xs = " in out
    assert " was wanted.\n" in out
    assert "of 5 runs are wrong." in err
    out, _ = said(capsys, "run", "largest", "--input", "[]", code=1)
    assert "error   (1 steps)\n  not asked by the task:" in out
    assert "  the list is empty in maximum xs.\n" in out
    out, _ = said(capsys, "run", "primes_below", "--input", "100", "--steps", "500", code=1)
    assert "more than 500 steps: stopped in " in out
    assert "must be a whole number" in said(capsys, "run", "total", "--program", "xs", code=1)[1]
    assert "the input:1:1: the input 'xs' is a list" in said(capsys, "run", "total", "--input", "3", code=1)[1]
    path = tmp_path / "bare.dsl"
    path.write_text("task a (k: int) -> int\n")
    assert "has no reference" in said(capsys, "run", str(path), code=2)[1]
    assert "has no examples" in said(capsys, "run", str(path), "--program", "k", code=2)[1]
