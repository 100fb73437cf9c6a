"""The closed loop of traces: its stages, what it goes on with after a kill, what it refuses.

What needs a network is stood in for: training writes down what it was given, and a round's model answers some questions
right, more of them each round. Everything else is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clew.bundle.sampling import Sampling
from clew.cli.main import main
from clew.core import files
from clew.core.errors import ClewError, UsageError
from clew.core.files import sha256_of
from clew.recipes import base, load
from clew.recipes.chat import ChatRecipe
from clew.runs.folder import MANIFEST
from clew.runs.progress import InterruptedRunError
from clew.runs.stages import STATE
from clew.traces import datasets
from clew.traces.evalset import read_evalset
from clew.traces.evaluation import described, evaluate
from clew.traces.evaluation_rows import write_evaluation
from clew.traces.generators import find_generator
from clew.traces.generators.arithmetic import ARITHMETIC
from clew.traces.judges import find_judge
from clew.traces.loop import FINAL, Outcome, _Loop, loop, settled
from clew.traces.store import TraceStore
from small_chat import Scripted

RIGHT = {"base": 0, "round-1": 50, "round-2": 80, "round-3": 80}
"""Of a hundred questions, about how many a model answers right."""


class Killed(BaseException):
    """Stands for kill -9: nothing cleans up after it."""


class Commands:
    """Runs the loop's commands in this process; before command number `kill_at` it dies."""

    def __init__(self, kill_at: int = -1) -> None:
        self.kill_at = kill_at
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, loop_: _Loop, what: str, *arguments: str) -> None:
        if len(self.calls) == self.kill_at:
            raise Killed
        self.calls.append(arguments)
        words = dict(pairwise(arguments))
        if arguments[0] == "train":
            self._train(Path(arguments[1]), Path(words["--output"]))
        elif arguments[0] == "evaluate":
            self._evaluate(words)
        else:
            assert main(list(arguments)) == 0

    @staticmethod
    def _train(recipe: Path, folder: Path) -> None:
        made = {"run_id": sha256_of(str(folder.name)), "name": "arithmetic", "objective": "chat", "status": "finished"}
        made |= {"created_at": "2026-01-01T00:00:00+00:00", "recipe_sha256": ""}
        evidence = {"kind": "traces", "path": "", "sha256": ""}
        files.write_json(folder / MANIFEST, made | {"evidence": evidence})
        files.write_text(folder / FINAL / "recipe.yaml", recipe.read_text())

    @staticmethod
    def _evaluate(words: dict[str, str]) -> None:
        model = "base" if words["--model"] == "base" else Path(words["--model"]).parent.name
        assert model == "base" or (Path(words["--model"]) / "recipe.yaml").is_file()

        def says(prompt: str, key: str) -> str:
            drawn = int(sha256_of(f"{prompt}{words.get('--seed', '')}")[:8], 16) % 100
            solution = ARITHMETIC.solve(prompt)
            steps = "".join(f"{i}. {text}\n" for i, (_, text) in enumerate(solution.steps, start=1))
            said = solution.answer if drawn < RIGHT[model] else "nothing"
            return f"Reasoning:\n{steps}Answer: {said}"

        scripted = Scripted(says, name=model)
        questions, sampling = read_evalset(words["--eval-set"]), Sampling(temperature=0)
        rows = evaluate(scripted, list(questions), sampling, find_judge(words["--judge"]))
        write_evaluation(Path(words["--output"]), rows, described(scripted), sampling, questions)


def recipe_in(folder: Path, **changes: Any) -> ChatRecipe:
    """A small loop of arithmetic."""
    shipped = load("arithmetic")
    assert isinstance(shipped, ChatRecipe)
    small = {"loop.traces": 40, "loop.questions": 30, "loop.practice": 24, "loop.attempts": 2}
    return settled(base.changed(shipped, small | changes, "a test"), folder)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, commands: Commands, **changes: Any) -> Outcome:
    monkeypatch.setattr(_Loop, "_call", lambda made, what, *arguments: commands(made, what, *arguments))
    return loop(recipe_in(folder, **changes), folder, say=lambda text: None)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("loop")


def told(folder: Path) -> dict[str, Any]:
    """What a loop leaves, without times and ids."""
    with TraceStore.open(folder / "traces.db") as store:
        kept = [(each.trace.prompt, (each.trace.meta or {})["round"]) for each in store.iterate()]
        manifests = [datasets.load(store, f"arithmetic-{number}") for number in (1, 2)]
    answers = {path.name: [json.loads(line)["score"] for line in path.open()] for path in folder.glob("e*/*.jsonl")}
    reports = sorted(path.name for path in (folder / "reports").iterdir())
    return {
        "traces": kept,
        "counts": [manifest.trace_count for manifest in manifests],
        "parents": [manifest.parent_dataset_id for manifest in manifests],
        "answers": answers,
        "reports": reports,
        "gates": files.read_json(folder / STATE, what="a state")["gates"],
    }


