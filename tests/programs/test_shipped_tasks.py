"""Every task that ships says what it means: examples, contracts and reference agree with a plain Python function."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clew.core.randomness import generator
from clew.programs.contracts import check, contradictions, required
from clew.programs.grammar import FULL, INPUTS, OF_BODIES
from clew.programs.interpret import compile_program, run_on
from clew.programs.primitives import Type
from clew.programs.syntax import Call, Expr, Lambda, Literal, freeze
from clew.programs.task import Task, format_task, parse_task, shipped_tasks

PLAIN: dict[str, Callable[..., Any]] = {
    "total": lambda xs: sum(xs),
    "how_many": lambda xs: len(xs),
    "ascending": lambda xs: sorted(xs),
    "backwards": lambda xs: xs[::-1],
    "largest": lambda xs: max(xs),
    "smallest": lambda xs: min(xs),
    "without_repeats": lambda xs: list(dict.fromkeys(xs)),
    "numbers_below": lambda n: list(range(n)),
    "first": lambda xs: xs[0],
    "product_of_all": lambda xs: math.prod(xs),
    "second": lambda xs: xs[1],
    "first_k": lambda k, xs: xs[:k],
    "all_but_first": lambda xs: xs[1:],
    "joined": lambda xs, ys: xs + ys,
    "is_member": lambda n, xs: n in xs,
    "descending": lambda xs: sorted(xs, reverse=True),
    "distinct_sorted": lambda xs: sorted(set(xs)),
    "count_distinct": lambda xs: len(set(xs)),
    "is_total_even": lambda xs: sum(xs) % 2 == 0,
    "parity": lambda xs: sum(xs) % 2,
    "merged": lambda xs, ys: sorted(xs + ys),
    "inserted": lambda n, xs: sorted([n, *xs]),
    "second_last": lambda xs: xs[-2],
    "kth_smallest": lambda k, xs: sorted(xs)[k],
    "kth_largest": lambda k, xs: sorted(xs)[-1 - k],
    "evens": lambda xs: [x for x in xs if x % 2 == 0],
    "count_evens": lambda xs: sum(x % 2 == 0 for x in xs),
    "negated": lambda xs: [-x for x in xs],
    "distances_from_zero": lambda xs: [abs(x) for x in xs],
    "doubled": lambda xs: [2 * x for x in xs],
    "incremented": lambda xs: [x + 1 for x in xs],
    "squares": lambda xs: [x * x for x in xs],
    "halved": lambda xs: [x // 2 for x in xs],
    "odds": lambda xs: [x for x in xs if x % 2 == 1],
    "positives": lambda xs: [x for x in xs if x > 0],
    "count_negatives": lambda xs: sum(x < 0 for x in xs),
    "count_above": lambda n, xs: sum(x > n for x in xs),
    "above": lambda n, xs: [x for x in xs if x > n],
    "shifted": lambda n, xs: [x + n for x in xs],
    "negatives_to_zero": lambda xs: [max(x, 0) for x in xs],
    "running_sums": lambda xs: list(itertools.accumulate(xs)),
    "running_maxima": lambda xs: list(itertools.accumulate(xs, max)),
    "running_minima": lambda xs: list(itertools.accumulate(xs, min)),
    "running_products": lambda xs: list(itertools.accumulate(xs, operator.mul)),
    "has_negative": lambda xs: any(x < 0 for x in xs),
    "all_positive": lambda xs: all(x > 0 for x in xs),
    "last_k": lambda k, xs: xs[max(len(xs) - k, 0) :],
    "all_but_last": lambda xs: xs[:-1],
    "top_k": lambda k, xs: sorted(xs, reverse=True)[:k],
    "spread": lambda xs: max(xs) - min(xs),
    "mean": lambda xs: sum(xs) // len(xs),
    "sum_of_evens": lambda xs: sum(x for x in xs if x % 2 == 0),
    "sorted_evens": lambda xs: sorted(x for x in xs if x % 2 == 0),
    "triangular": lambda n: n * (n + 1) // 2,
    "choose": lambda flag, n, m: n if flag else m,
    "sum_of_smallest": lambda k, xs: sum(sorted(xs)[:k]),
    "sum_of_largest": lambda k, xs: sum(sorted(xs, reverse=True)[:k]),
    "reverse_sorted_evens": lambda xs: sorted((x for x in xs if x % 2 == 0), reverse=True),
    "sum_of_squares": lambda xs: sum(x * x for x in xs),
    "sum_of_positives": lambda xs: sum(x for x in xs if x > 0),
    "sums_of_pairs": lambda xs, ys: [x + y for x, y in zip(xs, ys, strict=False)],
    "larger_of_each": lambda xs, ys: [max(x, y) for x, y in zip(xs, ys, strict=False)],
    "second_largest": lambda xs: sorted(set(xs))[-2],
    "has_repeats": lambda xs: len(set(xs)) < len(xs),
    "best_beginning": lambda xs: max(itertools.accumulate(xs)),
    "distances": lambda n, xs: [abs(x - n) for x in xs],
    "without": lambda n, xs: [x for x in xs if x != n],
    "first_half": lambda xs: xs[: len(xs) // 2],
    "second_half": lambda xs: xs[len(xs) // 2 :],
    "square_numbers": lambda n: [x * x for x in range(n)],
    "product_of_two_largest": lambda xs: sorted(xs)[-1] * sorted(xs)[-2],
    "dot_product": lambda xs, ys: sum(x * y for x, y in zip(xs, ys, strict=False)),
    "factorial": lambda n: math.factorial(n),
    "clamped": lambda low, high, xs: [max(low, min(x, high)) for x in xs],
    "nearest_distance": lambda n, xs: min(abs(x - n) for x in xs),
    "absolute_differences": lambda xs, ys: [abs(x - y) for x, y in zip(xs, ys, strict=False)],
    "median": lambda xs: sorted(xs)[len(xs) // 2],
    "count_records": lambda xs: sum(x > max(xs[:i], default=-(10**9)) for i, x in enumerate(xs)),
    "count_multiples": lambda n, xs: sum(x % n == 0 for x in xs),
    "rotated": lambda k, xs: xs[k:] + xs[:k],
    "caesar": lambda n, xs: [(x + n) % 10 for x in xs],
    "powers_of_two": lambda n: [2**i for i in range(n)],
    "trimmed_sum": lambda xs: sum(sorted(xs)[1:-1]),
    "neighbour_steps": lambda xs: [y - x for x, y in itertools.pairwise(xs)],
    "number_of_digits": lambda xs: int("0" + "".join(map(str, xs))),
    "polynomial": lambda n, xs: sum(c * n**i for i, c in enumerate(xs[::-1])),
    "best_stretch": lambda xs: max(sum(xs[i:j]) for i in range(len(xs)) for j in range(i + 1, len(xs) + 1)),
    "exclusive_or": lambda a, b: a != b,
    "sum_of_multiples_of_three": lambda n: sum(range(0, n, 3)),
    "weighted_sum": lambda xs: sum(i * x for i, x in enumerate(xs)),
    "best_neighbours": lambda xs: max(x + y for x, y in itertools.pairwise(xs)),
    "count_between": lambda low, high, xs: sum(low <= x <= high for x in xs),
    "divisors": lambda n: [x for x in range(1, n + 1) if n % x == 0],
    "collatz_step": lambda n: n // 2 if n % 2 == 0 else 3 * n + 1,
    "best_trade": lambda xs: max(xs[j] - xs[i] for i in range(len(xs)) for j in range(i, len(xs))),
    "alternating_signs": lambda xs: [x if i % 2 == 0 else -x for i, x in enumerate(xs)],
    "smallest_gap": lambda xs: min(abs(a - b) for i, a in enumerate(xs) for b in xs[:i]),
    "is_palindrome": lambda xs: xs == xs[::-1],
    "sign_balance": lambda xs: sum((x > 0) - (x < 0) for x in xs),
    "alternating_sum": lambda xs: sum(xs[0::2]) - sum(xs[1::2]),
    "is_ascending": lambda xs: xs == sorted(xs),
    "count_rises": lambda xs: sum(x < y for x, y in itertools.pairwise(xs)),
    "is_perfect": lambda n: n == sum(x for x in range(1, n) if n % x == 0),
    "running_means": lambda xs: [sum(xs[: i + 1]) // (i + 1) for i in range(len(xs))],
    "is_prime": lambda n: n > 1 and all(n % x for x in range(2, n)),
    "longest_streak": lambda xs: max(len(s) for s in "".join("+" if x > 0 else " " for x in xs).split(" ")),
    "common": lambda xs, ys: [x for x in xs if x in ys],
    "only_in_first": lambda xs, ys: [x for x in xs if x not in ys],
    "deviations": lambda xs: [x - sum(xs) // len(xs) for x in xs],
    "above_mean": lambda xs: [x for x in xs if x * len(xs) > sum(xs)],
    "histogram": lambda xs: [xs.count(x) for x in dict.fromkeys(xs)],
    "at_even_places": lambda xs: xs[::2],
    "inversions": lambda xs: sum(a > b for i, b in enumerate(xs) for a in xs[:i]),
    "primes_below": lambda n: [p for p in range(2, n) if all(p % x for x in range(2, p))],
}
TASKS = shipped_tasks()


def plain_result(task: Task, arguments: tuple[Any, ...]) -> Any:
    """What the plain function gives for arguments whose lists are tuples."""
    return freeze(PLAIN[task.name](*(list(each) if isinstance(each, tuple) else each for each in arguments)))


def drawn_value(rng: np.random.Generator, type_: Type, least: int) -> Any:
    """A random value; the elements of a list are from `least` to 9."""
    if type_ is Type.INT:
        return int(rng.integers(-3, 13))
    return bool(rng.integers(2)) if type_ is Type.BOOL else tuple(rng.integers(least, 10, rng.integers(9)).tolist())


def drawn(task: Task, count: int) -> list[tuple[Any, ...]]:
    """Random arguments that meet the requirements of a task."""
    found: list[tuple[Any, ...]] = []
    for trial in range(60 * count):
        rng = generator(3, task.name, trial)
        arguments = tuple(drawn_value(rng, type_, (0, -9)[trial % 2]) for type_ in task.types)
        if not required(task, arguments):
            found.append(arguments)
        if len(found) == count:
            return found
    raise AssertionError(f"{task.name}: {len(found)} of {count} draws meet the requirements")


def in_search_grammar(expr: Expr, *, body: bool = False) -> bool:
    """Whether the search can write a tree: its literals, and lambdas without lists in them."""
    if isinstance(expr, Lambda):
        return not body and in_search_grammar(expr.body, body=True)
    if isinstance(expr, Call):
        allowed = not body or expr.primitive in OF_BODIES
        return allowed and all(in_search_grammar(argument, body=body) for argument in expr.arguments)
    literals = {production.literal for production in FULL.productions}
    return not isinstance(expr, Literal) or (not isinstance(expr.value, bool) and expr.value in literals)


def test_there_are_enough_tasks_of_rising_difficulty_and_most_are_in_reach_of_the_search() -> None:
    assert len(TASKS) >= 100
    assert [task.level for task in TASKS] == sorted(task.level for task in TASKS)
    assert len({task.level for task in TASKS}) >= 12
    reachable = [task for task in TASKS if task.reference is not None and in_search_grammar(task.reference)]
    assert len(reachable) >= 0.9 * len(TASKS)
    assert all(1 <= len(task.inputs) <= INPUTS for task in TASKS)
    assert set(PLAIN) == {task.name for task in TASKS}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_examples_contracts_and_reference_agree_with_plain_python(task: Task) -> None:
    assert task.source.where.endswith(f"{task.name}.dsl")
    assert task.about.endswith(".")
    assert task.about.count(".") >= 1
    assert len(task.examples) == 5 or set(task.types) == {Type.BOOL}
    assert not contradictions(task)
    for example in task.examples:
        assert example.result == plain_result(task, example.arguments)
    assert task.reference is not None
    cases = drawn(task, 12)
    program = compile_program(task.reference, task.inputs)
    assert run_on(program, cases)[0] == [plain_result(task, case) for case in cases]
    assert not any(check(task, program, case) for case in cases)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_is_written_and_read_again(task: Task) -> None:
    assert parse_task(format_task(task)) == task


def test_no_shorter_reference_fits_the_examples_of_a_task() -> None:
    """Examples are informative: they tell the task from every easier one with the same inputs."""
    for task in TASKS:
        for other in TASKS:
            if other.level < task.level and other.types == task.types and other.output is task.output:
                assert other.reference is not None
                values, _ = run_on(
                    compile_program(other.reference, other.inputs), [example.arguments for example in task.examples]
                )
                assert values != [example.result for example in task.examples], f"{other.name} fits {task.name}"
