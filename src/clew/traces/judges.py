"""What an answer is worth: judges, each from 0 to 1, of a question and what was written in answer to it.

A judge reads what is said and nothing else: neither length nor chance ever scores. A judge of one's own is a function
`judge(question, text) -> float`, named "module:attribute" or by an entry point of the group `clew.judges`.
"""

from __future__ import annotations

import importlib.metadata
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from clew.core.errors import ClewError, UsageError, nearest
from clew.core.named import named
from clew.traces.evalset import Question
from clew.traces.generators.table import GENERATORS, find_generator
from clew.traces.schema import InvalidError

ENTRY_POINTS = "clew.judges"

_ANSWER = re.compile(r"^Answer:", re.MULTILINE)
_STEP = re.compile(r"^([1-9][0-9]{0,3})\. ", re.MULTILINE)
_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d)\.?)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_CHOICE = re.compile(r"[\s\W]*(?:option|choice|answer)?[\s\W]*([A-Za-z])(?:\s*$|\s*[).:,\]*-].*)", re.I | re.DOTALL)


def answer_of(text: str, lines: int = 1) -> str | None:
    """What stands after the last `Answer:` that begins a line, up to the end of so many lines; None without one."""
    found = list(_ANSWER.finditer(text))
    if not found:
        return None
    return "\n".join(text[found[-1].end() :].strip(" ").split("\n")[:lines]).strip()


def steps_of(text: str) -> list[str]:
    """The numbered steps between `Reasoning:` and the last `Answer:`; none where they do not count 1, 2, 3."""
    head = text[: ([0] + [found.start() for found in _ANSWER.finditer(text)])[-1]]
    _, reasoning, body = head.partition("Reasoning:\n")
    marks = list(_STEP.finditer(body))
    if not reasoning or not marks or [int(mark[1]) for mark in marks] != list(range(1, len(marks) + 1)):
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    return [body[mark.end() : end].removesuffix("\n") for mark, end in zip(marks, ends, strict=True)]


@dataclass(frozen=True)
class Judge:
    """A judge and its name."""

    name: str
    about: str
    score: Callable[[Question, str], float]

    def judge(self, question: Question, text: str) -> float:
        """What `text` is worth as an answer, 0 to 1. Raises `InvalidError` without an expected answer."""
        if not question.expected_answer.strip():
            raise InvalidError(f"The question '{question.id}' has no expected answer, so nothing can be judged.")
        try:
            score = float(self.score(question, text))
        except ClewError:
            raise
        except Exception as error:
            raise ClewError(
                f"The judge '{self.name}' failed on the question '{question.id}': {type(error).__name__}: {error}."
            ) from error
        if not (math.isfinite(score) and 0 <= score <= 1):
            raise ClewError(f"The judge '{self.name}' gave {score} to the question '{question.id}': not from 0 to 1.")
        return score


def _found(question: Question, text: str) -> str | None:
    return answer_of(text, question.expected_answer.strip().count("\n") + 1)


def exact(question: Question, text: str) -> float:
    """Whether the text is the expected answer and nothing else, but for space around it."""
    return float(text.strip() == question.expected_answer.strip())


def answer(question: Question, text: str) -> float:
    """Whether what stands after the last `Answer:` is the expected answer."""
    return float(_found(question, text) == question.expected_answer.strip())


def number_in(text: str) -> Decimal | None:
    """The one number in a text, such as `$1,234.50` or `-3 apples`; None where there is none or more than one."""
    found = [spelled for spelled in _NUMBER.findall(text) if any(sign.isdigit() for sign in spelled)]
    if len(found) != 1:
        return None
    try:
        return Decimal(found[0].replace(",", "").replace("−", "-"))
    except InvalidOperation:
        return None


