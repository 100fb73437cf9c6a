"""Flags made from a class: its fields are the flags, their docstrings the help, their types the checks."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import pydantic
import tyro

from clew.core.errors import UsageError

Positional = tyro.conf.Positional


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
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=list(arguments),
                prog=program,
                description=about or kind.__doc__,
                config=(tyro.conf.OmitArgPrefixes,),
                **({} if default is None else {"default": default}),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(f"{_sentence(complaint.getvalue())} See `{program} --help`.") from None


def _sentence(text: str) -> str:
    """Take tyro's boxes and pydantic's addresses off an error message, and make one line of it."""
    lines = []
    for line in text.splitlines():
        plain = re.sub(r"[╭╮╰╯│─]+", " ", line).strip()
        plain = re.sub(r"\s*\[type=.*\]?$", "", plain)
        drop = (
            "For full helptext",
            "For further information",
            "https://",
            "input_type",
            "Unrecognized options ",
            "Value error ",
            "Parsing error ",
            "Required options ",
            "Missing ",
        )
        if (
            plain
            and not plain.startswith(drop)
            and plain not in ("Unrecognized options", "Value error", "Parsing error", "Required options")
        ):
            lines.append(plain)
    sentence = " ".join(lines)
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
