"""How fast is the strong opponent, the bottom-up search without a model?

Candidate programs built and valued a second on one core, over shipped tasks that it does not solve at once; beside it a
plain bottom-up search in Python with the same pruning, as one would write it first (`Plain`), on the same tasks. And
how many of the tasks that ship it solves within 0.1 s and within 1 s. With `--full` each task has ten times the time.
"""

from __future__ import annotations

import argparse
import itertools
import operator
import time
from collections.abc import Callable, Iterator
from typing import Any

from common import emit, figure, say

from clew.programs.grammar import FULL, NONTERMINALS, Nonterminal
from clew.programs.primitives import LARGEST, LONGEST, PRIMITIVES, FunctionType, Type
from clew.programs.search.enumeration import enumerate_programs, ready
from clew.programs.search.problem import Budget, Found, Problem, of_task
from clew.programs.task import find_task, shipped_tasks

HARD = ("histogram", "running_means", "longest_streak", "count_rises", "primes_below", "only_in_first", "collatz_step")
TARGET = 1_000_000


class FailedError(Exception):
    """An error of the language."""


def _whole(number: int) -> int:
    if not -LARGEST <= number <= LARGEST:
        raise FailedError
    return number


def _short(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(values) > LONGEST:
        raise FailedError
    return values


def _divided(rule: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def run(a: int, b: int) -> int:
        if b == 0:
            raise FailedError
        return rule(a, b)

    return run


def _of_some(rule: Callable[[tuple[int, ...]], int]) -> Callable[[tuple[int, ...]], int]:
    def run(values: tuple[int, ...]) -> int:
        if not values:
            raise FailedError
        return rule(values)

    return run


def _at(place: int, values: tuple[int, ...]) -> int:
    if not 0 <= place < len(values):
        raise FailedError
    return values[place]


def _fold(function: Callable[..., int], start: int, values: tuple[int, ...]) -> int:
    for value in values:
        start = function(start, value)
    return start


def _range(n: int) -> tuple[int, ...]:
    if n > LONGEST:
        raise FailedError
    return tuple(range(n))


def _stages(function: Callable[..., int], values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(itertools.accumulate(values, function))


def _gathered(rule: Callable[[int, int], int], start: int) -> Callable[[tuple[int, ...]], int]:
    return lambda values: _fold(lambda a, b: _whole(rule(a, b)), start, values)


WORDS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: _whole(a + b),
    "sub": lambda a, b: _whole(a - b),
    "mul": lambda a, b: _whole(a * b),
    "div": _divided(operator.floordiv),
    "mod": _divided(operator.mod),
    "neg": operator.neg,
    "abs": abs,
    "min": min,
    "max": max,
    "if": lambda a, b, c: b if a else c,
    "eq": operator.eq,
    "lt": operator.lt,
    "le": operator.le,
    "even": lambda a: a % 2 == 0,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": operator.not_,
    "head": _of_some(lambda values: values[0]),
    "last": _of_some(lambda values: values[-1]),
    "at": _at,
    "length": len,
    "sum": _gathered(operator.add, 0),
    "product": _gathered(operator.mul, 1),
    "minimum": _of_some(min),
    "maximum": _of_some(max),
    "count": lambda function, values: sum(map(function, values)),
    "fold": _fold,
    "is_empty": operator.not_,
    "contains": lambda value, values: value in values,
    "all": lambda function, values: all(map(function, values)),
    "any": lambda function, values: any(map(function, values)),
    "map": lambda function, values: tuple(map(function, values)),
    "filter": lambda function, values: tuple(filter(function, values)),
    "zip": lambda function, one, two: tuple(map(function, one, two)),
    "scan": _stages,
    "take": lambda n, values: values[: max(n, 0)],
    "drop": lambda n, values: values[max(n, 0) :],
    "sort": lambda values: tuple(sorted(values)),
    "reverse": lambda values: values[::-1],
    "unique": lambda values: tuple(dict.fromkeys(values)),
    "append": lambda one, two: _short(one + two),
    "cons": lambda value, values: _short((value, *values)),
    "range": _range,
}
PROBES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((),),
    tuple((x,) for x in range(-8, 11)),
    tuple((x, y) for x in range(-3, 5) for y in range(-2, 4)),
)


class Plain:
    """Bottom-up by size, in Python: values on the examples as tuples, those seen before in a set.

    A body of a lambda is a Python function of the example and the parameters, told apart on `PROBES`.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.nodes = 0
        self.terms: dict[tuple[int, int], list[Any]] = {}
        self._seen: list[set[Any]] = [set() for _ in NONTERMINALS]

    def run(self, seconds: float) -> bool:
        """Whether a program was found in time."""
        until = time.perf_counter() + seconds
        for size in itertools.count(1):
            for nonterminal in reversed(range(len(NONTERMINALS))):
                self.terms[nonterminal, size] = []
                for value in self._candidates(nonterminal, size):
                    self.nodes += 1
                    if self._keep(nonterminal, size, value):
                        return True
                    if time.perf_counter() > until:
                        return False
        return False

    def _keep(self, nonterminal: int, size: int, value: Any) -> bool:
        """Store a term that is new; return whether it is the program."""
        if value is None:
            return False
        scope = NONTERMINALS[nonterminal].scope
        known = value
        if scope:
            examples = range(len(self.problem.arguments)) if self._numbers() else range(1)
            known = tuple(_tried(value, example, probe) for example in examples for probe in PROBES[scope])
        elif nonterminal == self.problem.goal and value == self.problem.results:
            return True
        if known not in self._seen[nonterminal]:
            self._seen[nonterminal].add(known)
            self.terms[nonterminal, size].append(value)
        return False

    def _numbers(self) -> bool:
        return any(type_ is not Type.LIST for type_ in self.problem.input_types)

    def _candidates(self, nonterminal: int, size: int) -> Iterator[Any]:
        scope = NONTERMINALS[nonterminal].scope
        for action in FULL.legal(nonterminal, self.problem.input_types):
            production = FULL.productions[action]
            if not production.primitive:
                if size == 1:
                    yield self._terminal(production.literal, production.input, production.parameter or 0, scope)
                continue
            word, parameters = WORDS[production.primitive], PRIMITIVES[production.primitive].parameters
            holes = [
                NONTERMINALS.index(
                    Nonterminal(each.result, each.parameters)
                    if isinstance(each, FunctionType)
                    else Nonterminal(each, scope)
                )
                for each in parameters
            ]
            lambdas = isinstance(parameters[0], FunctionType)
            for sizes in itertools.product(range(1, size - len(holes) + 1), repeat=len(holes)):
                if sum(sizes) != size - 1:
                    continue
                below = [self.terms[hole, part] for hole, part in zip(holes, sizes, strict=True)]
                for children in itertools.product(*below):
                    yield (
                        self._body(production.primitive, word, children)
                        if scope
                        else self._value(word, children, lambdas)
                    )

    def _terminal(self, literal: int | None, place: int | None, parameter: int, scope: int) -> Any:
        count = len(self.problem.arguments)
        if literal is not None:
            return (lambda example, *given: literal) if scope else (literal,) * count
        if place is not None:
            values = tuple(arguments[place] for arguments in self.problem.arguments)
            return (lambda example, *given: values[example]) if scope else values
        return lambda example, *given: given[parameter]

    def _body(self, name: str, word: Callable[..., Any], children: tuple[Any, ...]) -> Any:
        if name == "if":
            condition, one, two = children
            return lambda *given: one(*given) if condition(*given) else two(*given)
        if name in ("and", "or"):
            one, two = children
            if name == "and":
                return lambda *given: one(*given) and two(*given)
            return lambda *given: one(*given) or two(*given)
        if len(children) == 1:
            only = children[0]
            return lambda *given: word(only(*given))
        one, two = children
        return lambda *given: word(one(*given), two(*given))

    def _value(self, word: Callable[..., Any], children: tuple[Any, ...], lambdas: bool) -> Any:
        found = []
        try:
            for example in range(len(self.problem.arguments)):
                if lambdas:
                    body = children[0]
                    first: Any = lambda *given, body=body, example=example: body(example, *given)  # noqa: E731
                    found.append(word(first, *(child[example] for child in children[1:])))
                else:
                    found.append(word(*(child[example] for child in children)))
        except FailedError:
            return None
        return tuple(found)


def _tried(body: Callable[..., Any], example: int, probe: tuple[int, ...]) -> Any:
    try:
        return body(example, *probe)
    except FailedError:
        return None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="ten times the time")
    seconds = 10.0 if parser.parse_args().full else 1.0
    ready()
    problems = [of_task(find_task(name)) for name in HARD]
    nodes, spent, processor, slowest = 0, 0.0, 0.0, float("inf")
    plain_nodes, plain_spent = 0, 0.0
    for problem in problems:
        begun = time.process_time()
        found = enumerate_programs(problem, budget=Budget(nodes=2**40, seconds=seconds, memory=2**30))
        processor += time.process_time() - begun
        nodes, spent = nodes + found.nodes, spent + found.seconds
        slowest = min(slowest, found.nodes / found.seconds)
        plain, begun = Plain(problem), time.perf_counter()
        plain.run(seconds)
        plain_nodes, plain_spent = plain_nodes + plain.nodes, plain_spent + time.perf_counter() - begun
        say(
            f"{problem.name}: {found.nodes / found.seconds:,.0f} a second, {found.kept / found.nodes:.0%} kept; "
            f"in Python {plain.nodes / seconds:,.0f}"
        )
    solved = [_solved(of_task(task), 1.0) for task in shipped_tasks()]
    figures = {
        "programs_per_second": figure(nodes / spent, "nodes/s", target=TARGET),
        "programs_per_second_of_processor": figure(nodes / processor, "nodes/s"),
        "programs_per_second_slowest_task": figure(slowest, "nodes/s"),
        "programs_per_second_plain_python": figure(plain_nodes / plain_spent, "nodes/s"),
        "ratio_plain_python": figure(nodes / spent / (plain_nodes / plain_spent), "times"),
        "shipped_tasks": figure(len(solved), "tasks"),
        "shipped_solved_in_a_tenth": figure(sum(each.solved and each.seconds <= 0.1 for each in solved), "tasks"),
        "shipped_solved_in_a_second": figure(sum(each.solved for each in solved), "tasks"),
    }
    emit("synthesis_speed", figures)


def _solved(problem: Problem, seconds: float) -> Found:
    return enumerate_programs(problem, budget=Budget(nodes=2**40, seconds=seconds, memory=2**30))


if __name__ == "__main__":
    main()
