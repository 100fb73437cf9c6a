"""The closed loop of program search: a guide learns from short demonstrations, and then from what it solves itself.

    round 0:  random short programs are demonstrated -> train -> export -> evaluate held out
    round r:  tasks of rising size are drawn -> the last guide searches for them -> what it solves joins the
              demonstrations -> training goes on from its weights -> export -> evaluate held out

Expert iteration (Anthony, Tian and Barber 2017) with the search of `clew.programs.search` as the expert. No reference
of a training task is ever shown to the model: what it learns from are programs that it found. Each stage is noted when
it is done (`clew.runs.stages`), so a loop that was killed anywhere goes on where it was, and comes to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from clew.core import files, plots
from clew.core.errors import ClewError, UsageError
from clew.core.intervals import Share, share
from clew.core.supervisor import Supervisor
from clew.programs.behaviour import behaviour, computes, shipped
from clew.programs.demonstrating import demonstrate, demonstration, draw_tasks
from clew.programs.demonstrations import Demonstration, Demonstrations, read, write
from clew.programs.grammar import FULL, INPUTS, Grammar
from clew.programs.guidance import BundleGuide, Guide
from clew.programs.held_out import PER_POOL
from clew.programs.parse import parse_expression
from clew.programs.pretty import pretty
from clew.programs.search.gain import run_all
from clew.programs.search.problem import Budget, Found, of_task
from clew.programs.syntax import Expr
from clew.programs.task import Task, shipped_tasks
from clew.recipes import base
from clew.recipes.imitation import ImitationRecipe
from clew.runs.folder import MANIFEST
from clew.runs.stages import HEADING, Say, Stages, say_on_stderr

CURVE, PICTURE = "curve.json", "curve.png"
SMALLEST = 3
"""Nodes of the smallest program that a task is drawn from."""
BASELINE = "baseline"
_EVER = 1e6
"""Seconds: a search of the loop ends by its nodes, so that a busy machine changes nothing."""
_LEAST = 0.02
"""What the weight of a size never falls below, next to p (1 - p) of the share p that was solved."""
_PER_POOL = 24
"""Tasks that are drawn for the same arguments: few, since a loop has few tasks in all."""
_CURVE = files.json_output("the curve of a loop", "rounds", "baseline")


@dataclass(frozen=True)
class Outcome:
    """What a loop came to."""

    model: str
    """Folder of the last round's bundle."""
    seconds: float
    """Over all calls."""
    stages: dict[str, float]
    """Seconds that each stage took."""
    nodes: int
    """Budget of each search."""
    baseline: dict[str, Share]
    """Share of the held-out and of the shipped tasks that the enumeration without a model solves."""
    rounds: list[dict[str, Any]]
    """Each round: tasks that are demonstrated and states of them, training tasks tried and solved (by size too), the
    weights that they were drawn by, and the shares of held-out and shipped tasks that were solved."""


def settled(recipe: ImitationRecipe) -> ImitationRecipe:
    """`recipe`, checked. Raises `UsageError` for what a loop has no use for."""
    if recipe.data.grammar != FULL.name:
        raise UsageError("A loop searches with the full grammar: its tasks are of that. Leave out data.grammar.")
    if recipe.data.path:
        raise UsageError("A loop makes its demonstrations itself. Leave out data.path.")
    return recipe


def loop(recipe: ImitationRecipe, folder: Path, *, say: Say = say_on_stderr) -> Outcome:
    """Run the rounds of `recipe` in `folder`, or go on with them.

    Raises `InterruptedRunError` after Ctrl-C, `UsageError` for a folder of another loop, `ClewError` where a command
    failed; in each case the same call goes on.
    """
    made = _Loop(settled(recipe), folder, say)
    with Supervisor() as supervisor:
        made.run(supervisor)
    return made.outcome()


