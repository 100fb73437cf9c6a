"""What a generator of traces is, and what all of them share: levels, splits, no prompt twice.

A prompt belongs to one of two splits, `train` and `evaluation`, by a hash of its problem in canonical form: whatever
counts and seeds are asked for, the two never share a prompt, nor one that says the same (3 + 5 and 5 + 3, a board and
its mirror image). Prompts of the level `harder` are evaluation alone: none is ever trained on.

Item i of a sequence depends on generator, seed, level and split, and on the earlier items only as far as a prompt that
came up before is passed over. A longer sequence of the same seed begins with the shorter one.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from clew.core.errors import UsageError, nearest
from clew.core.files import sha256_of
from clew.core.randomness import generator
from clew.traces.evalset import Question
from clew.traces.schema import InvalidError, Step, Trace

Split = Literal["train", "evaluation"]
SPLITS: tuple[Split, ...] = get_args(Split)
TRACE_VERSION = "1.0"
HARDER = "harder"
"""The held-out level of every generator that has one."""
EVALUATION_SHARE = 0.1
"""Of the prompts of a level, about how many are for evaluation."""
_FRUITLESS = 20_000
"""So many draws in a row without a new prompt, and a level counts as exhausted."""


class Generator(Protocol):
    """Makes traces and questions of one kind, and checks answers and steps."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def about(self) -> str:
        """What it makes, in a line."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels that training may have, easiest first."""

    @property
    def frontier(self) -> str | None:
        """A level beyond `levels` and below `harder` that a model may practise on by itself; given only when named."""

    @property
    def harder(self) -> str | None:
        """The held-out level: no prompt of it is ever in the split `train`."""

    def traces(self, count: int, seed: int, level: str | None = None, split: Split = "train") -> Iterator[Trace]:
        """`count` traces with different prompts; a mix of `levels` where none is named.

        Raises `UsageError` for an unknown level, `InvalidError` where there are fewer prompts.
        """

    def questions(
        self, count: int, seed: int, level: str | None = None, split: Split = "evaluation"
    ) -> Iterator[Question]:
        """The same as questions; an id names its prompt, whatever seed it came up with."""

    def check_answer(self, prompt: str, answer: str) -> bool:
        """Whether `answer` is right. Raises `InvalidError` for a prompt that is none of this generator's."""

    def check_steps(self, prompt: str, steps: Sequence[str], answer: str) -> list[str]:
        """What is wrong with the reasoning, a sentence each; empty where all of it and the answer are right.

        Raises `InvalidError` for a prompt that is none of this generator's.
        """


@dataclass(frozen=True)
class Solution:
    """The answer to a prompt and the way there."""

    answer: str
    steps: tuple[tuple[str, str], ...]
    """Type and text of each."""
    category: str


def split_of(key: str) -> Split:
    """The split of a problem in canonical form: by its SHA-256, so the same everywhere and always."""
    number = int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big")
    return "evaluation" if number < EVALUATION_SHARE * 2**64 else "train"


