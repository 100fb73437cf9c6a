"""The closed loop of program search: what it learns from, what it goes on with after a kill, what it refuses.

What needs a network is stood in for by a guide that has counted the productions of a round's demonstrations. Everything
else is the real thing.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from clew import recipes
from clew.cli.main import main
from clew.core import files, supervisor
from clew.core.errors import UsageError
from clew.programs import drawing
from clew.programs import loop as loops
from clew.programs.behaviour import computes, shipped
from clew.programs.demonstrations import read
from clew.programs.guidance import FrequencyGuide, counts_of
from clew.programs.interpret import compile_program, run_on
from clew.programs.loop import Outcome, loop
from clew.programs.task import shipped_tasks
from clew.recipes import base
from clew.recipes.imitation import ImitationRecipe
from clew.runs.folder import MANIFEST
from clew.runs.stages import Stages
from small_releases import tree

SMALL = {
    "data.demonstrations": 30,
    "loop.rounds": 2,
    "loop.tasks": 24,
    "loop.tried_again": 8,
    "loop.held_out": 20,
    "loop.nodes": 4_000,
}


CALL = loops._Loop._call


class Killed(BaseException):
    """Stands for kill -9: nothing cleans up after it."""


class Counted(FrequencyGuide):
    """The guide of a round: the shares of productions in the demonstrations that the round trained on."""

    def __init__(self, path, grammar):
        assert (path / "config.json").is_file()
        found = read(path.parents[1] / "demonstrations" / f"{path.name}.jsonl")
        super().__init__(counts_of(((each.problem, each.actions) for each in found.items), grammar), grammar)


def call(made, what, *arguments):
    """Training and export, which leave what the loop looks for."""
    if what == "training":
        folder = Path(arguments[1] if arguments[0] == "resume" else arguments[3])
        files.write_json(folder / MANIFEST, {})
    else:
        files.write_json(Path(arguments[2]) / "config.json", {})


def stand_in_for_what_takes_long(patch):
    patch.setattr(loops._Loop, "_call", call)
    patch.setattr(loops, "BundleGuide", Counted)
    patch.setattr(loops, "shipped_tasks", lambda: shipped_tasks()[:12])
    patch.setattr(drawing, "BANK_NODES", 20_000)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    stand_in_for_what_takes_long(monkeypatch)


def recipe_with(**changes) -> ImitationRecipe:
    shipped_recipe = recipes.load("synthesis")
    assert isinstance(shipped_recipe, ImitationRecipe)
    return base.changed(shipped_recipe, SMALL | changes, "a test")


def run(folder: Path, **changes) -> Outcome:
    return loop(recipe_with(**changes), folder, say=lambda text: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a loop that nobody touched, and its outcome."""
    folder = tmp_path_factory.mktemp("undisturbed") / "loop"
    with pytest.MonkeyPatch.context() as patch:
        stand_in_for_what_takes_long(patch)
        return folder, run(folder)


def test_what_is_newly_solved_becomes_evidence_and_what_was_there_stays(undisturbed):
    folder, outcome = undisturbed
    before = ()
    for number in range(3):
        items = read(folder / f"demonstrations/round-{number}.jsonl").items
        assert items[: len(before)] == before
        new = items[len(before) :]
        assert all(each.task.name.startswith("found_" if number else "random_") for each in new)
        assert all(each.states for each in new)
        for each in new:  # a found program does what the examples say, run by the interpreter alone
            problem = each.problem
            values, _ = run_on(compile_program(each.task.reference, problem.inputs), problem.arguments)
            assert tuple(values) == problem.results
        assert len(items) == outcome.rounds[number]["demonstrated"]
        before = items
    assert len(before) > outcome.rounds[0]["demonstrated"]


def test_nothing_that_is_evaluated_on_is_learnt_by_whatever_name(undisturbed):
    folder, _ = undisturbed
    held_out = computes(each.task for each in read(folder / "tasks/held_out.jsonl").items)
    assert len(held_out) == 20
    learnt = [each.task for each in read(folder / "demonstrations/round-2.jsonl").items]
    assert not computes(learnt) & (held_out | shipped())
    assert len(computes(learnt)) == len(learnt)


def test_no_reference_of_a_training_task_is_shown_to_the_model(undisturbed):
    folder, _ = undisturbed
    rows = json.loads((folder / "searches/round-1.json").read_text())["rows"]
    found = Counter(row["program"] for row in rows if row["solved"])
    first, second = (
        [json.loads(line) for line in (folder / f"demonstrations/round-{number}.jsonl").read_text().splitlines()[1:]]
        for number in (0, 1)
    )
    learnt = [row["program"] for row in second[len(first) :]]
    assert learnt
    assert not Counter(learnt) - found


