"""High Card Duel, as in the contract of the game's own server: the same cards for the same seeds.

There is one prompt and one answer, so nothing of it can be held out and no model can be shown to learn from it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from clew.core.errors import UsageError
from clew.traces.evalset import Question
from clew.traces.generators.base import TRACE_VERSION, Split
from clew.traces.schema import InvalidError, Step, Trace

PROMPT = "High Card Duel: You have 1 hidden card. Action: reveal."
ANSWER = "reveal"
SUITS, RANKS = "SHDC", "A23456789TJQK"
_HEIGHT = {rank: height for height, rank in enumerate("23456789TJQKA")}

Result = Literal["win", "loss", "tie"]


@dataclass(frozen=True)
class Episode:
    """One game, seen by player 0."""

    seed: int
    my_card: str
    opponent_card: str

    @property
    def result(self) -> Result:
        """Ace high, suits ignored."""
        mine, other = _HEIGHT[self.my_card[0]], _HEIGHT[self.opponent_card[0]]
        return "tie" if mine == other else "win" if mine > other else "loss"


def play(seed: int) -> Episode:
    """The game of a seed."""
    deck = [rank + suit for suit in SUITS for rank in RANKS]
    random.Random(seed).shuffle(deck)
    return Episode(seed, deck[0], deck[1])


class HighCardDuel:
    """A `Generator` without levels; episode i of a sequence has the seed `seed + i`."""

    name = "high_card_duel"
    about = "one card each, the higher wins: one prompt and one answer, nothing to learn"
    levels = ("duel",)
    frontier = None
    harder = None

    def traces(self, count: int, seed: int, level: str | None = None, split: Split = "train") -> Iterator[Trace]:
        """See `Generator.traces`; the prompts are all the same."""
        if level not in (None, *self.levels):
            raise UsageError(f"{self.name} has no level '{level}'. Known: {', '.join(self.levels)}.")
        if split != "train":
            raise UsageError(f"{self.name} has one prompt, so none can be held out: it is for training alone.")
        if count < 1:
            raise UsageError(f"{count} were asked for. Ask for at least one.")
        return (self._trace(play(seed + index), index) for index in range(count))

    def questions(
        self, count: int, seed: int, level: str | None = None, split: Split = "evaluation"
    ) -> Iterator[Question]:
        """Refused: see above."""
        raise InvalidError(
            f"{self.name} has one prompt with one answer, and training has it: an eval set of it would measure "
            "nothing. Take another generator."
        )

    def _trace(self, episode: Episode, index: int) -> Trace:
        steps = (
            ("legal_moves", "Legal moves: [reveal]"),
            ("observation", f"My hand: {episode.my_card}"),
            ("unseen", "Unseen cards: 51"),
            ("decision", "Action chosen: reveal"),
        )
        return Trace(
            trace_version=TRACE_VERSION,
            prompt=PROMPT,
            final_answer=ANSWER,
            steps=tuple(Step(i=i, type=kind, content=text) for i, (kind, text) in enumerate(steps)),
            meta={
                "source": "ungar",
                "game": self.name,
                "episode_index": index,
                "my_card": episode.my_card,
                "opponent_card": episode.opponent_card,
                "result": episode.result,
                "seed": episode.seed,
            },
        )

    def check_answer(self, prompt: str, answer: str) -> bool:
        """See `Generator.check_answer`."""
        if prompt != PROMPT:
            raise InvalidError(f"'{prompt[:80]}' is no prompt of {self.name}, whose only one is '{PROMPT}'.")
        return answer.strip() == ANSWER

    def check_steps(self, prompt: str, steps: Sequence[str], answer: str) -> list[str]:
        """See `Generator.check_steps`."""
        due = (r"Legal moves: \[reveal\]", f"My hand: [{RANKS}][{SUITS}]", "Unseen cards: 51", "Action chosen: reveal")
        faults = [] if len(steps) == len(due) else [f"There are {len(steps)} steps where {len(due)} are due."]
        for number, (step, pattern) in enumerate(zip(steps, due, strict=False), start=1):
            if not re.fullmatch(pattern, step):
                faults.append(f"Step {number} is '{step[:80]}', which is not what this game's step {number} says.")
        if not self.check_answer(prompt, answer):
            faults.append(f"The answer is '{answer[:80]}', and the only legal move is {ANSWER}.")
        return faults


HIGH_CARD_DUEL = HighCardDuel()