class Puzzles(ABC):
    """Base of generators whose prompts are problems with a solution that can be computed."""

    name: str
    about: str
    weights: Mapping[str, float]
    """Level that training may have -> its share of a mix."""
    frontier: str | None = None
    harder: str | None = HARDER

    @property
    def levels(self) -> tuple[str, ...]:
        """See `Generator.levels`."""
        return tuple(self.weights)

    @abstractmethod
    def draw(self, seed: int, number: int, level: str) -> str | None:
        """Prompt `number` of the draws of `seed`; None where this draw gives none."""

    @abstractmethod
    def key(self, prompt: str) -> str:
        """The problem in canonical form: what says the same has the same key."""

    @abstractmethod
    def solve(self, prompt: str) -> Solution:
        """The solution. Raises `InvalidError` for a prompt that is none of this generator's."""

    @abstractmethod
    def check_answer(self, prompt: str, answer: str) -> bool:
        """See `Generator.check_answer`."""

    @abstractmethod
    def check_steps(self, prompt: str, steps: Sequence[str], answer: str) -> list[str]:
        """See `Generator.check_steps`."""

    def every(self, level: str) -> Sequence[str] | None:
        """All prompts of a level that is small enough to be listed."""
        return None

    def most(self, level: str) -> int | None:
        """How many prompts a level has at the most, where that is known."""
        return None

    def traces(self, count: int, seed: int, level: str | None = None, split: Split = "train") -> Iterator[Trace]:
        """See `Generator.traces`."""
        items = self._items(count, seed, level, split)
        return (self._trace(prompt, at, seed, split, index) for index, (at, prompt) in enumerate(items))

    def questions(
        self, count: int, seed: int, level: str | None = None, split: Split = "evaluation"
    ) -> Iterator[Question]:
        """See `Generator.questions`."""
        return (self._question(prompt, at) for at, prompt in self._items(count, seed, level, split))

    def _trace(self, prompt: str, level: str, seed: int, split: str, index: int) -> Trace:
        solution = self.solve(prompt)
        return Trace(
            trace_version=TRACE_VERSION,
            prompt=prompt,
            final_answer=solution.answer,
            steps=tuple(Step(i=i, type=kind, content=text) for i, (kind, text) in enumerate(solution.steps)),
            meta={
                "source": "clew",
                "generator": self.name,
                "category": solution.category,
                "difficulty": level,
                "split": split,
                "seed": seed,
                "index": index,
            },
        )

    def _question(self, prompt: str, level: str) -> Question:
        solution = self.solve(prompt)
        return Question(
            id=f"{self.name}-{sha256_of(prompt)[:16]}",
            prompt=prompt,
            expected_answer=solution.answer,
            category=solution.category,
            difficulty=level,
            section=self.name,
        )

    def _items(self, count: int, seed: int, level: str | None, split: Split) -> Iterator[tuple[str, str]]:
        """Level and prompt of each item. What is wrong with the arguments is raised here, not at the first item."""
        named = [level] if level is not None else list(self.levels)
        known = [*self.levels, *(each for each in (self.frontier, self.harder) if each is not None)]
        if level is not None and level not in known:
            raise UsageError(f"{self.name} has no level '{level}'.{nearest(level, known)} Known: {', '.join(known)}.")
        if split not in SPLITS:
            raise UsageError(f"There is no split '{split}'. Known: {', '.join(SPLITS)}.")
        if self.harder is not None and level == self.harder and split == "train":
            raise UsageError(f"The level {level} is held out: nothing of it is for training. Ask for evaluation.")
        if count < 1:
            raise UsageError(f"{count} were asked for. Ask for at least one.")
        self._check_number(count, named, split)
        return self._mixed(count, seed, named, split)

    def _check_number(self, count: int, levels: Sequence[str], split: Split) -> None:
        """Raise `InvalidError` where it is known before anything is drawn that there are too few."""
        there, is_bound = 0, False
        for level in levels:
            every = self.every(level)
            most = self.most(level) if every is None else sum(self._belongs(each, level, split) for each in every)
            if most is None:
                return
            there += most
            is_bound |= every is None
        if count > there:
            raise self._too_few(count, there, levels, split, "at the most " if is_bound else "")

    def _too_few(self, count: int, there: int, levels: Sequence[str], split: Split, bound: str = "") -> InvalidError:
        return InvalidError(
            f"{count:,} different prompts were asked for, and {self.name} has {bound}{there:,} at the level"
            f"{'s' if len(levels) > 1 else ''} {', '.join(levels)} for {split}. Ask for no more than {there:,}."
        )

    def _belongs(self, prompt: str, level: str, split: Split) -> bool:
        return level == self.harder or split_of(self.key(prompt)) == split

    def _mixed(self, count: int, seed: int, levels: Sequence[str], split: Split) -> Iterator[tuple[str, str]]:
        streams = {level: self._stream(seed, level, split) for level in levels}
        dice = generator(seed, self.name, "levels", split)
        done = 0
        while done < count:
            if not streams:
                raise self._too_few(count, done, levels, split)
            at = float(dice.random()) * sum(self.weights.get(level, 1.0) for level in streams)
            chosen = next(iter(streams))
            for chosen in streams:
                at -= self.weights.get(chosen, 1.0)
                if at < 0:
                    break
            prompt = next(streams[chosen], None)
            if prompt is None:
                del streams[chosen]
                continue
            done += 1
            yield chosen, prompt

    def _stream(self, seed: int, level: str, split: Split) -> Iterator[str]:
        """The prompts of one level, no one twice, until there are no more."""
        every = self.every(level)
        if every is not None:
            for index in generator(seed, self.name, level).permutation(len(every)).tolist():
                if self._belongs(every[index], level, split):
                    yield every[index]
            return
        seen: set[str] = set()
        number = last = 0
        while number - last < _FRUITLESS:
            prompt = self.draw(seed, number, level)
            number += 1
            if prompt is not None and prompt not in seen and self._belongs(prompt, level, split):
                seen.add(prompt)
                last = number
                yield prompt
