"""Any `tokenizer.json`, opened so that it neither cuts text nor takes the process down.

The tokenizers library meets some files with a panic, which is no `Exception` in Python, and some with an abort. So a
file of unknown origin is tried in a process of its own first.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from clew.core import files
from clew.core.errors import BundleError, ClewError

TRIAL_SECONDS = 30.0
"""Time that a file has to be read and to encode a page of text; others take a tenth of a second."""

_TRIAL = """
import sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_str(sys.stdin.buffer.read().decode("utf-8"))
tokenizer.no_truncation()
tokenizer.no_padding()
tokenizer.get_vocab()
added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
page = "".join(map(chr, range(0x2500))) + " a  b\\n\\n" * 50 + "".join(f"  {token}  a" for token in added)
for text in ("", " ", "\\n", "a", "a + b = b + a\\n", page):
    try:
        tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids)
    except Exception:
        pass  # a text that it has no token for is not what is tried here
"""


def open_tokenizer(
    content: str, where: str | Path, *, known: bool = False, error: type[ClewError] = BundleError
) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`'s `content`, with truncation and padding off: a text is cut and a batch is
    padded by who makes it.

    It is tried in a process of its own first, unless it is `known` to be sound: made or exported here.
    Raises `error`, naming `where`, for what the tokenizers library cannot read or what makes it panic or abort.
    """
    problem = None if known else _problem_in_trial(content)
    if problem is None:
        try:
            with panics_as(error, where):
                tokenizer = Tokenizer.from_str(content)
        except error:
            raise
        except Exception as refused:  # the library raises nothing narrower
            problem = str(refused)
        else:
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return tokenizer
    raise error(f"{where} is not a tokenizer that the tokenizers library reads: {problem.rstrip('. ')}.")


@contextlib.contextmanager
def panics_as(error: type[ClewError], where: str | Path) -> Iterator[None]:
    """Turn a panic of the tokenizers library, which derives from `BaseException` alone, into `error`."""
    try:
        yield
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":
            raise
        reason = " ".join(str(panic).split())[:200]
        raise error(f"The tokenizers library broke down over {where}: {reason}. Use another tokenizer.") from panic


def read_tokenizer(path: Path, *, known: bool = False) -> Tokenizer:
    """Read a `tokenizer.json` as `open_tokenizer` does. Raises `BundleError` when it is none."""
    return open_tokenizer(read_text(path), path, known=known)


def read_text(path: Path) -> str:
    """The text of a `tokenizer.json`. Raises `BundleError` when it is no text."""
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not a tokenizer.json: it is not UTF-8 text.") from error


def without_cutting(content: str) -> str:
    """A sound `tokenizer.json`, the same but for truncation and padding, which are off in it: another host would obey
    them."""
    tokenizer = Tokenizer.from_str(content)
    if tokenizer.truncation is None and tokenizer.padding is None:
        return content
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return str(tokenizer.to_str(pretty=True))


@functools.lru_cache(maxsize=8)
def _problem_in_trial(content: str) -> str | None:
    """What goes wrong with a tokenizer in a process of its own; None where nothing does."""
    try:
        # -P: a file tokenizers.py in the working folder is not the library.
        done = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL],
            input=content.encode("utf-8", errors="backslashreplace"),
            capture_output=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it takes more than {TRIAL_SECONDS:g} s over a page of text"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines() or ["it says nothing"]
    if done.returncode < 0:
        return f"it makes the library abort (signal {-done.returncode}): {lines[0][:200]}"
    reason = lines[-1].removeprefix("Exception: ")
    kind, _, rest = reason.partition("PanicException: ")
    return f"it makes the library panic: {rest[:200]}" if kind.endswith("pyo3_runtime.") else reason[:200]
