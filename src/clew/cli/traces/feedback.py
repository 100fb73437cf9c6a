"""`clew feedback`: answers rated at a terminal or by a checker, and preference pairs of them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic
import tyro

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core import files
from clew.core.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.traces.preferences.feedback import Answered
    from clew.traces.preferences.pairs import Pair
    from clew.traces.ratings import Choice, Scored
    from clew.traces.store import TraceStore

COMMANDS: Commands = {
    "rate": ("clew.cli.traces.feedback:rate", "say which of two answers is better, or what one is worth"),
    "list": ("clew.cli.traces.feedback:list_command", "ratings, the newest first"),
    "pairs": ("clew.cli.traces.feedback:pairs", "write preference pairs of the ratings"),
    "check": ("clew.cli.traces.feedback:check", "write preference pairs that a checker makes"),
}
_CHOICES: dict[str, Literal["first", "second", "equal"]] = {"a": "first", "b": "second", "=": "equal"}
_SCORES = ("1", "2", "3", "4", "5")


def main(arguments: list[str]) -> int:
    """Run `clew feedback`."""
    about = "Which answers are better: said by people, or by a checker."
    return dispatch(COMMANDS, arguments, program="clew feedback", about=about)


class _Store(Options):
    db: str = "data/traces.db"
    """Path of an SQLite file, or a postgresql:// URL."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


class RateOptions(_Store):
    """Show answers one after another, and keep what is said of them; what was rated before is passed over.

    Each answer typed ends with Enter: a or b (the better one) or = (neither), or with --scale 5 a number from 1 (the
    worst) to 5; s passes over, u takes the last one back, q ends. The next call goes on where this one ended.
    """

    answers: Positional[Path | None] = None
    """File of answers, {"prompt": ..., "answers": [...]} or a pair a line; by default the traces of the database."""
    by: str = pydantic.Field(default="anonymous", min_length=1, max_length=64)
    """Who rates."""
    scale: Literal["ab", "5"] = "ab"
    """ab: which of two is better. 5: what each is worth, from 1 to 5."""
    seed: int = 0
    """Of the order in which two answers are shown."""
    most: int = pydantic.Field(default=0, ge=0)
    """Stop after so many ratings; 0: when all is rated."""


def rate(arguments: list[str]) -> int:
    """Run `clew feedback rate`."""
    options = parse(RateOptions, arguments, program="clew feedback rate")

    from clew.traces.preferences.feedback import answers_of_traces, choices, read_answers, scored
    from clew.traces.store import TraceStore

    asked = read_answers(options.answers) if options.answers is not None else None
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text are then no answer
    with TraceStore.open(options.db, create=asked is not None) as store:
        found: Sequence[Answered] = asked if asked is not None else answers_of_traces(store)
        done = store.rated_by(options.by)
        items: list[Choice] | list[Scored] = (
            list(choices(found, options.seed, options.by, done))
            if options.scale == "ab"
            else list(scored(found, options.by, done))
        )
        kept = _Session(store, items, options.most).rate()
        name = store.name
    left = len(items) - kept
    print(f"{name}: {kept:,} ratings kept; {left:,} are left to rate")
    if options.as_json:
        print_json({"db": name, "rated": kept, "left": left, "rater": options.by})
    return EXIT_DONE


class _Session:
    """The dialogue about answers at a terminal."""

    def __init__(self, store: TraceStore, items: Sequence[Choice | Scored], most: int) -> None:
        self._store, self._items, self._most = store, items, most

    def rate(self) -> int:
        """Ask until all is rated or the person leaves; return how many ratings were kept."""
        at = kept = 0
        rated: list[tuple[int, str]] = []
        while at < len(self._items) and not (self._most and kept == self._most):
            item = self._items[at]
            self._show(item, at)
            word = self._ask(item)
            if word == "q":
                break
            if word == "u":
                if rated:
                    at, last = rated.pop()
                    self._store.remove_rating(last)
                    kept -= 1
                else:
                    print("There is no rating to take back.")
                continue
            if word != "s":
                rated.append((at, self._store.add_rating(_rated(item, word)).id))
                kept += 1
            at += 1
        return kept

    def _show(self, item: Choice | Scored, at: int) -> None:
        print(f"\n[{at + 1} of {len(self._items)}] {_printable(item.prompt)}")
        for name, text in _answers(item).items():
            print(f"  {name}: " + _printable(text).replace("\n", "\n     "))

    def _ask(self, item: Choice | Scored) -> str:
        keys = [*(_CHOICES if "b" in _answers(item) else _SCORES), "s", "u", "q"]
        while True:
            if sys.stdin is None:  # the command was started with a closed standard input
                return "q"
            try:
                word = input(f"({'/'.join(keys)}) ").strip().lower()
            except EOFError:
                return "q"
            if not sys.stdin.isatty():
                print(word)
            if word in keys or word in ("quit", "exit"):
                return word if word in keys else "q"
            print(f"'{_printable(word)[:40]}' is none of {', '.join(keys)}.")


def _answers(item: Choice | Scored) -> dict[str, str]:
    """What is shown of an item, by the letter that stands for it."""
    shown = item.model_dump()
    return {"answer": shown["answer"]} if "answer" in shown else {"a": shown["first"], "b": shown["second"]}


def _rated(item: Choice | Scored, word: str) -> Choice | Scored:
    """The item with what was said of it."""
    if word in _CHOICES:
        return item.model_copy(update={"preferred": _CHOICES[word]})
    return item.model_copy(update={"score": int(word)})


