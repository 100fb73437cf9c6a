"""Addition and subtraction digit by digit from the right, with what is carried or borrowed.

    What is 47 + 385?
    1. 47+385: 7+5=12 so 2
    2. 4+38+1: 4+8+1=13 so 32
    3. 0+3+1: 0+3+1=4 so 432
    Answer: 432

A step says what is left to add (both numbers without the digits that are done, and the carry), adds the last digits,
and writes the digits found so far; the last step, where one digit is left of each, writes its sum whole. Subtraction
borrows: of `143-85` the first step is `143-85: 13-5=8 so 8`, the next begins with `14-8-1`. Of three numbers the first
two are taken together, then their total and the third.

Levels: two numbers of up to three digits, and three numbers of which one has three at the most. Of three numbers two
have three digits in `between`, and all in `harder`: long numbers and a long way, each of which training has, in one.
A small GPT that answers 99 of 100 held-out questions answers 4 of 10 there. It answers none of numbers with more digits
than any in training, which it cannot even copy, so it could not practise on such either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from clew.core.randomness import generator
from clew.traces.generators.base import HARDER, Puzzles, Solution
from clew.traces.schema import InvalidError

_ASKED = ("What is {}?", "Compute {}.", "How much is {}?", "Please work out {}.", "Tell me what {} comes to.")
"""How a question is put. Where all begin alike, a small model learns where in a row each digit stands, and one digit
more than it has seen throws it off."""
_SUM = r"(?:0|[1-9][0-9]{0,17})(?: [+-] (?:0|[1-9][0-9]{0,17})){1,9}"
_PROMPT = re.compile("|".join(re.escape(asked).replace(r"\{\}", f"({_SUM})") for asked in _ASKED))
_STEP = re.compile(
    r"(?P<left>\d+)(?P<sign>[+-])(?P<right>\d+)(?:(?P=sign)(?P<carry>1))?: "
    r"(?P<x>\d+)(?P=sign)(?P<y>\d)(?:(?P=sign)(?P<c>1))?=(?P<sum>\d+) so (?P<written>\d+)",
    re.ASCII,
)
_DIGITS: Mapping[str, int] = {"1-digit": 1, "2-digit": 2, "3-digit": 3}
"""Level of two numbers -> digits of the longer one."""
_CHAINS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "3-numbers": ((0, 0, 0), (3, 0, 0)),
    "between": ((3, 3, 0),),
    HARDER: ((3, 3, 3),),
}
"""Level of three numbers -> their digits, in any order, where 0 stands for one or two."""
_MOST_TOTAL = 999
"""Of three numbers, on the way and at the end."""


class Line(NamedTuple):
    """Two numbers that are taken together."""

    left: int
    sign: str
    right: int

    @property
    def total(self) -> int:
        """What they come to."""
        return self.left + self.right if self.sign == "+" else self.left - self.right


class Arithmetic(Puzzles):
    """Sums and differences, no total negative, by how many numbers they have and of how many digits."""

    name = "arithmetic"
    about = "addition and subtraction, digit by digit with carries; harder takes three numbers of up to three digits"
    weights: Mapping[str, float] = {"1-digit": 0.05, "2-digit": 0.3, "3-digit": 0.35, "3-numbers": 0.3}
    frontier: str | None = "between"

    def draw(self, seed: int, number: int, level: str) -> str:
        """See `Puzzles.draw`: the shorter number is as often of each length, so that every shape of sum is met."""
        random = generator(seed, self.name, level, number)
        if level in _CHAINS:
            return _chain(random, _CHAINS[level])
        digits = _DIGITS[level]
        longer, shorter = _of_length(random, digits), _of_length(random, int(random.integers(1, digits + 1)))
        if random.random() < 0.5:
            first, second = (longer, shorter) if random.random() < 0.5 else (shorter, longer)
            return _prompt([first, second], "+")
        return _prompt([max(longer, shorter), min(longer, shorter)], "-")

    def every(self, level: str) -> Sequence[str] | None:
        """See `Puzzles.every`."""
        return _listed(_DIGITS[level]) if _DIGITS.get(level, 3) <= 2 else None

    def most(self, level: str) -> int | None:
        """See `Puzzles.most`: of both splits together."""
        if level in _CHAINS:
            return None
        low, high = _bounds(_DIGITS[level])
        # Sums: pairs below `high` of which not both are below `low`. Differences: those of which the first is not.
        return high**2 - low**2 + sum_between(low + 1, high)

    def key(self, prompt: str) -> str:
        """See `Puzzles.key`: the same in whatever order numbers are added and taken away."""
        first, *others = _lines(prompt)
        terms = [("+", first.left), *((line.sign, line.right) for line in (first, *others))]
        return f"{self.name} {' '.join(f'{sign}{number}' for sign, number in sorted(terms))}"

    def solve(self, prompt: str) -> Solution:
        """See `Puzzles.solve`."""
        lines = _lines(prompt)
        signs = {line.sign for line in lines}
        category = "mixed" if len(signs) > 1 else "addition" if signs == {"+"} else "subtraction"
        return Solution(str(lines[-1].total), tuple(step for line in lines for step in _steps(line)), category)

    def check_answer(self, prompt: str, answer: str) -> bool:
        """See `Generator.check_answer`: the number, written plainly."""
        return answer.strip() == str(_lines(prompt)[-1].total)

    def check_steps(self, prompt: str, steps: Sequence[str], answer: str) -> list[str]:
        """See `Generator.check_steps`: what each step begins with, its sum, its digits, the order, the answer."""
        numbered = enumerate(steps, start=1)
        written = ""
        for line in _lines(prompt):
            left, sign, right = line
            carry, written, ended = 0, "", False
            while not ended:
                number, step = next(numbered, (0, ""))
                if not number:
                    return [f"The steps end before all digits are done: {left}{sign}{right} is left."]
                read = _STEP.fullmatch(step)
                if read is None:
                    return [f"Step {number} is '{step[:80]}', which is no step of this kind."]
                if faults := [
                    f"Step {number}: {each}." for each in _faults_of(read, left, sign, right, carry, written)
                ]:
                    return faults
                ended = left < 10 and right < 10
                carry = int(int(read["sum" if sign == "+" else "x"]) > 9)
                left, right, written = left // 10, right // 10, read["written"]
        if (extra := next(numbered, None)) is not None:
            return [f"Step {extra[0]} comes after the last digits were done."]
        if answer.strip() != str(int(written)):
            return [f"The answer is '{answer[:80]}' and the steps come to {int(written)}."]
        return []


def _steps(line: Line) -> Iterator[tuple[str, str]]:
    """Type and text of the steps that two numbers take."""
    left, sign, right = line
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
        kind = "carry" if after and not is_last else "digit"
        yield kind, f"{left}{sign}{right}{carried}: {x}{sign}{y}{carried}={result} so {written}"
        if is_last:
            return
        left, right, carry = left // 10, right // 10, after


def _faults_of(read: re.Match[str], left: int, sign: str, right: int, carry: int, written: str) -> list[str]:
    """What is wrong with a step, where `left`, `right` and `carry` are due and `written` was written before."""
    faults = []
    if (read["left"], read["sign"], read["right"]) != (str(left), sign, str(right)):
        faults.append(f"{read['left']}{read['sign']}{read['right']} is taken where {left}{sign}{right} is left")
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


def _chain(random: np.random.Generator, shapes: Sequence[tuple[int, ...]]) -> str:
    """Three numbers of one of the shapes, of which no total is negative or too large."""
    while True:
        shape = random.permutation(shapes[int(random.integers(len(shapes)))]).tolist()
        numbers = [_of_length(random, digits or int(random.integers(1, 3))) for digits in shape]
        signs = "".join("+-"[int(random.integers(2))] for _ in numbers[1:])
        if all(0 <= line.total <= _MOST_TOTAL for line in _taken(numbers, signs)):
            return _prompt(numbers, signs)


def _taken(numbers: Sequence[int], signs: str) -> list[Line]:
    """What is taken together, one after the other."""
    lines: list[Line] = []
    total = numbers[0]
    for sign, number in zip(signs, numbers[1:], strict=True):
        lines.append(Line(total, sign, number))
        total = lines[-1].total
    return lines


def _prompt(numbers: Sequence[int], signs: str) -> str:
    """The question, put in the way that its hash says: one problem is one prompt."""
    rest = "".join(f" {sign} {number}" for sign, number in zip(signs, numbers[1:], strict=True))
    asked = f"{numbers[0]}{rest}"
    return _ASKED[hashlib.sha256(asked.encode()).digest()[0] % len(_ASKED)].format(asked)


@cache
def _listed(digits: int) -> tuple[str, ...]:
    low, high = _bounds(digits)
    sums = [_prompt([a, b], "+") for a in range(high) for b in range(high) if max(a, b) >= low]
    return (*sums, *(_prompt([a, b], "-") for a in range(low, high) for b in range(a + 1)))


def _lines(prompt: str) -> list[Line]:
    """What the question takes together, one after the other. Raises `InvalidError` for another prompt."""
    if found := _PROMPT.fullmatch(prompt):
        words = str(found[found.lastindex or 0]).split(" ")
        lines = _taken([int(word) for word in words[::2]], "".join(words[1::2]))
        if all(line.total >= 0 for line in lines):
            return lines
    raise InvalidError(
        f"'{prompt[:80]}' is no question of arithmetic. They read 'What is 47 + 385?' or 'What is 385 - 47 + 6?', "
        "with no total below 0 on the way."
    )


ARITHMETIC = Arithmetic()