def test_the_second_round_learns_from_what_the_first_one_answered_right(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands()
    outcome = run(in_folder, monkeypatch, commands)
    with TraceStore.open(in_folder / "traces.db") as store:
        own = [each.trace for each in store.iterate(filters={"round": 2})]
        second = datasets.load(store, "arithmetic-2")
    assert len(own) == outcome.accepted["round-2"] > 0
    for trace in own:
        assert find_generator("arithmetic").check_answer(trace.prompt, trace.final_answer)
        meta = trace.meta or {}
        assert meta["source"] == "model"
        assert meta["model"] == "round-1"
        assert isinstance(meta["seed"], int)
    assert second.parent_dataset_id == "arithmetic-1"
    assert second.training_run_id == sha256_of("round-1")
    assert second.trace_count == 40 + len(own)
    trained = (in_folder / "runs/round-2" / FINAL / "recipe.yaml").read_text()
    assert "start_from: loop/runs/round-1" in trained
    assert outcome.model == str(in_folder / "runs/round-2" / FINAL)


def test_no_prompt_of_any_round_is_asked_in_an_evaluation_and_none_is_of_the_harder_level(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(in_folder, monkeypatch, Commands())
    with TraceStore.open(in_folder / "traces.db") as store:
        trained = [each.trace for each in store.iterate()]
    asked = {
        ARITHMETIC.key(question.prompt)
        for name in ("held_out", "harder")
        for question in read_evalset(in_folder / "questions" / f"{name}.jsonl")
    }
    assert asked.isdisjoint({ARITHMETIC.key(trace.prompt) for trace in trained})
    assert "harder" not in {(trace.meta or {})["difficulty"] for trace in trained}
    assert {"between", "3-digit"} <= {(trace.meta or {})["difficulty"] for trace in trained}


def test_scores_of_every_round_are_those_of_its_answers(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(in_folder, monkeypatch, Commands())
    for name, scores in outcome.scores.items():
        for round_, share in scores.items():
            path = in_folder / "evaluations" / f"{round_}-{name}.jsonl"
            right = [json.loads(line)["score"] for line in path.open()]
            assert (share.successes, share.cases) == (sum(right), len(right))
    assert outcome.scores["held_out"]["base"].value == 0


def test_a_loop_killed_before_any_of_its_commands_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished(name: str, kills: Callable[[], list[int]]) -> dict[str, Any]:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for at in kills():
            with pytest.raises(Killed):
                run(Path("loop"), monkeypatch, Commands(kill_at=at))
        run(Path("loop"), monkeypatch, Commands())
        return told(Path("loop"))

    # Each kill comes one command after what was done before it, so every one of them is killed once.
    expected = finished("whole", lambda: [])
    assert finished("killed", lambda: [0] + [1] * 15) == expected


def test_a_killed_loop_does_nothing_twice(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Commands()
    run(in_folder, monkeypatch, whole)
    again = Commands()
    run(in_folder, monkeypatch, again)
    assert len(whole.calls) > 10
    assert again.calls == []


def test_a_round_that_lost_what_the_one_before_could_is_not_gone_on_with(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RIGHT, "round-2", 0)
    commands = Commands()
    outcome = run(in_folder, monkeypatch, commands, **{"loop.rounds": 3})
    assert outcome.gates == {"round-1": True, "round-2": False, "round-3": True}
    assert "start_from: loop/runs/round-1" in (in_folder / "runs/round-3" / FINAL / "recipe.yaml").read_text()


def test_a_model_that_answers_nothing_right_cannot_practise(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RIGHT, "round-1", 0)
    with pytest.raises(ClewError, match="answered none of 24 new questions"):
        run(in_folder, monkeypatch, Commands())


def test_a_folder_of_another_recipe_is_refused(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Killed):
        run(in_folder, monkeypatch, Commands(kill_at=0))
    with pytest.raises(UsageError, match="begun with another recipe"):
        run(in_folder, monkeypatch, Commands(), **{"loop.traces": 41})


def test_a_recipe_without_a_generator_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["loop", "sft"]) == 2
    assert "set loop.generator" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise InterruptedRunError("stopped; go on with the same command, in the same folder (loop)")

    monkeypatch.setattr(_Loop, "_call", interrupted)
    flags = ["--loop.traces", "40", "--loop.questions", "30"]
    assert main(["loop", "arithmetic", "--folder", str(in_folder), *flags]) == 130
    assert "go on with the same command" in capsys.readouterr().err
