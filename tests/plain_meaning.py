"""What a program means, in plain Python: a walk over the tree, written from the table of primitives. Slow; the judge.

It shares nothing with the compiled machine but the tree and the two limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clew.programs.primitives import LARGEST, LONGEST
from clew.programs.syntax import Call, Expr, Lambda, Literal, Variable


class StoppedError(Exception):
    """What stopped a program: `empty`, `position`, `zero`, `large`, `long` or `steps`."""


class Meaning:
    """One run, which counts its steps."""

    def __init__(self, limit: int) -> None:
        self.steps = 0
        self.limit = limit

    def pay(self, steps: int) -> None:
        """Count steps."""
        self.steps += steps
        if self.steps > self.limit:
            self.steps = self.limit + 1
            raise StoppedError("steps")

    def of(self, expr: Expr, scope: dict[str, Any]) -> Any:
        """The value of a tree; a lambda is a Python function."""
        match expr:
            case Literal(value):
                return value
            case Variable(name):
                return scope[name]
            case Lambda(parameters, body):
                return lambda *values: self.of(body, {**scope, **dict(zip(parameters, values, strict=True))})
            case Call("if" | "and" | "or" as name, (first, *rest)):
                truth = self.of(first, scope)
                self.pay(1)
                if name == "if":
                    return self.of(rest[0] if truth else rest[1], scope)
                return self.of(rest[0], scope) if truth == (name == "and") else truth
            case Call(name, arguments):
                values = [self.of(argument, scope) for argument in arguments]
                self.pay(1)
                return getattr(self, f"do_{name}")(*values)
        raise AssertionError(expr)

    # arithmetic, comparison and logic
    def do_add(self, a: int, b: int) -> int:
        return within(a + b)

    def do_sub(self, a: int, b: int) -> int:
        return within(a - b)

    def do_mul(self, a: int, b: int) -> int:
        return within(a * b)

    def do_div(self, a: int, b: int) -> int:
        if b == 0:
            raise StoppedError("zero")
        return a // b

    def do_mod(self, a: int, b: int) -> int:
        if b == 0:
            raise StoppedError("zero")
        return a % b

    def do_neg(self, a: int) -> int:
        return -a

    def do_abs(self, a: int) -> int:
        return abs(a)

    def do_min(self, a: int, b: int) -> int:
        return min(a, b)

    def do_max(self, a: int, b: int) -> int:
        return max(a, b)

    def do_eq(self, a: int, b: int) -> bool:
        return a == b

    def do_lt(self, a: int, b: int) -> bool:
        return a < b

    def do_le(self, a: int, b: int) -> bool:
        return a <= b

    def do_even(self, a: int) -> bool:
        return a % 2 == 0

    def do_not(self, a: bool) -> bool:
        return not a

    # list to number or truth value
    def do_head(self, xs: tuple[int, ...]) -> int:
        return filled(xs)[0]

    def do_last(self, xs: tuple[int, ...]) -> int:
        return filled(xs)[-1]

    def do_at(self, n: int, xs: tuple[int, ...]) -> int:
        if not 0 <= n < len(xs):
            raise StoppedError("position")
        return xs[n]

    def do_length(self, xs: tuple[int, ...]) -> int:
        return len(xs)

    def do_is_empty(self, xs: tuple[int, ...]) -> bool:
        return not xs

    def do_sum(self, xs: tuple[int, ...]) -> int:
        self.pay(len(xs))
        return [within(sum(xs[:end])) for end in range(len(xs) + 1)][-1]

    def do_product(self, xs: tuple[int, ...]) -> int:
        self.pay(len(xs))
        return [within(math.prod(xs[:end])) for end in range(len(xs) + 1)][-1]

    def do_minimum(self, xs: tuple[int, ...]) -> int:
        self.pay(len(xs))
        return min(filled(xs))

    def do_maximum(self, xs: tuple[int, ...]) -> int:
        self.pay(len(xs))
        return max(filled(xs))

    def do_contains(self, n: int, xs: tuple[int, ...]) -> bool:
        self.pay(len(xs))
        return n in xs

    def each(self, function: Callable[..., Any], *values: int) -> Any:
        """A lambda's value for an element, which is touched."""
        self.pay(1)
        return function(*values)

    def do_count(self, passes: Callable[..., Any], xs: tuple[int, ...]) -> int:
        return [self.each(passes, x) for x in xs].count(True)

    def do_all(self, passes: Callable[..., Any], xs: tuple[int, ...]) -> bool:
        return all(self.each(passes, x) for x in xs)

    def do_any(self, passes: Callable[..., Any], xs: tuple[int, ...]) -> bool:
        return any(self.each(passes, x) for x in xs)

    def do_fold(self, function: Callable[..., Any], start: int, xs: tuple[int, ...]) -> int:
        for x in xs:
            start = self.each(function, start, x)
        return start

    # list to list
    def do_map(self, function: Callable[..., Any], xs: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.each(function, x) for x in xs)

    def do_filter(self, passes: Callable[..., Any], xs: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(x for x in xs if self.each(passes, x))

    def do_zip(self, function: Callable[..., Any], xs: tuple[int, ...], ys: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.each(function, x, y) for x, y in zip(xs, ys, strict=False))

    def do_scan(self, function: Callable[..., Any], xs: tuple[int, ...]) -> tuple[int, ...]:
        stages: list[int] = []
        for x in xs:
            stages.append(self.each(function, stages[-1], x) if stages else self.each(lambda first: first, x))
        return tuple(stages)

    def paid(self, xs: tuple[int, ...]) -> tuple[int, ...]:
        """A list whose elements are touched to make it."""
        if len(xs) > LONGEST:
            raise StoppedError("long")
        self.pay(len(xs))
        return xs

    def do_take(self, n: int, xs: tuple[int, ...]) -> tuple[int, ...]:
        return self.paid(xs[: max(n, 0)])

    def do_drop(self, n: int, xs: tuple[int, ...]) -> tuple[int, ...]:
        return self.paid(xs[max(n, 0) :])

    def do_sort(self, xs: tuple[int, ...]) -> tuple[int, ...]:
        self.pay(len(xs) * len(xs).bit_length())
        return tuple(sorted(xs))

    def do_reverse(self, xs: tuple[int, ...]) -> tuple[int, ...]:
        return self.paid(xs[::-1])

    def do_unique(self, xs: tuple[int, ...]) -> tuple[int, ...]:
        self.pay(len(xs))
        return tuple(dict.fromkeys(xs))

    def do_append(self, xs: tuple[int, ...], ys: tuple[int, ...]) -> tuple[int, ...]:
        return self.paid(xs + ys)

    def do_cons(self, n: int, xs: tuple[int, ...]) -> tuple[int, ...]:
        return self.paid((n, *xs))

    def do_range(self, n: int) -> tuple[int, ...]:
        return self.paid(tuple(range(min(n, LONGEST + 1))))


def within(number: int) -> int:
    """A number that is not too far from 0."""
    if abs(number) > LARGEST:
        raise StoppedError("large")
    return number


def filled(xs: tuple[int, ...]) -> tuple[int, ...]:
    """A list that has an element."""
    if not xs:
        raise StoppedError("empty")
    return xs


def meaning(expr: Expr, names: tuple[str, ...], arguments: tuple[Any, ...], limit: int) -> tuple[Any, str, int]:
    """Value (None where it was stopped), what stopped it (or an empty string), steps."""
    run = Meaning(limit)
    try:
        return run.of(expr, dict(zip(names, arguments, strict=True))), "", run.steps
    except StoppedError as stopped:
        return None, str(stopped), run.steps