def test_the_curve_tells_each_round_and_is_drawn(undisturbed):
    folder, outcome = undisturbed
    told = json.loads((folder / "curve.json").read_text())
    assert [each["round"] for each in told["rounds"]] == [0, 1, 2]
    assert told["rounds"][2]["tried"] <= 24 + 8
    assert told["baseline"]["held_out"]["cases"] == 20
    assert sum(tried for _, tried in told["rounds"][1]["by_size"].values()) == told["rounds"][1]["tried"] == 24
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert outcome.model == str(folder / "models/round-2")


def test_sizes_that_are_solved_every_other_time_are_drawn_most(undisturbed):
    _, outcome = undisturbed
    weights = outcome.rounds[2]["weights"]
    chances = {size: (solved + 1) / (tried + 2) for size, (solved, tried) in outcome.rounds[1]["by_size"].items()}
    order = sorted(chances, key=lambda size: abs(chances[size] - 0.5))
    assert [weights[size] for size in order] == sorted((weights[size] for size in order), reverse=True)
    assert len(set(weights.values())) > 1


def test_killed_after_every_stage_before_it_is_noted_the_loop_comes_to_the_same(undisturbed, tmp_path, monkeypatch):
    reference, outcome = undisturbed
    folder, died, do = tmp_path / "loop", [], Stages.do

    def dying(self, name, work):
        def then_die():
            work()
            if name not in died:
                died.append(name)
                raise Killed

        do(self, name, then_die)

    monkeypatch.setattr(Stages, "do", dying)
    for _ in outcome.stages:
        with pytest.raises(Killed):
            run(folder)
    found = run(folder)
    assert died == list(outcome.stages)
    assert (found.rounds, found.baseline) == (outcome.rounds, outcome.baseline)
    for part in ("tasks", "demonstrations", "searches", "evaluations"):
        assert tree(folder / part) == tree(reference / part)
    assert (folder / "curve.json").read_bytes() == (reference / "curve.json").read_bytes()


def test_a_loop_that_is_done_does_nothing_again(undisturbed, monkeypatch):
    folder, outcome = undisturbed
    monkeypatch.setattr(loops, "run_all", None)
    assert run(folder) == outcome


def test_a_folder_of_another_recipe_or_of_a_user_is_refused(undisturbed, tmp_path):
    folder, _ = undisturbed
    with pytest.raises(UsageError, match="was begun with another recipe"):
        run(folder, seed=7)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/recipe.yaml").write_text("name: mine\n")
    with pytest.raises(UsageError, match="is not the recipe of a loop"):
        run(tmp_path / "mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/loop.json").write_text('{"env_id": "tictactoe", "seconds": 1}')
    with pytest.raises(UsageError, match="not the state of a loop over programs"):
        run(tmp_path / "other")


@pytest.mark.parametrize(("key", "value"), [("data.path", "x.jsonl"), ("data.grammar", "small")])
def test_what_a_loop_has_no_use_for_is_refused(tmp_path, key, value):
    with pytest.raises(UsageError, match=f"Leave out {key}"):
        run(tmp_path / "loop", **{key: value})
    assert not (tmp_path / "loop").exists()


def test_the_command_takes_the_loop_s_settings_as_flags_and_ends_with_130_when_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seen = []

    def stopped(self):
        seen.append(self._plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(loops._Loop, "_hold_out", stopped)
    assert main(["loop", "synthesis", "--rounds", "1", "--output", "here", "--held-out", "9"]) == 130
    assert (seen[0].rounds, seen[0].held_out) == (1, 9)
    assert "go on with the same command, in the same folder (here)" in capsys.readouterr().err


def test_the_recipe_of_a_round_starts_from_the_round_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("loop")
    run(folder, **{"loop.rounds": 1})
    first, second = (recipes.load(str(folder / f"round-{number}.yaml")) for number in (0, 1))
    assert isinstance(first, ImitationRecipe)
    assert isinstance(second, ImitationRecipe)
    assert (first.start_from, second.start_from) == (None, "loop/runs/round-0")
    assert second.data.path == "loop/demonstrations/round-1.jsonl"
    assert second.training.max_epochs == second.loop.later_epochs


def test_a_training_that_fails_stops_the_loop_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loops._Loop, "_call", CALL)
    monkeypatch.chdir(tmp_path)

    class Failed:
        def __init__(self, name, arguments, *, restarts):
            self.code, self.running = 1, False

    monkeypatch.setattr("clew.runs.stages.Child", Failed)
    monkeypatch.setattr(supervisor.Supervisor, "start", lambda self, child: child)
    flags = [text for key, value in SMALL.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    assert main(["loop", "synthesis", "--folder", "loop", *flags]) == 1
    assert "The training ended with exit code 1" in capsys.readouterr().err
