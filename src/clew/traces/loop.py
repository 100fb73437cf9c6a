"""The closed loop of traces: a generator's traces teach a model, which then makes traces of its own.

    round 1:  generate -> dataset -> evaluate -> train -> evaluate -> report -> gate
    round r:  the last model answers new questions -> what the checker accepts joins the traces -> dataset (its parent
              named) -> training goes on -> evaluate -> report -> gate

Each stage leaves a file that is written whole or not at all and is passed over where it is there already, so a loop
that was killed anywhere goes on where it was. What needs torch runs as a `clew` command of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import ClewError, UsageError
from clew.core.intervals import Share, share
from clew.core.randomness import key
from clew.core.supervisor import Supervisor
from clew.recipes import base
from clew.recipes.chat import ChatRecipe
from clew.runs.folder import MANIFEST, open_run
from clew.runs.stages import HEADING, Say, Stages, say_on_stderr
from clew.traces.datasets import BuildRequest, build
from clew.traces.evalset import write_evalset
from clew.traces.generators import find_generator
from clew.traces.generators.base import Generator
from clew.traces.judges import answer_of, steps_of
from clew.traces.regression import check, find_evaluation, set_baseline
from clew.traces.schema import Step, Trace
from clew.traces.store import TraceStore

FINAL = "checkpoint-final"
BASE, HELD_OUT, HARDER = "base", "held_out", "harder"


@dataclass(frozen=True)
class Outcome:
    """What a loop came to."""

    model: str
    """The trained model of the newest round that passed its gate; the base where none did."""
    seconds: float
    """Over all calls."""
    stages: dict[str, float]
    """Seconds that each stage took."""
    scores: dict[str, dict[str, Share]]
    """Eval set -> "base" and each round -> the share of its questions that were answered right."""
    gates: dict[str, bool]
    """Round -> whether it kept what the one before it could."""
    accepted: dict[str, int]
    """Round -> traces that its predecessor made and the checker accepted."""


def settled(recipe: ChatRecipe, folder: Path) -> ChatRecipe:
    """`recipe` with its traces in the loop's `folder`. Raises `UsageError` where it names no generator."""
    if not recipe.loop.generator:
        raise UsageError(
            f"The recipe {recipe.name} says of no generator where its traces come from: set loop.generator, such as "
            "arithmetic."
        )
    find_generator(recipe.loop.generator)
    return base.changed(recipe, {"data.db": str(folder / "traces.db")}, "clew loop")


def loop(recipe: ChatRecipe, folder: Path, *, say: Say = say_on_stderr) -> Outcome:
    """Run the rounds of `recipe` (made by `settled`) in `folder`, or go on with them.

    Raises `InterruptedRunError` after Ctrl-C, `UsageError` for a folder of another loop, `ClewError` where a command
    failed; in each case the same call goes on.
    """
    made = _Loop(recipe, folder, say)
    with Supervisor() as supervisor:
        made.run(supervisor)
    return made.outcome()