class _Loop:
    """A loop in its folder."""

    def __init__(self, recipe: ImitationRecipe, folder: Path, say: Say) -> None:
        self._recipe, self._plan, self._folder, self._say = recipe, recipe.loop, folder, say
        self._grammar: Grammar = FULL
        self._stages = Stages(folder, recipe, what="programs", say=say)
        self._shipped = [task for task in shipped_tasks() if len(task.inputs) <= INPUTS]
        files.check_output(folder / PICTURE, files.PNG)
        files.check_output(folder / CURVE, _CURVE)

    def run(self, supervisor: Supervisor) -> None:
        """Every stage that is not done."""
        self._supervisor = supervisor
        self._stages.do("held out", self._hold_out)
        self._stages.do(BASELINE, partial(self._evaluate, BASELINE))
        for number in range(self._plan.rounds + 1):
            name = _round(number)
            if number == 0:
                self._stages.do(f"{name}/demonstrate", self._demonstrate)
            else:
                self._stages.do(f"{name}/tasks", partial(self._draw, number))
                self._stages.do(f"{name}/search", partial(self._search, number))
                self._stages.do(f"{name}/learn", partial(self._learn, number))
            self._stages.do(f"{name}/train", partial(self._train, number))
            self._stages.do(f"{name}/evaluate", partial(self._evaluate, name))
            self._tell(number)

    # Stages

    def _hold_out(self) -> None:
        """Tasks to evaluate on, of every size alike."""
        drawn = draw_tasks(
            self._plan.held_out,
            self._recipe.seed,
            self._grammar,
            purpose="loop: held out",
            sizes=self._sizes(self._plan.largest),
            exclude=shipped(),
            per_pool=PER_POOL,
        )
        self._write_tasks(self._held_out, [made.task for made in drawn])

    def _demonstrate(self) -> None:
        plan, data = self._plan, self._recipe.data
        made = demonstrate(
            data.demonstrations,
            self._recipe.seed,
            self._grammar,
            sizes=self._sizes(plan.demonstrated),
            exclude=self._never_learnt(),
            per_pool=_PER_POOL,
        )
        write(self._evidence(0), made)

    def _draw(self, number: int) -> None:
        """The tasks of a round: new ones by the success of the round before, and some that it did not solve."""
        earlier = [self._tasks(each) for each in range(1, number)]
        again = self._unsolved(number - 1)[: self._plan.tried_again] if number > 1 else []
        weights = self._weights(number)
        drawn = draw_tasks(
            self._plan.tasks,
            self._recipe.seed,
            self._grammar,
            purpose=f"loop: {_round(number)}",
            sizes=weights,
            exclude=self._never_learnt() | computes(task for tasks in earlier for task in tasks),
            per_pool=_PER_POOL,
        )
        self._write_tasks(self._place("tasks", number, "jsonl"), [*again, *(made.task for made in drawn)])

    def _search(self, number: int) -> None:
        """Search for the tasks of a round with the guide of the round before."""
        tasks = self._tasks(number)
        found = self._run(tasks, BundleGuide(self._model(number - 1), self._grammar))
        rows = [_row(task, each) for task, each in zip(tasks, found, strict=True)]
        files.write_json(self._place("searches", number, "json"), {"weights": self._weights(number), "rows": rows})
        solved = sum(row["solved"] for row in rows)
        self._say(f"round {number}: {solved:,} of {len(rows):,} training tasks solved")

    def _learn(self, number: int) -> None:
        """What a round solved becomes evidence beside all that was there, each behaviour once."""
        before = read(self._evidence(number - 1))
        known = {*computes(each.task for each in before.items), *self._never_learnt()}
        new: list[Demonstration] = []
        for task, row in zip(self._tasks(number), self._rows(number), strict=True):
            if not row["solved"]:
                continue
            program = _parsed(row["program"], task)
            does = behaviour(program, task.inputs)
            if does not in known:
                known.add(does)
                learnt = replace(task, name=f"found_{does}", reference=program)
                new.append(demonstration(learnt, self._recipe.seed, self._grammar))
        write(self._evidence(number), Demonstrations(self._grammar, (*before.items, *new), before.made))
        self._say(f"round {number}: {len(new):,} programs that it found are new evidence")

    def _train(self, number: int) -> None:
        name = _round(number)
        run, model = self._folder / "runs" / name, self._model(number)
        if files.is_file(run / MANIFEST):
            self._call("training", "resume", str(run))
        else:
            path = self._folder / f"{name}.yaml"
            files.write_text(path, f"{HEADING}\n{base.to_yaml(self._recipe_of(number))}")
            self._call("training", "train", str(path), "--output", str(run))
        if not files.is_folder(model):
            self._call("export", "export", str(run), str(model))

    def _evaluate(self, name: str) -> None:
        """Search for the held-out and the shipped tasks, with a round's guide or without any."""
        guide = None if name == BASELINE else BundleGuide(self._folder / "models" / name, self._grammar)
        told = {}
        for group, tasks in (("held_out", self._read_tasks(self._held_out)), ("shipped", self._shipped)):
            told[group] = [_row(task, each) for task, each in zip(tasks, self._run(tasks, guide), strict=True)]
        files.write_json(self._folder / "evaluations" / f"{name}.json", told)

    # Their parts

    def _call(self, what: str, *arguments: str) -> None:
        """Run a `clew` command to its end."""
        self._stages.call(self._supervisor, what, *arguments)

    def _run(self, tasks: Sequence[Task], guide: Guide | None) -> tuple[Found, ...]:
        budget = Budget(nodes=self._plan.nodes, seconds=_EVER)
        return run_all([of_task(task) for task in tasks], guide, budget=budget)

    def _sizes(self, largest: int) -> dict[int, float]:
        return dict.fromkeys(range(SMALLEST, largest + 1), 1.0)

    def _weights(self, number: int) -> dict[int, float]:
        """Size -> how often a task of it is drawn: most where the last guide solves every other one.

        A size that it always solves teaches nothing new, one that it never solves gives no program to learn from.
        """
        if number == 1:
            return self._sizes(self._plan.largest)
        tried, solved = _by_size(self._rows(number - 1))
        weights = {}
        for size in self._sizes(self._plan.largest):
            chance = (solved[size] + 1) / (tried[size] + 2)
            weights[size] = round(chance * (1 - chance) + _LEAST, 4)
        return weights

    def _unsolved(self, number: int) -> list[Task]:
        """What a round did not solve, the smallest programs first."""
        pairs = zip(self._tasks(number), self._rows(number), strict=True)
        return sorted((task for task, row in pairs if not row["solved"]), key=lambda task: (task.level, task.name))

    def _never_learnt(self) -> frozenset[str]:
        """What held-out and shipped tasks compute."""
        return computes(self._read_tasks(self._held_out)) | shipped()

    def _recipe_of(self, number: int) -> ImitationRecipe:
        changes: dict[str, Any] = {
            "data.path": str(self._evidence(number)),
            "name": f"{self._recipe.name}-{number}",
        }
        if number:
            changes["start_from"] = str(self._folder / "runs" / _round(number - 1))
            changes["training.max_epochs"] = self._plan.later_epochs
        return base.changed(self._recipe, changes, "clew loop")

    # Files

    @property
    def _held_out(self) -> Path:
        return self._folder / "tasks" / "held_out.jsonl"

    def _place(self, what: str, number: int, ending: str) -> Path:
        return self._folder / what / f"{_round(number)}.{ending}"

    def _evidence(self, number: int) -> Path:
        return self._place("demonstrations", number, "jsonl")

    def _model(self, number: int) -> Path:
        return self._folder / "models" / _round(number)

    def _write_tasks(self, path: Path, tasks: Iterable[Task]) -> None:
        items = tuple(Demonstration(task, ()) for task in tasks)
        write(path, Demonstrations(self._grammar, items, {"seed": self._recipe.seed}))

    def _read_tasks(self, path: Path) -> list[Task]:
        return [each.task for each in read(path).items]

    def _tasks(self, number: int) -> list[Task]:
        return self._read_tasks(self._place("tasks", number, "jsonl"))

    def _rows(self, number: int) -> list[dict[str, Any]]:
        return list(_object(self._place("searches", number, "json"))["rows"])

    # What came of it

    def outcome(self) -> Outcome:
        """What the stages that are done came to."""
        rounds = []
        for number in range(self._plan.rounds + 1):
            if f"{_round(number)}/evaluate" not in self._stages.state["stages"]:
                break
            rounds.append(self._figures(number))
        stages = dict(self._stages.state["stages"])
        return Outcome(
            model=str(self._model(max(0, len(rounds) - 1))),
            seconds=round(sum(stages.values()), 1),
            stages=stages,
            nodes=self._plan.nodes,
            baseline=self._shares(BASELINE),
            rounds=rounds,
        )

    def _figures(self, number: int) -> dict[str, Any]:
        evidence = read(self._evidence(number))
        told: dict[str, Any] = {"round": number, "demonstrated": len(evidence), "states": evidence.states}
        if number:
            rows = self._rows(number)
            tried, solved = _by_size(rows)
            told |= {
                "tried": len(rows),
                "solved": sum(row["solved"] for row in rows),
                "by_size": {str(size): [solved[size], tried[size]] for size in sorted(tried)},
                "weights": {str(size): weight for size, weight in self._weights(number).items()},
            }
        return told | {group: asdict(each) for group, each in self._shares(_round(number)).items()}

    def _shares(self, name: str) -> dict[str, Share]:
        rows = _object(self._folder / "evaluations" / f"{name}.json")
        return {group: share(sum(row["solved"] for row in rows[group]), len(rows[group])) for group in rows}

    def _tell(self, number: int) -> None:
        """The curve so far, as JSON and as a picture."""
        outcome = self.outcome()
        told = {key: value for key, value in asdict(outcome).items() if key not in ("seconds", "stages", "model")}
        files.write_json(self._folder / CURVE, told, replaces=_CURVE)
        draw_curve(outcome, self._folder / PICTURE)
        for group, plain in outcome.baseline.items():
            each = Share(**outcome.rounds[number][group])
            self._say(
                f"round {number}: {each.value:.1%} of {each.cases} {_named(group)} tasks solved within "
                f"{self._plan.nodes:,} nodes ({each.low:.1%} to {each.high:.1%}; without a model {plain.value:.1%})"
            )


