"""Flags made from a class: its fields are the flags, their docstrings the help, their types the checks."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import pydantic
import tyro
from tyro.conf import Positional as Positional

from clew.core.errors import UsageError
from clew.recipes.base import Section, shortened

R = TypeVar("R")

Json = Annotated[bool, tyro.conf.arg(name="json")]
"""Type of the field `as_json`, which is the flag `--json` (pydantic keeps the name `json` for itself)."""


class Options(Section):
    """Base of the options of a command: as a section of a recipe is, with a docstring below each field."""


Whole = Annotated[R, tyro.conf.arg(name="")]
"""Type of a field that holds a recipe, whose sections are then the prefixes of its flags."""

O = TypeVar("O", bound=pydantic.BaseModel)  # noqa: E741


def parse(
    kind: type[O],
    arguments: Sequence[str],
    *,
    program: str,
    about: str | None = None,
    default: O | None = None,
) -> O:
    """Make a `kind` from command-line arguments.

    A field of a section is the flag `--section.field`, or `--field` where only one section has such a field.
    `default`, where given, is what flags override. `--help` prints and exits 0; what is wrong with the arguments
    becomes a `UsageError`.
    """
    complaint = io.StringIO()
    settings: dict[str, Any] = {} if default is None else {"default": default}
    names = _Names(kind)
    try:
        with contextlib.redirect_stderr(complaint):
            made: O = tyro.cli(
                kind,
                args=[names.spelled_out(argument) for argument in arguments],
                prog=program,
                description=(about or kind.__doc__ or "") + names.note,
                **settings,
            )
        return made
    except SystemExit as stop:
        if not stop.code:
            raise
        said = names.as_typed(_sentence(complaint.getvalue()), arguments)
        raise UsageError(f"{said} See `{program} --help`.") from None
    except pydantic.ValidationError as error:
        # tyro tells what is wrong inside a section, and lets through what is wrong beside the sections.
        said = " ".join(_fault(dict(fault)) for fault in error.errors())
        raise UsageError(f"{names.as_typed(said, arguments)} See `{program} --help`.") from None


def given(kind: type[pydantic.BaseModel], arguments: Sequence[str]) -> dict[str, str]:
    """Which fields of `kind` the arguments set: dotted key -> the flag as it was typed."""
    names = _Names(kind)
    found = ((names.key(names.spelled_out(argument)), argument.partition("=")[0]) for argument in arguments)
    return {key: flag for key, flag in found if key is not None}


class _Names:
    """The flags of a class: with the section in front, and short."""

    def __init__(self, kind: type[pydantic.BaseModel]) -> None:
        found: dict[str, list[str]] = {}
        for path, annotation in _leaves(kind):
            *sections, field = path
            for word in (field, f"no-{field}") if annotation is bool else (field,):
                found.setdefault(word, []).append(".".join([*sections, word]))
        self._long = found

    @property
    def note(self) -> str:
        """What `--help` says of names that have sections in them."""
        if not any("." in name for names in self._long.values() for name in names):
            return ""
        return " The part of a flag before its dot may be left out where only one section has the name."

    def spelled_out(self, argument: str) -> str:
        """The argument with its section in front, where it is a flag's short name. Raises `UsageError` for two."""
        flag, joined, value = argument.partition("=")
        long = self._long.get(flag.removeprefix("--").replace("_", "-"), []) if flag.startswith("--") else []
        if len(long) > 1:
            known = " or ".join(f"--{name}" for name in long)
            raise UsageError(f"{flag} stands in several sections. Write {known}.")
        return f"--{long[0]}{joined}{value}" if long else argument

    def key(self, argument: str) -> str | None:
        """The dotted key of the field that the argument, spelled out, sets; None where it is no flag of the class."""
        flag = argument.partition("=")[0]
        for short, names in self._long.items():
            if flag.startswith("--") and flag[2:] in names:
                name = flag[2:].removesuffix(short) + short.removeprefix("no-" if short[3:] in self._long else "")
                return name.replace("-", "_")
        return None

    def as_typed(self, said: str, arguments: Sequence[str]) -> str:
        """A complaint with the flags in it as the user typed them, and short where they were not typed."""
        typed = {argument.partition("=")[0] for argument in arguments}
        for short, names in self._long.items():
            for name in names:
                if f"--{name}" in typed:
                    said = re.sub(rf"(?<![\w.-])--{re.escape(short)}(?![\w-])", f"--{name}", said)
                elif len(names) == 1 and name != short:
                    said = re.sub(rf"--{re.escape(name)}(?![\w-])", f"--{short}", said)
        return said


def _leaves(kind: type[pydantic.BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The fields of a class and of the classes in it: the names on the way there, as flags have them, and the type."""
    for name, field in kind.model_fields.items():
        given = [each.name for each in field.metadata if hasattr(each, "prefix_name")]
        word = given[0] if given and given[0] is not None else name.replace("_", "-")
        way = (*path, word) if word else path
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            yield from _leaves(annotation, way)
        else:
            yield way, annotation


_BOX = re.compile(r"[╭╮╰╯│─]+|-{8,}|^[|+]|[|+]$")
"""tyro's boxes, as it draws them and as it spells them where the terminal has no such signs."""

_NOISE = re.compile(
    r"(For full helptext|For further information|https://|Unrecognized options$|Value error$|Parsing error$|"
    r"Required options$|Invalid choice$|Missing argument$|input_type|\(default: |clew .*--help)"
)


_BOUND = re.compile(
    r"(\w+) (?:Value error, )?((?:Input should|(?<=Value error, ))[^\[]*?) "
    r"\[type=\w+, input_value=(.*?), input_type=(?!dict)\w+\]"
)
"""What pydantic says of a value that is of the right type but out of bounds."""


def _fault(fault: dict[str, Any]) -> str:
    said = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    flag = ".".join(map(str, fault["loc"])).replace("_", "-")
    return f"--{flag} is {shortened(fault['input'])}: {said[:1].lower()}{said[1:]}." if flag else f"{said}."


def _sentence(text: str) -> str:
    """Take tyro's boxes and help texts and pydantic's addresses off an error message, and make one line of it."""
    lines = [_BOX.sub(" ", line.strip()).strip() for line in text.splitlines()]
    if bounds := _BOUND.findall(" ".join(" ".join(lines).split())):
        return " ".join(
            f"--{name.replace('_', '-')} is {value}: {said[0].lower()}{said[1:]}." for name, said, value in bounds
        )
    said: list[str] = []
    meant: list[str] = []
    suggests = False
    for line in lines:
        plain = re.sub(r"\s*\[type=.*$", "", line)
        if plain.startswith("Perhaps you meant"):
            suggests = True
        elif suggests:
            if plain.startswith("--"):
                meant.append(plain.split()[0])
        elif plain.startswith("Argument helptext"):
            break
        elif plain and not _NOISE.search(plain):
            said.append(re.sub(r"^Error parsing \S+: \d+ validation errors? for \w+$", "", plain))
    sentence = " ".join(filter(None, said)).rstrip(".")
    if meant:
        sentence += f". Did you mean {' or '.join(dict.fromkeys(meant))}"
    return sentence + ("?" if meant else ".")
