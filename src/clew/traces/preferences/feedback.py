"""Ratings as preferences: what is to be rated, and pairs of what was."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clew.core.errors import EvidenceError
from clew.core.randomness import generator
from clew.traces.jsonl import Place, objects, refuse
from clew.traces.preferences.pairs import Pair
from clew.traces.ratings import Choice, Scored, StoredRating
from clew.traces.renderings import answer_text
from clew.traces.store import TraceStore


@dataclass(frozen=True)
class Answered:
    """A question with the answers that were given to it, no two the same."""

    prompt: str
    answers: Sequence[str]


def read_answers(path: Path) -> list[Answered]:
    """Questions with their answers, a line each: `{"prompt": ..., "answers": [...]}`, or a pair of texts.

    Lines of one prompt are put together. Raises `LineError` with file, line and column; `EvidenceError` for none.
    """
    found: dict[str, list[str]] = {}
    for place, value in objects(path, None, refuse):
        prompt = place.text(value, "prompt")
        found.setdefault(prompt, []).extend(_answers_of(place, value))
    if not found:
        raise EvidenceError(f"{path} holds no answers: there is nothing to rate.")
    return [Answered(prompt, list(dict.fromkeys(answers))) for prompt, answers in found.items()]


def answers_of_traces(store: TraceStore) -> list[Answered]:
    """The traces of a store as answers, put together by their prompts."""
    found: dict[str, list[str]] = {}
    for stored in store.iterate():
        trace = stored.trace
        text = answer_text([step.content for step in trace.steps], trace.final_answer)
        found.setdefault(trace.prompt, []).append(text)
    return [Answered(prompt, list(dict.fromkeys(answers))) for prompt, answers in found.items()]


def choices(asked: Iterable[Answered], seed: int, rater: str, done: set[str]) -> Iterator[Choice]:
    """Two answers at a time that `rater` has not compared yet, which of them comes first drawn; "equal" until rated."""
    for each in asked:
        for a, b in itertools.combinations(each.answers, 2):
            first, second = (a, b) if generator(seed, "order", each.prompt, a, b).random() < 0.5 else (b, a)
            choice = Choice(prompt=each.prompt, rater=rater, first=first, second=second, preferred="equal")
            if choice.item not in done:
                yield choice


def scored(asked: Iterable[Answered], rater: str, done: set[str]) -> Iterator[Scored]:
    """Answers that `rater` has given no score yet; 1 until rated."""
    for each in asked:
        for answer in each.answers:
            made = Scored(prompt=each.prompt, rater=rater, answer=answer, score=1)
            if made.item not in done:
                yield made


def pairs_of_ratings(ratings: Iterable[StoredRating], *, most: int = 0) -> list[Pair]:
    """What was preferred to what, in the order of the ratings.

    Of two answers that were compared, the one that more raters prefer is chosen; a draw makes no pair. Answers to one
    question that were given scores make a pair where their mean scores differ, of the greatest difference first; at
    most `most` a question (0: all). Two answers that were compared and scored follow the comparison.
    """
    votes: dict[tuple[str, str, str], int] = {}
    scores: dict[str, dict[str, list[int]]] = {}
    order: dict[str, None] = {}
    for each in ratings:
        rating = each.rating
        order.setdefault(rating.prompt)
        if isinstance(rating, Scored):
            scores.setdefault(rating.prompt, {}).setdefault(rating.answer, []).append(rating.score)
            continue
        first, second = sorted((rating.first, rating.second))
        key = (rating.prompt, first, second)
        better = {"first": rating.first, "second": rating.second}.get(rating.preferred)
        votes[key] = votes.get(key, 0) + (0 if better is None else 1 if better == first else -1)
    compared: dict[str, list[tuple[str, str, str]]] = {}
    for key in votes:
        compared.setdefault(key[0], []).append(key)
    pairs: list[Pair] = []
    for prompt in order:
        own = [_voted(key, votes[key]) for key in compared.get(prompt, [])]
        known = {frozenset((first, second)) for _, first, second in compared.get(prompt, [])}
        found = [each for each in own if each is not None]
        found += _by_score(scores.get(prompt, {}), known)
        for chosen, rejected, told in found[: most or None]:
            pairs.append(Pair(f"rated-{len(pairs)}", prompt, chosen, rejected, told))
    return pairs


def _voted(key: tuple[str, str, str], votes: int) -> tuple[str, str, dict[str, float]] | None:
    _, first, second = key
    if not votes:
        return None
    chosen, rejected = (first, second) if votes > 0 else (second, first)
    return chosen, rejected, {"votes": abs(votes)}


def _by_score(
    scores: Mapping[str, Sequence[int]], known: set[frozenset[str]]
) -> list[tuple[str, str, dict[str, float]]]:
    means = {answer: sum(given) / len(given) for answer, given in scores.items()}
    found = [
        (a, b, {"score_chosen": means[a], "score_rejected": means[b]})
        for a, b in itertools.permutations(means, 2)
        if means[a] > means[b] and frozenset((a, b)) not in known
    ]
    return sorted(found, key=lambda each: each[2]["score_rejected"] - each[2]["score_chosen"])


def _answers_of(place: Place, value: Mapping[str, object]) -> list[str]:
    if "answers" not in value:
        return [place.text(value, key) for key in ("chosen", "rejected")]
    answers = value["answers"]
    if not isinstance(answers, list) or not answers:
        raise place.error("answers is no list of texts", "answers")
    for index, each in enumerate(answers):
        if not isinstance(each, str) or not each.strip():
            raise place.error(f"answer {index + 1} is no text, or empty", "answers", index)
    return list(answers)