class _Loop:
    """A loop in its folder."""

    def __init__(self, recipe: ChatRecipe, folder: Path, say: Say) -> None:
        self._recipe, self._plan, self._folder, self._say = recipe, recipe.loop, folder, say
        self._generator: Generator = find_generator(recipe.loop.generator)
        self._stages = Stages(folder, recipe, what="traces", say=say, more={"gates": {}, "accepted": {}})
        self._state = self._stages.state
        self._sets = [HELD_OUT, *([HARDER] if self._generator.harder else [])]

    def run(self, supervisor: Supervisor) -> None:
        """Every stage that is not done."""
        self._supervisor = supervisor
        self._stages.do("questions", self._write_questions)
        self._stages.do("generate", self._generate)
        self._stages.do(f"{BASE}/evaluate", partial(self._evaluate, BASE))
        for number in range(1, self._plan.rounds + 1):
            name = _round(number)
            if number > 1:
                self._stages.do(f"{name}/practice", partial(self._practise, number))
            self._stages.do(f"{name}/dataset", partial(self._build, number))
            self._stages.do(f"{name}/train", partial(self._train, number))
            self._stages.do(f"{name}/evaluate", partial(self._evaluate, name))
            self._stages.do(f"{name}/report", partial(self._report, number))
            self._stages.do(f"{name}/gate", partial(self._gate, number))

    # Stages

    def _write_questions(self) -> None:
        for name in self._sets:
            level = self._generator.harder if name == HARDER else None
            questions = self._generator.questions(self._plan.questions, self._recipe.seed, level)
            write_evalset(self._questions(name), questions)

    def _generate(self) -> None:
        traces = self._generator.traces(self._plan.traces, self._recipe.seed)
        self._keep(1, traces)

    def _practise(self, number: int) -> None:
        """The last model answers new questions several times; what the checker accepts is kept."""
        before = self._before(number)
        if before == BASE:
            raise ClewError(
                f"No round before round {number} passed its gate, so there is no model that could practise. The "
                f"reports are in {self._folder / 'reports'}; change the recipe and begin in another --folder."
            )
        questions, model = self._practice_questions(number), self._model(before)
        found: dict[str, Trace] = {}
        for attempt in range(self._plan.attempts):
            answers = self._folder / "practice" / f"{_round(number)}-{attempt + 1}.jsonl"
            seed = key(self._recipe.seed, "practice", number, attempt) % 2**31
            drawn = ["--temperature", str(self._plan.temperature), "--seed", str(seed)]
            self._answers(model, questions, answers, *drawn)
            for trace in self._accepted(answers, before, seed):
                found.setdefault(files.sha256_of(f"{trace.prompt}\n{[step.content for step in trace.steps]}"), trace)
        if not found:
            raise ClewError(
                f"The model of {before} answered none of {self._plan.practice:,} new questions in a way that the "
                f"checker accepts, so round {number} has nothing new to learn. Train the round before it for longer."
            )
        self._keep(number, iter(found.values()))
        self._state["accepted"][_round(number)] = len(found)
        self._say(f"round {number}: {len(found):,} of its own answers were accepted as traces")

    def _build(self, number: int) -> None:
        """A version of the dataset with the traces of all rounds so far."""
        before = self._before(number)
        with self._store() as store:
            built = build(
                store,
                BuildRequest(
                    dataset_name=self._recipe.name,
                    dataset_version=str(number),
                    filters={"loop": self._recipe.name},
                    parent_dataset_id=self._key(number - 1) if number > 1 else None,
                    training_run_id=None if before == BASE else open_run(self._run(before)).run_id,
                    provenance={"generator": self._generator.name, "round": number, "seed": self._recipe.seed},
                ),
                limit=2**31,
            )
        self._say(f"dataset {built.manifest.dataset_key}: {built.manifest.trace_count:,} traces")

    def _train(self, number: int) -> None:
        folder, model = self._run(_round(number)), self._run(_round(number)) / FINAL
        if files.is_file(folder / MANIFEST):
            self._call("training", "resume", str(folder))
        else:
            path = self._folder / f"{_round(number)}.yaml"
            files.write_text(path, f"{HEADING}\n{base.to_yaml(self._recipe_of(number))}")
            self._call("training", "train", str(path), "--output", str(folder))
        if not files.is_folder(model):
            # Killed between the last step and the export.
            self._call("export", "export", str(folder), str(model), "--which", "latest")

    def _evaluate(self, name: str) -> None:
        for each in self._sets:
            self._answers(self._model(name), self._questions(each), self._answered(name, each))

    def _report(self, number: int) -> None:
        for each in self._sets:
            before, after = (self._answered(name, each) for name in (self._before(number), _round(number)))
            output = self._folder / "reports" / f"{_round(number)}-{each}.md"
            self._call("report", "report", "--before", str(before), "--after", str(after), "--output", str(output))

    def _gate(self, number: int) -> None:
        before = self._before(number)
        with self._store() as store:
            old, new = (
                find_evaluation(store, str(self._answered(name, HELD_OUT))) for name in (before, _round(number))
            )
            baseline = f"{self._recipe.name}/{before}"
            set_baseline(store, baseline, old.id, replace=True)
            verdict = check(store, baseline, new, tolerance=self._plan.allowed_loss)
        self._state["gates"][_round(number)] = verdict.passed
        self._say(f"round {number}: {verdict.sentence}")

    # Their parts

    def _keep(self, number: int, traces: Iterator[Trace]) -> None:
        """Write the traces of a round in one transaction, unless they are there."""
        with self._store() as store:
            if next(store.iterate(filters={"loop": self._recipe.name, "round": number}), None) is None:
                mark = {"loop": self._recipe.name, "round": number}
                store.add([trace.model_copy(update={"meta": {**(trace.meta or {}), **mark}}) for trace in traces])

    def _practice_questions(self, number: int) -> Path:
        """New questions, of the levels in training and of the one beyond them that a model may practise on."""
        path = self._folder / "practice" / f"{_round(number)}.jsonl"
        if not files.is_file(path):
            plan, frontier = self._plan, self._generator.frontier
            seed = key(self._recipe.seed, "practice", number) % 2**31
            beyond = plan.practice // 2 if frontier else 0
            with self._store() as store:
                asked = {stored.trace.prompt for stored in store.iterate(filters={"loop": self._recipe.name})}
            parts = [self._generator.questions(beyond, seed, frontier, split="train")] if beyond else []
            near = self._generator.questions(4 * plan.practice, seed, split="train")
            parts.append(islice((each for each in near if each.prompt not in asked), plan.practice - beyond))
            write_evalset(path, (question for part in parts for question in part))
        return path

    def _accepted(self, answers: Path, model: str, seed: int) -> Iterator[Trace]:
        """Traces of the answers whose steps and result the generator's checker finds right."""
        for row in _rows(answers):
            said = answer_of(row["completion"])
            thought = steps_of(row["completion"])
            if said is None or not thought or self._generator.check_steps(row["prompt"], thought, said):
                continue
            yield Trace(
                trace_version="1.0",
                prompt=row["prompt"],
                final_answer=said,
                steps=tuple(Step(i=i, type="step", content=text) for i, text in enumerate(thought)),
                meta={
                    "source": "model",
                    "generator": self._generator.name,
                    "model": model,
                    "seed": seed,
                    "question_id": row["id"],
                    "difficulty": row.get("difficulty"),
                    "category": row.get("category"),
                },
            )

    def _recipe_of(self, number: int) -> ChatRecipe:
        before = self._before(number)
        changes: dict[str, Any] = {"data.path": self._key(number), "name": f"{self._recipe.name}-{number}"}
        if before != BASE:
            changes["start_from"] = str(self._run(before))
            changes["training.max_steps"] = self._plan.later_steps or self._recipe.training.max_steps
        return base.changed(self._recipe, changes, "clew loop")

    def _before(self, number: int) -> str:
        """What a round goes on from: the newest round before it that passed its gate, or the base."""
        passed = [each for each in range(1, number) if self._state["gates"].get(_round(each))]
        return _round(passed[-1]) if passed else BASE

    def _answers(self, model: str | Path, questions: Path, output: Path, *more: str) -> None:
        if files.is_file(output):
            return
        words = ["--model", str(model), "--eval-set", str(questions), "--output", str(output)]
        self._call("evaluation", "evaluate", "traces", *words, "--judge", "answer", *more)

    def _call(self, what: str, *arguments: str) -> None:
        """Run a `clew` command to its end."""
        self._stages.call(self._supervisor, what, *arguments)

    # Places

    def _questions(self, name: str) -> Path:
        return self._folder / "questions" / f"{name}.jsonl"

    def _answered(self, name: str, questions: str) -> Path:
        return self._folder / "evaluations" / f"{name}-{questions}.jsonl"

    def _run(self, name: str) -> Path:
        return self._folder / "runs" / name

    def _model(self, name: str) -> str:
        """What `--model` is given: the base that the recipe names, or what a round trained."""
        return self._recipe.model.base_model if name == BASE else str(self._run(name) / FINAL)

    def _key(self, number: int) -> str:
        return f"{self._recipe.name}-{number}"

    def _store(self) -> TraceStore:
        return TraceStore.open(self._recipe.data.db)

    def outcome(self) -> Outcome:
        """What the stages came to."""
        names = [BASE, *(_round(number) for number in range(1, self._plan.rounds + 1))]
        return Outcome(
            model=self._model(self._before(self._plan.rounds + 1)),
            seconds=round(sum(self._state["stages"].values()), 1),
            stages=dict(self._state["stages"]),
            scores={each: {name: _share(self._answered(name, each)) for name in names} for each in self._sets},
            gates=dict(self._state["gates"]),
            accepted=dict(self._state["accepted"]),
        )


def _round(number: int) -> str:
    return f"round-{number}"


def _rows(answers: Path) -> list[dict[str, Any]]:
    with files.sentences_for(answers, "read"):
        return [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]


def _share(answers: Path) -> Share:
    scores = [row["score"] for row in _rows(answers)]
    return share(round(sum(scores)), len(scores))