def draw_curve(outcome: Outcome, path: Path) -> None:
    """Draw solved tasks over the rounds, and training tasks by size in the first and the last, into a PNG.

    Raises `ClewError` when matplotlib is not installed or the file cannot be written.
    """
    figure, grid = plots.figure(1, 2, size=(10, 3.6))
    left, right = grid[0]
    numbers = [each["round"] for each in outcome.rounds]
    for group, colour in (("held_out", plots.MODEL), ("shipped", plots.OTHER)):
        values = [100 * each[group]["value"] for each in outcome.rounds]
        spans = [
            [100 * abs(each[group][end] - each[group]["value"]) for each in outcome.rounds] for end in ("low", "high")
        ]
        label = _named(group)
        left.errorbar(numbers, values, yerr=spans, color=colour, marker="o", ms=4, capsize=2, label=label)
        left.axhline(100 * outcome.baseline[group].value, color=colour, lw=1, ls=":")
    left.set(xlabel="round", ylabel="% solved", title=f"solved within {outcome.nodes:,} nodes (dotted: no model)")
    left.set_xticks(numbers)
    left.legend(frameon=False)
    searched = [each for each in outcome.rounds if "by_size" in each]
    for each, colour in zip(searched[:1] + searched[1:][-1:], (plots.OTHER, plots.MODEL), strict=False):
        sizes = sorted(map(int, each["by_size"]))
        shares = [100 * solved / tried for solved, tried in (each["by_size"][str(size)] for size in sizes)]
        right.plot(sizes, shares, color=colour, marker="o", ms=4, label=f"round {each['round']}")
    right.set(xlabel="nodes of the task's program", ylabel="% solved", title="training tasks by size")
    if searched:
        right.legend(frameon=False)
    plots.save_png(figure, path)


