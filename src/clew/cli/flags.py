"""Flags made from a class: its fields are the flags, their docstrings the help, their types the checks."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import pydantic
import tyro
from tyro.conf import Positional as Positional

from clew.core.errors import UsageError

Json = Annotated[bool, tyro.conf.arg(name="json")]
"""Type of the field `as_json`, which is the flag `--json` (pydantic keeps the name `json` for itself)."""


class Options(pydantic.BaseModel):
    """Base of the options of a command: frozen, nothing unknown, a docstring below each field."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


O = TypeVar("O", bound=pydantic.BaseModel)  # noqa: E741


def parse(
    kind: type[O],
    arguments: Sequence[str],
    *,
    program: str,
    about: str | None = None,
    default: O | None = None,
) -> O:
    """Make a `kind` from command-line arguments; sections of a nested class take their flags without a prefix.

    `default`, where given, is what flags override. `--help` prints and exits 0; what is wrong with the arguments
    becomes a `UsageError`.
    """
    complaint = io.StringIO()
    settings: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(complaint):
            made: O = tyro.cli(
                kind,
                args=list(arguments),
                prog=program,
                description=about or kind.__doc__,
                config=(tyro.conf.OmitArgPrefixes,),
                **settings,
            )
        return made
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(f"{_sentence(complaint.getvalue())} See `{program} --help`.") from None


_BOX = re.compile(r"[╭╮╰╯│─]+|-{8,}|^[|+]|[|+]$")
"""tyro's boxes, as it draws them and as it spells them where the terminal has no such signs."""

_NOISE = re.compile(
    r"(For full helptext|For further information|https://|Unrecognized options$|Value error$|Parsing error$|"
    r"Required options$|Invalid choice$|Missing argument$|input_type|\(default: |clew .*--help)"
)


_BOUND = re.compile(r"(\w+) (Input should [^\[]*?) \[type=\w+, input_value=(.*?), input_type=\w+\]")
"""What pydantic says of a value that is of the right type but out of bounds."""


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
