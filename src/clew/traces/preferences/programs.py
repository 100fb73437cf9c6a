"""Programs that a checker prefers: the one that fits a task's examples; of two that do, the shorter; then the faster.

A prompt is the text of a task, as a `.dsl` file has it, and an answer the text of a program over its inputs:

    task drawn (xs: list) -> list
    example [3, 1, 2] -> [2, 4, 6]

    map (\\x -> x * 2) (sort xs)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clew.core.errors import EvidenceError
from clew.core.randomness import generator
from clew.programs.check import check_type
from clew.programs.interpret import Limits, compile_program, run_on
from clew.programs.parse import parse_expression
from clew.programs.pretty import pretty
from clew.programs.primitives import Type
from clew.programs.syntax import Expr, Inputs, ProgramError, Value, Variable, size, substitute
from clew.programs.task import Example, Task, format_task, parse_task
from clew.traces.evalset import Question
from clew.traces.preferences.pairs import Pair
from clew.traces.schema import InvalidError

INPUTS: Inputs = (("xs", Type.LIST),)
LIMITS = Limits(steps=10_000)
_STAGES = (
    "sort xs", "reverse xs", "unique xs", "take 2 xs", "drop 1 xs", "map (\\x -> x + 1) xs", "map (\\x -> x * 2) xs",
    "map (\\x -> neg x) xs", "filter (\\x -> even x) xs", "filter (\\x -> 2 < x) xs", "scan (\\x y -> x + y) xs",
    "append xs xs",
)  # fmt: skip
"""What programs are made of: one behind another, up to three."""
_ENDS = ("xs", "sum xs", "length xs", "maximum xs")
_EXAMPLES = 3
_REASONS = ("correct", "shorter", "faster")
"""Why the chosen program is better, one as often as the other."""


@dataclass(frozen=True)
class Verdict:
    """What a program is worth on a task."""

    correct: bool
    """Whether it gives what every example wants."""
    size: int
    """Nodes of its tree; 0 where it is none."""
    steps: int
    """What it takes on all examples together."""

    def better(self, other: Verdict) -> str:
        """Why this one is preferred: "correct", "shorter", "faster"; empty where it is not."""
        if self.correct != other.correct:
            return "correct" if self.correct else ""
        if not self.correct:
            return ""
        if self.size != other.size:
            return "shorter" if self.size < other.size else ""
        return "faster" if self.steps < other.steps else ""


def judge_program(task: Task, text: str) -> Verdict:
    """What the program of this text is worth; one that cannot be read, or stops with an error, is wrong."""
    try:
        expr = parse_expression(text.strip(), tuple(name for name, _ in task.inputs), "the answer")
        check_type(expr, task.inputs, task.output, "the answer")
    except ProgramError:
        return Verdict(False, 0, 0)
    values, steps = _run(expr, task.inputs, [example.arguments for example in task.examples])
    right = all(value == example.result for value, example in zip(values, task.examples, strict=True))
    return Verdict(right, size(expr), int(steps.sum()))


def score(question: Question, text: str) -> float:
    """A judge of programs: 0 for a wrong one, else 0.5 and up, the more the shorter (and then the faster) it is.

    Raises `InvalidError` for a prompt that is no task.
    """
    found = judge_program(task_of(question.prompt), text)
    if not found.correct:
        return 0.0
    return 0.5 + 0.5 / (found.size + found.steps / (found.steps + 1))


def task_of(prompt: str) -> Task:
    """The task that a prompt is. Raises `InvalidError` where it is none."""
    try:
        task = parse_task(prompt, "the prompt")
    except ProgramError as error:
        raise InvalidError(f"The prompt is no task for a program: {error}") from error
    if not task.examples:
        raise InvalidError(f"The task {task.name} has no examples, so no program for it can be checked.")
    return task


def make_pairs(count: int, seed: int) -> list[Pair]:
    """`count` pairs of programs for drawn tasks, no prompt twice; a function of `seed`."""
    pool = _pool()
    pairs: list[Pair] = []
    prompts: set[str] = set()
    for number in range(50 * count):
        if len(pairs) == count:
            return pairs
        random = generator(seed, "program pairs", number)
        pair = _drawn(pool, random, f"program-{len(pairs)}")
        if pair is not None and pair.prompt_key not in prompts:
            prompts.add(pair.prompt_key)
            pairs.append(pair)
    raise EvidenceError(f"No more than {len(pairs):,} different tasks could be drawn. Ask for fewer pairs.")


def make_questions(count: int, seed: int) -> list[Question]:
    """`count` drawn tasks as questions, whose expected answer is the shortest program known."""
    return [
        Question(id=pair.id, prompt=str(pair.prompt), expected_answer=str(pair.chosen), section="programs")
        for pair in make_pairs(count, seed)
    ]


@dataclass(frozen=True)
class _Held:
    expr: Expr
    size: int
    steps: int


@dataclass(frozen=True)
class _Pool:
    """Programs by what they do: `classes` do the same within, `output` the type of each."""

    classes: Sequence[Sequence[_Held]]
    outputs: Sequence[Type]

    def candidates(self, reason: str) -> list[int]:
        """Classes with two programs of which one is preferred for that reason."""
        found = []
        for number, members in enumerate(self.classes):
            sizes = {each.size for each in members}
            kinds = {(each.size, each.steps) for each in members}
            if reason == "correct" or (len(sizes) > 1 if reason == "shorter" else len(kinds) > len(sizes)):
                found.append(number)
        return found


@lru_cache(maxsize=1)
def _pool() -> _Pool:
    """Every program of up to three stages and an end, by its behaviour on drawn lists."""
    random = generator(0, "program pool")
    cases = [(_list(random),) for _ in range(16)]
    stages, ends = [[_parsed(text) for text in texts] for texts in (_STAGES, _ENDS)]
    chains: list[Expr] = [Variable("xs")]
    every = list(itertools.chain.from_iterable(itertools.product(stages, repeat=length) for length in (1, 2, 3)))
    # All of one and two stages, and as many again of three: to run them takes most of a second.
    few = len(stages) * (1 + len(stages))
    for place in [*range(few), *sorted((few + random.permutation(len(every) - few)[:few]).tolist())]:
        expr: Expr = Variable("xs")
        for stage in every[place]:
            expr = substitute(stage, {"xs": expr})
        chains.append(expr)
    classes: dict[tuple[Value, ...], list[_Held]] = {}
    for chain in chains:
        for end in ends:
            expr = substitute(end, {"xs": chain})
            if isinstance(expr, Variable) or size(expr) > 12:
                continue
            values, steps = _run(expr, INPUTS, cases)
            told = tuple(value for value in values if value is not None)
            # A program that often stops, or says the same of everything, makes no task.
            if len(told) == len(cases) and len(set(told)) > 5:
                classes.setdefault(told, []).append(_Held(expr, size(expr), int(steps.sum())))
    return _Pool(
        list(classes.values()),
        [Type.LIST if isinstance(told[0], tuple) else Type.INT for told in classes],
    )


def _drawn(pool: _Pool, random: np.random.Generator, name: str) -> Pair | None:
    """A pair for a drawn task; None where this draw gives none."""
    reason = _REASONS[int(random.integers(len(_REASONS)))]
    among = _candidates(reason)
    number = among[int(random.integers(len(among)))]
    members = sorted(pool.classes[number], key=lambda each: (each.size, each.steps))
    best = members[0]
    if reason == "correct":
        others = [place for place, output in enumerate(pool.outputs) if output is pool.outputs[number]]
        rejected = pool.classes[others[int(random.integers(len(others)))]][0]
    else:
        worse = [
            each
            for each in members[1:]
            if (each.size > best.size if reason == "shorter" else each.size == best.size and each.steps > best.steps)
        ]
        if not worse:
            return None
        rejected = worse[int(random.integers(len(worse)))]
    cases = [(_list(random),) for _ in range(_EXAMPLES)]
    values, _ = _run(best.expr, INPUTS, cases)
    examples = [Example(case, value) for case, value in zip(cases, values, strict=True) if value is not None]
    if len({example.arguments for example in examples}) < _EXAMPLES:
        return None
    task = Task("drawn", INPUTS, pool.outputs[number], tuple(examples))
    chosen, other = pretty(best.expr), pretty(rejected.expr)
    if judge_program(task, chosen).better(judge_program(task, other)) != reason:
        return None
    return Pair(name, format_task(task).rstrip("\n"), chosen, other, {"preferred": reason})


@lru_cache(maxsize=8)
def _candidates(reason: str) -> list[int]:
    return _pool().candidates(reason)


def _list(random: np.random.Generator) -> tuple[int, ...]:
    """Two to five numbers from 0 to 9."""
    return tuple(int(value) for value in random.integers(0, 10, int(random.integers(2, 6))))


def _parsed(text: str) -> Expr:
    return parse_expression(text, tuple(name for name, _ in INPUTS))


def _run(
    expr: Expr, inputs: Inputs, cases: Sequence[Sequence[Value]]
) -> tuple[list[Value | None], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    return run_on(compile_program(expr, inputs), cases, LIMITS)
