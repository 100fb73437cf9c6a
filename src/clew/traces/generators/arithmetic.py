"""Addition and subtraction digit by digit from the right, with what is carried or borrowed.

    What is 47 + 385?
    1. 47+385: 7+5=12 so 2
    2. 4+38+1: 4+8+1=13 so 32
    3. 0+3+1: 0+3+1=4 so 432
    Answer: 432

A step says what is left to add (both numbers without the digits that are done, and the carry), adds the last digits,
and writes the digits found so far; the last step, where one digit is left of each, writes its sum whole. A step can be
told from the one before alone, whatever the length, so what was learnt of short numbers has a chance on longer ones.
Subtraction borrows: `43-85` cannot be, but `143-85: 13-5=8 so 8` goes on with `14-8-1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from clew.core.randomness import generator
from clew.traces.generators.base import HARDER, Puzzles, Solution
from clew.traces.schema import InvalidError

_PROMPT = re.compile(r"What is (0|[1-9][0-9]{0,17}) ([+-]) (0|[1-9][0-9]{0,17})\?")
_STEP = re.compile(
    r"(?P<left>\d+)(?P<sign>[+-])(?P<right>\d+)(?:[+-](?P<carry>1))?: "
    r"(?P<x>\d+)[+-](?P<y>\d)(?:[+-](?P<c>1))?=(?P<sum>\d+) so (?P<written>\d+)",
    re.ASCII,
)
_DIGITS: Mapping[str, int] = {"1-digit": 1, "2-digit": 2, "3-digit": 3, "4-digit": 4, HARDER: 5}
"""Level -> digits of the longer number."""


class Arithmetic(Puzzles):
    """Sums and differences, neither of them negative, by the number of digits of the larger number."""

    name = "arithmetic"
    about = "addition and subtraction, digit by digit with carries; harder has five digits"
    weights: Mapping[str, float] = {"1-digit": 0.05, "2-digit": 0.35, "3-digit": 0.6}
    frontier: str | None = "4-digit"

    def draw(self, seed: int, number: int, level: str) -> str:
        """See `Puzzles.draw`: the shorter number is as often of each length, so that every shape of sum is met."""
        random = generator(seed, self.name, level, number)
        digits = _DIGITS[level]
        longer, shorter = _of_length(random, digits), _of_length(random, int(random.integers(1, digits + 1)))
        if random.random() < 0.5:
            first, second = (longer, shorter) if random.random() < 0.5 else (shorter, longer)
            return _prompt(first, "+", second)
        return _prompt(max(longer, shorter), "-", min(longer, shorter))

    def every(self, level: str) -> Sequence[str] | None:
        """See `Puzzles.every`."""
        return _listed(_DIGITS[level]) if _DIGITS[level] <= 2 else None

    def most(self, level: str) -> int:
        """See `Puzzles.most`: of both splits together."""
        low, high = _bounds(_DIGITS[level])
        # Sums: pairs below `high` of which not both are below `low`. Differences: those of which the first is not.
        return high**2 - low**2 + sum_between(low + 1, high)

    def key(self, prompt: str) -> str:
        """See `Puzzles.key`: a sum is the same in either order."""
        left, sign, right = _read(prompt)
        if sign == "+":
            left, right = sorted((left, right))
        return f"{self.name} {left}{sign}{right}"

    def solve(self, prompt: str) -> Solution:
        """See `Puzzles.solve`."""
        left, sign, right = _read(prompt)
        answer = left + right if sign == "+" else left - right
        steps = []
        carry, written = 0, ""
        while True:
            is_last = left < 10 and right < 10
            x, y = left % 10, right % 10
            if sign == "+":
                result = x + y + carry
                after = int(result > 9)
            else:
                after = int(x < y + carry)
                x += 10 * after
                result = x - y - carry
            written = f"{result if is_last else result % 10}{written}"
            carried = f"{sign}1" if carry else ""
            steps.append(
                (
                    "carry" if after and not is_last else "digit",
                    f"{left}{sign}{right}{carried}: {x}{sign}{y}{carried}={result} so {written}",
                )
            )
            if is_last:
                return Solution(str(answer), tuple(steps), "addition" if sign == "+" else "subtraction")
            left, right, carry = left // 10, right // 10, after

    def check_answer(self, prompt: str, answer: str) -> bool:
        """See `Generator.check_answer`: the number, written plainly."""
        left, sign, right = _read(prompt)
        return answer.strip() == str(left + right if sign == "+" else left - right)

    def check_steps(self, prompt: str, steps: Sequence[str], answer: str) -> list[str]:
        """See `Generator.check_steps`: what each step begins with, its sum, its digits, the order, the answer."""
        left, sign, right = _read(prompt)
        faults: list[str] = []
        carry, written = 0, ""
        ended = False
        for number, step in enumerate(steps, start=1):
            if ended:
                faults.append(f"Step {number} comes after the last digits were done.")
                break
            read = _STEP.fullmatch(step)
            if read is None or step.count("+" if sign == "-" else "-"):
                faults.append(f"Step {number} is '{step[:80]}', which is no step of this kind.")
                return faults
            faults += (f"Step {number}: {fault}." for fault in _faults_of(read, left, sign, right, carry, written))
            if faults:
                return faults
            ended = left < 10 and right < 10
            carry = int(int(read["sum"]) > 9) if sign == "+" else int(int(read["x"]) > 9)
            left, right, written = left // 10, right // 10, read["written"]
        if not ended and not faults:
            faults.append(f"The steps end before all digits are done: {left} and {right} are left.")
        elif ended and answer.strip() != str(int(written)):
            faults.append(f"The answer is '{answer[:80]}' and the steps come to {int(written)}.")
        return faults


def _faults_of(read: re.Match[str], left: int, sign: str, right: int, carry: int, written: str) -> list[str]:
    """What is wrong with a step, where `left`, `right` and `carry` are due and `written` was written before."""
    faults = []
    if (int(read["left"]), int(read["right"])) != (left, right) or read["left"] != str(left):
        faults.append(f"{read['left']}{sign}{read['right']} is taken where {left}{sign}{right} is left")
    if (int(read["carry"] or 0), int(read["c"] or 0)) != (carry, carry):
        faults.append(f"{'a' if carry else 'no'} {'carry' if sign == '+' else 'borrow'} is due")
    x, y, result = int(read["x"]), int(read["y"]), int(read["sum"])
    borrows = sign == "-" and left % 10 < right % 10 + carry
    if (x, y) != (left % 10 + 10 * borrows, right % 10):
        faults.append(f"{x} and {y} are not the digits that are due")
    if result != (x + y + carry if sign == "+" else x - y - carry):
        faults.append(f"the sum {read['sum']} is wrong")
    is_last = left < 10 and right < 10
    if read["written"] != f"{result if is_last else result % 10}{written}":
        faults.append(
            f"{read['written']} is written, which is not {result if is_last else result % 10} before what was"
        )
    return faults


def sum_between(first: int, last: int) -> int:
    """first + ... + last."""
    return (first + last) * (last - first + 1) // 2


def _bounds(digits: int) -> tuple[int, int]:
    """The smallest number of so many digits, and the one past the largest; 0 has one digit."""
    return (10 ** (digits - 1) if digits > 1 else 0), 10**digits


def _of_length(random: np.random.Generator, digits: int) -> int:
    return int(random.integers(*_bounds(digits)))


def _prompt(left: int, sign: str, right: int) -> str:
    return f"What is {left} {sign} {right}?"


@cache
def _listed(digits: int) -> tuple[str, ...]:
    low, high = _bounds(digits)
    sums = [_prompt(a, "+", b) for a in range(high) for b in range(high) if max(a, b) >= low]
    return (*sums, *(_prompt(a, "-", b) for a in range(low, high) for b in range(a + 1)))


def _read(prompt: str) -> tuple[int, str, int]:
    found = _PROMPT.fullmatch(prompt)
    left, sign, right = (int(found[1]), found[2], int(found[3])) if found else (0, "", 0)
    if not found or (sign == "-" and left < right):
        raise InvalidError(
            f"'{prompt[:80]}' is no question of arithmetic. They read 'What is 47 + 385?' or 'What is 385 - 47?', the "
            "second number no larger than the first in a difference."
        )
    return left, sign, right


ARITHMETIC = Arithmetic()
