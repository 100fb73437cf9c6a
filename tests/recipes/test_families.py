"""The table of families: one line more, and every ordinary command knows the new one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clew.cli.main import main
from clew.core.errors import UsageError
from clew.recipes import families, load
from clew.recipes.families import FAMILIES, find_family
from regression_family import FAMILY, write_points
from small_runs import losses, only_run, outcome

SOURCES = Path(families.__file__).parents[1]
GENERAL = ("core", "databases", "recipes", "runs", "training", "export")
SETTINGS = {
    "max-steps": 40,
    "batch-size": 8,
    "learning-rate": 0.3,
    "evaluate-every": 20,
    "checkpoint-every": 10,
    "weight-decay": 0,
    "threads": 1,
    "log-every": 1,
    "compile": "no",
    "precision": "float32",
}
FLAGS = [text for name, value in SETTINGS.items() for text in (f"--{name}", str(value))]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, FAMILY.objective, FAMILY)
    monkeypatch.chdir(tmp_path)
    write_points(Path("points.json"))
    return tmp_path


def test_a_family_of_ten_lines_trains_resumes_exports_and_is_evaluated(workplace, capsys):
    assert main(["train", "regression", *FLAGS]) == 0
    run = only_run(Path("runs"))
    assert losses(run)[-1] < losses(run)[0] / 100
    whole = outcome(run)
    # Back to the middle, and with the evidence in another place.
    Path("points.json").rename("moved.json")
    back = sorted((run / "checkpoints").glob("step_*"))[0]
    assert main(["resume", "--checkpoint", str(int(back.name[5:]))]) == 1
    assert "points.json" in capsys.readouterr().err
    Path("moved.json").rename("points.json")
    assert main(["resume", "--checkpoint", str(int(back.name[5:]))]) == 0
    assert outcome(run) == whole
    assert main(["runs", "list"]) == 0
    assert "regression" in capsys.readouterr().out
    assert main(["export", "line", "bundle"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "regression", "bundle", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["largest_error_of_a_slope"] < 0.2


def test_an_unknown_objective_names_the_nearest(workplace):
    with pytest.raises(UsageError, match="Did you mean 'regression'"):
        find_family("regresion")


def test_a_part_that_a_family_does_not_have_is_told(workplace):
    with pytest.raises(UsageError, match="The objective regression has no loop"):
        FAMILY.part("loop")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.objective)
def test_every_part_that_the_table_names_is_there(family):
    for name in ("recipe", "prepare", "make", "exporter", "evaluator", "loop", "familiar"):
        if getattr(family, name):
            assert callable(family.part(name)) or name == "familiar"
    assert load(family.objective).objective == family.objective


def test_nowhere_else_stands_a_list_of_families_and_no_room_asks_which_one_it_is():
    asked = re.compile(r"""objective\s*(==|!=|in)\s*[\["'(]|isinstance\([^)]*Recipe\)""")
    both = re.compile(r"next_token.*alphazero|alphazero.*next_token", re.DOTALL)
    found = []
    for path in SOURCES.rglob("*.py"):
        text, place = path.read_text(encoding="utf-8"), path.relative_to(SOURCES)
        # Within a family's own rooms, its own recipe may be asked for.
        if (place.parts[0] in GENERAL and asked.search(text)) or both.search(text):
            found.append(place.as_posix())
    assert found == ["recipes/families.py"]