def numeric_within(tolerance: float) -> Callable[[Question, str], float]:
    """A judge of numbers: right where they differ by no more than `tolerance`."""

    def judge(question: Question, text: str) -> float:
        expected = number_in(question.expected_answer)
        if expected is None:
            raise InvalidError(
                f"The expected answer '{question.expected_answer[:40]}' of the question '{question.id}' is no single "
                "number. Choose another judge."
            )
        said = number_in(_found(question, text) or "")
        return float(said is not None and abs(said - expected) <= Decimal(repr(tolerance)))

    return judge


def choice_in(text: str) -> str | None:
    """The letter of a choice, such as `B`, `(b)`, `B) Paris` or `option B`; None without one."""
    found = _CHOICE.fullmatch(text)
    return found[1].upper() if found else None


def choice(question: Question, text: str) -> float:
    """Whether the letter chosen is the expected one."""
    expected = choice_in(question.expected_answer)
    if expected is None:
        raise InvalidError(
            f"The expected answer '{question.expected_answer[:40]}' of the question '{question.id}' is no letter of a "
            "choice. Choose another judge."
        )
    return float(choice_in(_found(question, text) or "") == expected)


def _generator_of(question: Question) -> str:
    if question.section not in GENERATORS:
        raise InvalidError(
            f"The question '{question.id}' has the section '{question.section}', which is none of the generators "
            f"({', '.join(GENERATORS)}), so its answer cannot be checked. Choose another judge."
        )
    return question.section


def checker(question: Question, text: str) -> float:
    """Whether the generator of the question, its section, takes the answer for right: several may be."""
    generator = find_generator(_generator_of(question))
    said = answer_of(text)
    return float(said is not None and generator.check_answer(question.prompt, said))


def steps(question: Question, text: str) -> float:
    """Whether the generator of the question finds no fault in the steps, and the answer right."""
    generator = find_generator(_generator_of(question))
    said = answer_of(text)
    return float(
        said is not None
        and generator.check_answer(question.prompt, said)
        and not generator.check_steps(question.prompt, steps_of(text), said)
    )


JUDGES: dict[str, Judge] = {
    judge.name: judge
    for judge in (
        Judge("exact", "the whole text is the expected answer", exact),
        Judge("answer", "what stands after the last Answer: is the expected answer", answer),
        Judge("numeric", "the answer is the expected number; numeric:0.01 allows a difference", numeric_within(0)),
        Judge("choice", "the answer is the expected letter", choice),
        Judge("checker", "the question's generator takes the answer for right", checker),
        Judge("steps", "the question's generator takes answer and every step for right", steps),
    )
}
"""The judges that ship, by name."""


def find_judge(name: str) -> Judge:
    """The judge called `name`: one that ships, `numeric:TOLERANCE`, an entry point's, or "module:attribute".

    Raises `UsageError` for an unknown one, for a tolerance that is none, for what cannot be imported or called.
    """
    if name in JUDGES:
        return JUDGES[name]
    kind, _, setting = name.partition(":")
    if kind == "numeric":
        return Judge(
            name, f"the answer is within {setting} of the expected number", numeric_within(_tolerance(setting))
        )
    points = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in points and not setting:
        known = [*JUDGES, *points]
        raise UsageError(
            f"There is no judge '{name}'.{nearest(name, known)} Known: {', '.join(known)}; or one of your own, "
            "module:function."
        )
    try:
        made = points[name].load() if name in points else named(name)
    except Exception as error:
        raise UsageError(f"The judge '{name}' cannot be loaded: {type(error).__name__}: {error}.") from error
    if isinstance(made, Judge):
        return made
    if not callable(made):
        raise UsageError(f"The judge '{name}' is no function judge(question, text) -> float.")
    return Judge(name, (getattr(made, "__doc__", None) or name).strip().split("\n")[0], made)


def _tolerance(spelled: str) -> float:
    try:
        tolerance = float(spelled)
    except ValueError:
        tolerance = math.nan
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"The tolerance '{spelled}' is no number from 0 on. Write numeric:0.01, say.")
    return tolerance