class ListOptions(_Store):
    """List ratings, the newest first."""

    limit: int = pydantic.Field(default=20, ge=1)
    """How many."""
    offset: int = pydantic.Field(default=0, ge=0)
    """How many of the newest to pass over."""


def list_command(arguments: list[str]) -> int:
    """Run `clew feedback list`."""
    options = parse(ListOptions, arguments, program="clew feedback list")

    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        found, count, name = store.ratings_page(options.limit, options.offset), store.count_ratings(), store.name
    print(f"{name}: {count:,} ratings")
    for each in found:
        told = each.document()
        said = told["preferred"] if "preferred" in told else f"{told['score']} of 5"
        line = " ".join(_printable(told["prompt"]).split())
        print(f"{each.id}  {each.created_at[:19]}  {told['rater']:<12} {said:<7} {line[:60]}")
    if options.as_json:
        print_json({"db": name, "count": count, "ratings": [each.document() for each in found]})
    return EXIT_DONE


class PairsOptions(_Store):
    """Write preference pairs of what was rated: the answer that more raters prefer, or that has the higher mean score.

    A draw makes no pair, and of two ratings by one rater the newer counts.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write, JSON lines of prompt, chosen and rejected."""
    most: int = pydantic.Field(default=0, ge=0)
    """The most pairs of a question; 0: all."""


def pairs(arguments: list[str]) -> int:
    """Run `clew feedback pairs`."""
    options = parse(PairsOptions, arguments, program="clew feedback pairs")

    from clew.traces.preferences.feedback import pairs_of_ratings
    from clew.traces.preferences.pairs import OUTPUT
    from clew.traces.store import TraceStore

    files.check_output(options.output, OUTPUT)
    with TraceStore.open(options.db, create=False) as store:
        made = pairs_of_ratings(store.ratings(), most=options.most)
        name = store.name
    return _written(made, options.output, f"ratings in {name}", as_json=options.as_json)


class CheckOptions(Options):
    """Write preference pairs that a checker makes.

    programs: for drawn tasks, the program that fits the examples, of two that do the shorter, of two as short the
    faster. A generator of traces (arithmetic, ...): a right solution and a wrong one. With --model the answers are
    those of a model, and with --answers those of a file, judged.
    """

    checker: str = "programs"
    """programs, or the name of a generator of traces."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write, JSON lines of prompt, chosen and rejected."""
    count: int = pydantic.Field(default=1000, ge=1)
    """Pairs to make; with --model, questions to ask."""
    level: str | None = None
    """Of a generator's questions; by default a mix of all that training may have."""
    model: str | None = None
    """A model that is asked the checker's questions: a run, checkpoint or bundle, base, or a Hugging Face folder."""
    attempts: int = pydantic.Field(default=8, ge=2)
    """Answers of the model to each question."""
    temperature: float = pydantic.Field(default=0.8, gt=0)
    """Of these answers."""
    max_tokens: int = pydantic.Field(default=128, ge=1)
    """Tokens after which an answer is cut, and left out."""
    answers: Path | None = None
    """File of answers to judge, {"prompt": ..., "answers": [...]} a line."""
    most: int = pydantic.Field(default=1, ge=1)
    """The most pairs of a question, with --model or --answers."""
    seed: int = 0
    """The same seed makes the same pairs."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def check(arguments: list[str]) -> int:
    """Run `clew feedback check`."""
    options = parse(CheckOptions, arguments, program="clew feedback check")
    if options.model is not None and options.answers is not None:
        raise UsageError("The answers are those of a model or of a file: give --model or --answers, one of the two.")

    from clew.traces.preferences.checker import make_pairs
    from clew.traces.preferences.pairs import OUTPUT

    files.check_output(options.output, OUTPUT)
    if options.model is None and options.answers is None:
        made = make_pairs(options.checker, options.count, options.seed, options.level)
    else:
        made = _judged(options)
    return _written(made, options.output, f"the checker {options.checker}", as_json=options.as_json)


def _judged(options: CheckOptions) -> list[Pair]:
    from clew.traces.evalset import Question
    from clew.traces.preferences.checker import Asked, ask, judge_of, make_questions, pairs_of_answers
    from clew.traces.preferences.feedback import read_answers

    judge = judge_of(options.checker)
    if options.answers is not None:
        asked = [
            Asked(
                # Checkers know by themselves what is right.
                Question(id=f"line-{number}", prompt=each.prompt, expected_answer="known", section=options.checker),
                each.answers,
            )
            for number, each in enumerate(read_answers(options.answers), 1)
        ]
        return pairs_of_answers(asked, judge, options.seed, most=options.most)

    from clew.bundle.sampling import Sampling
    from clew.export.chat_models import open_chat_model

    questions = make_questions(options.checker, options.count, options.seed, options.level)
    sampling = Sampling(temperature=options.temperature, max_tokens=options.max_tokens, seed=options.seed)
    answered = ask(open_chat_model(str(options.model)), questions, sampling, options.attempts)
    return pairs_of_answers(answered, judge, options.seed, most=options.most)


def _written(made: Sequence[Pair], output: Path, whence: str, *, as_json: bool) -> int:
    from clew.core.errors import EvidenceError
    from clew.traces.preferences.pairs import write_pairs

    if not made:
        raise EvidenceError(
            f"Nothing was written: {whence} made no pair. Of each question, two answers are needed of which one is "
            "better."
        )
    count = write_pairs(output, made)
    print(f"{output}: {count:,} pairs, by {whence}")
    if as_json:
        print_json({"output": str(output), "pairs": count})
    return EXIT_DONE


def _printable(text: str) -> str:
    """A text with nothing in it that a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)
