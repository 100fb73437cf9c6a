"""Pairs made by a checker: the right answer is preferred to the wrong one, of two right programs the shorter.

make_pairs("arithmetic", 512, seed)          right solutions, and the same with a digit changed
make_pairs("programs", 512, seed)            programs for drawn tasks
pairs_of_answers(asked, judge, seed)         answers of a model (or of people), judged
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clew.bundle.sampling import Sampling
from clew.core.errors import EvidenceError, UsageError, nearest
from clew.core.named import named
from clew.core.randomness import generator
from clew.traces.evalset import Question
from clew.traces.evaluation import CHUNK, ChatModel
from clew.traces.generators.base import Generator
from clew.traces.generators.table import GENERATORS, find_generator
from clew.traces.judges import Judge, answer_of, find_judge, steps_of
from clew.traces.preferences.pairs import Pair
from clew.traces.renderings import answer_text

PROGRAMS = "programs"
CHECKERS: dict[str, str] = {PROGRAMS: "clew.traces.preferences.programs"}
"""Name -> module of checkers that are no generator of traces: `make_pairs(count, seed)`, `make_questions(count, seed)`
and the judge `score(question, text)`."""
_TRIES = 100
"""Of spoiling one solution."""


def checkers() -> list[str]:
    """Names of what can make pairs."""
    return [*CHECKERS, *GENERATORS]


def make_pairs(checker: str, count: int, seed: int, level: str | None = None) -> list[Pair]:
    """`count` pairs of the checker of that name, a function of `seed` alone.

    `level`: of a generator's problems. Raises `UsageError` for an unknown checker or level, `EvidenceError` where there
    are fewer problems.
    """
    if checker in CHECKERS:
        if level is not None:
            raise UsageError(f"The checker {checker} has no levels. Leave --level out.")
        made: list[Pair] = named(f"{CHECKERS[checker]}:make_pairs")(count, seed)
        return made
    return list(_spoilt(_generator(checker), count, seed, level))


def make_questions(checker: str, count: int, seed: int, level: str | None = None) -> list[Question]:
    """`count` questions of the checker of that name, of those for training. Raises as `make_pairs` does."""
    if checker in CHECKERS:
        made: list[Question] = named(f"{CHECKERS[checker]}:make_questions")(count, seed)
        return made
    return list(_generator(checker).questions(count, seed, level, "train"))


def judge_of(checker: str) -> Judge:
    """The judge that a checker's own questions are judged by. Raises `UsageError` for an unknown checker."""
    if checker in CHECKERS:
        return find_judge(f"{CHECKERS[checker]}:score")
    _generator(checker)
    return find_judge("steps")


def _generator(checker: str) -> Generator:
    if checker not in GENERATORS:
        known = checkers()
        raise UsageError(f"There is no checker '{checker}'.{nearest(checker, known)} Known: {', '.join(known)}.")
    return find_generator(checker)


def _spoilt(source: Generator, count: int, seed: int, level: str | None) -> Iterator[Pair]:
    """Right solutions of a generator's problems, each with one that the generator finds a fault in."""
    for number, trace in enumerate(source.traces(count, seed, level)):
        right = answer_text([step.content for step in trace.steps], trace.final_answer)
        random = generator(seed, "spoil", number)
        wrong = next(
            (text for text in _changes(right, random) if not _holds(source, trace.prompt, text)),
            None,
        )
        if wrong is None:
            raise EvidenceError(
                f"No wrong answer to '{trace.prompt[:80]}' was found, so the generator {source.name} makes no pairs. "
                "Choose another checker."
            )
        yield Pair(f"{source.name}-{number}", trace.prompt, right, wrong, {"preferred": "correct"})


def _changes(text: str, random: np.random.Generator) -> Iterator[str]:
    """`text` with another digit, or another letter, in place of one behind the first line."""
    places = [place for place, sign in enumerate(text) if sign.isascii() and sign.isdigit()]
    places = places or [place for place, sign in enumerate(text) if sign.isascii() and sign.isalpha()]
    for _ in range(_TRIES if places else 0):
        place = places[int(random.integers(len(places)))]
        signs = "0123456789" if text[place].isdigit() else "abcdefghijklmnopqrstuvwxyz"
        other = signs.replace(text[place], "")[int(random.integers(len(signs) - 1))]
        yield text[:place] + other + text[place + 1 :]


def _holds(source: Generator, prompt: str, text: str) -> bool:
    """Whether the generator takes the answer, and its steps, for right."""
    said = answer_of(text)
    return said is not None and not source.check_steps(prompt, steps_of(text), said)


@dataclass(frozen=True)
class Asked:
    """A question with what was answered to it."""

    question: Question
    answers: Sequence[str]


def pairs_of_answers(
    asked: Iterable[Asked], judge: Judge | Callable[[Question, str], float], seed: int, *, most: int = 1
) -> list[Pair]:
    """For each question, up to `most` pairs of an answer with a higher score and one with a lower; none where all are
    worth the same.

    `judge` gives an answer 0 to 1. Which answers meet is drawn; of two that are worth the same, and right, the shorter
    is preferred only where the judge says so. Equal texts count once. Raises what the judge raises.
    """
    score = judge.judge if isinstance(judge, Judge) else judge
    pairs: list[Pair] = []
    for each in asked:
        texts = list(dict.fromkeys(text for text in each.answers if text.strip()))
        scores = [score(each.question, text) for text in texts]
        ordered = [(a, b) for a in range(len(texts)) for b in range(len(texts)) if scores[a] > scores[b]]
        order = generator(seed, "pairs", each.question.id).permutation(len(ordered))[:most]
        for number, which in enumerate(order.tolist()):
            better, worse = ordered[which]
            pairs.append(
                Pair(
                    f"{each.question.id}-{number}",
                    each.question.prompt,
                    texts[better],
                    texts[worse],
                    {"score_chosen": scores[better], "score_rejected": scores[worse]},
                )
            )
    return pairs


def ask(model: ChatModel, questions: Sequence[Question], sampling: Sampling, attempts: int) -> Iterator[Asked]:
    """What the model answers to each question, `attempts` times; answers that were cut are left out."""
    every = [(question, attempt) for question in questions for attempt in range(attempts)]
    answers: dict[str, list[str]] = {}
    for start in range(0, len(every), CHUNK):
        part = every[start : start + CHUNK]
        keys = [f"{question.id}-{attempt}" for question, attempt in part]
        found = model.answer([question.prompt for question, _ in part], sampling, keys)
        for (question, _), completion in zip(part, found, strict=True):
            if completion.finished:
                answers.setdefault(question.id, []).append(completion.text)
    for question in questions:
        yield Asked(question, answers.get(question.id, []))