def _named(group: str) -> str:
    return group.replace("_", "-")


def _round(number: int) -> str:
    return f"round-{number}"


def _row(task: Task, found: Found) -> dict[str, Any]:
    """What a search for a task came to. `right`: the program also does what the task's reference does elsewhere."""
    row: dict[str, Any] = {"name": task.name, "size": task.level, "solved": found.solved, "nodes": found.nodes}
    if found.program is not None:
        row["program"] = pretty(found.program)
        if task.reference is not None:
            row["right"] = behaviour(found.program, task.inputs) == behaviour(task.reference, task.inputs)
    return row


def _parsed(text: str, task: Task) -> Expr:
    return parse_expression(text, [name for name, _ in task.inputs])


def _by_size(rows: Iterable[Mapping[str, Any]]) -> tuple[Counter[int], Counter[int]]:
    """Size of a task's program -> how many were tried, and solved."""
    tried: Counter[int] = Counter()
    solved: Counter[int] = Counter()
    for row in rows:
        tried[int(row["size"])] += 1
        solved[int(row["size"])] += bool(row["solved"])
    return tried, solved


def _object(path: Path) -> dict[str, Any]:
    value = files.read_json(path, what="a part of a loop")
    if not isinstance(value, dict):
        raise ClewError(f"{path} holds no JSON object: it is not a part of a loop. Remove it and begin again.")
    return value
