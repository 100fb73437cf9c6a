"""Errors that a user reads: a sentence each, with the exit code of the command that met it."""

from __future__ import annotations

import re

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class ClewError(Exception):
    """What went wrong, where, and what to do about it, in sentences. The command exits with `exit_code`."""

    exit_code = EXIT_FAILED


class UsageError(ClewError):
    """The call itself is wrong: an unknown flag, key, name or value."""

    exit_code = EXIT_USAGE


class EvidenceError(ClewError):
    """Evidence on disk is missing, broken, or not what the run was started with."""


class CheckpointError(ClewError):
    """A checkpoint is truncated, foreign, or belongs to another recipe."""


class BundleError(ClewError):
    """A bundle is incomplete, altered, or fails its verification."""


def without_passwords(text: str) -> str:
    """`text` with the passwords of the database URLs and libpq strings in it left out.

    So a message, a manifest or a crash file may show it.
    """
    text = re.sub(r"(://[^\s:/@]*):[^\s/]*@", r"\1@", text)
    return re.sub(r"(?i)((?:ssl|pg)?password\s*=\s*)(?:'(?:\\.|[^'\\])*'?|[^\s&'\"]+)", r"\1***", text)


def nearest(word: str, known: list[str]) -> str:
    """Return ` Did you mean 'x'?` for the known word closest to `word`, or an empty string."""
    import difflib

    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""
