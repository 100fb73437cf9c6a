"""Ways to spoil a case: each takes the case and a random generator, changes one thing and returns it in words.

No mutator writes a path that leads out of the case's folder, nor names a real device: a fault that the campaign looks
for must not harm the machine that it runs on.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox import Case

Mutator = Callable[[Case, random.Random], str]

ODD_TEXTS = (
    "", " ", "-1", "0", "1", "2", "nan", "inf", "-inf", "1e400", "1e-400", "1e308", "9" * 5000, str(2**31), str(2**63),
    str(2**64), str(-(2**63) - 1), "²", "٣", "step_²", "0x10", "0b", "0o9", "1_0", "1:30:00", "on", "null", "~", "[1]",
    "[" * 3000, "a" * 300, "a/" * 200 + "b", "../missing", "\udcff\udc80.x", "[red]x[/red]", "[/]", "%s%n", "{}", "{0}",
    "$HOME", "*", "x y", "é" * 90, "\u202e", "\x1b[31m", "True", "corpus", "notes.txt", "recipe.yaml", "latest", "best",
    "cuda:99", "postgresql://user:hunter2secret@127.0.0.1:1/x", "host=127.0.0.1 port=1 password=hunter2secret",
    "sqlite:///replay.db", "s3://bucket/key", "file://notes.txt",
)  # fmt: skip
"""What stands where a good value should: on the command line and in files of text."""

ODD_YAML = (
    "2001-99-99", "0b", "0o9", "0x", "!!int x", "!!float x", "!!timestamp x", "!!binary '*'", "=", "<<", "1:30:00",
    "190:20:30", "on", "off", "yes", ".inf", "-.inf", ".nan", "1e400", "9" * 5000, str(2**63), str(2**64), "~", "null",
    "[]", "{}", "[1, 2]", "{a: 1}", "''", "'\\0'", '"\\x00"', '"\\ud800"', '"\\U00110000"', "*unknown", "&a [*a]",
    "!!python/object:os.system x", "!!set {a}", "? a", "|", "- 1", "@", "`", "%", "[" * 3000, "{" * 3000,
    "2001-01-01", "2001-01-01T00:00:00+99:99", "0777", "1_0", "+1", "-0", "0.0", "1e-400", "tactics\n", "a" * 300,
)  # fmt: skip

ODD_JSON = (
    None, True, False, 0, -1, 1, 2, 1.5, 2**31, 2**63, 2**64, 10**400, -(2**70), float("nan"), float("inf"),
    float("-inf"), 1e308, "", "x",
    "[red]x[/red]", "\x00", "\ud800", "²", "step_²", "step_00000099", "../../x", "a" * 300,
    [], {}, [1], [None], {"a": 1}, [[[]]], "tictactoe", "next_token", "alphazero", "0" * 64, "2026-01-01", "inf",
)  # fmt: skip


ODD_BYTES = (b"\xff\xfe", b"\0", b"\x80" * 9, b"\n", b"\r", b"\xef\xbb\xbf", b"9" * 5000, b"\xed\xa0\x80")
ODD_TAGS = ("!!int", "!!float", "!!bool", "!!str", "!x", "!!python/name:os", "!!map", "!!seq", "!!null")
ODD_LINES = ("nonsense: 1", "[1]: 2", "? [a]\n: 1", "1: 2", "null: 1", "training.max_steps: 1", "<<: {name: x}")
ODD_HEADS = ("- 1", "--- a\n--- b", "just words", "%YAML 9.9\n---", "\ufeff")


def one_of(case: Case, draw: random.Random, patterns: Sequence[str]) -> Path:
    """A file of the case that one of `patterns` matches. Raises `LookupError` where there is none."""
    found = sorted(path for pattern in patterns for path in case.folder.glob(pattern) if path.is_file())
    if not found:
        raise LookupError
    return draw.choice(found)


def named(case: Case, path: Path) -> str:
    return str(path.relative_to(case.folder))


def short(value: object) -> str:
    text = ascii(value)
    return text if len(text) < 60 else f"{text[:50]}... ({len(text)})"


def bytes_in(*patterns: str) -> Mutator:
    """Flip, cut, insert, repeat or swap bytes."""

    def mutate(case: Case, draw: random.Random) -> str:
        path = one_of(case, draw, patterns)
        content = bytearray(path.read_bytes())
        size = len(content)
        how = draw.choice(("flip", "flip", "cut", "insert", "repeat", "swap", "zero", "empty", "drop"))
        at, to = sorted((draw.randrange(size + 1), draw.randrange(size + 1)))
        to = min(to, at + draw.choice((1, 4, 64, 4096)))
        if how == "flip":
            for _ in range(draw.choice((1, 1, 4, 32)) if size else 0):
                content[draw.randrange(size)] ^= 1 << draw.randrange(8)
        elif how == "cut":
            del content[at:]
        elif how == "drop":
            del content[at:to]
        elif how == "insert":
            content[at:at] = draw.choice(ODD_BYTES)
        elif how == "repeat":
            content[at:at] = content[at:to] * draw.choice((1, 2, 50))
        elif how == "swap":
            content[at:to] = reversed(content[at:to])
        elif how == "zero":
            content[at:to] = bytes(to - at)
        else:
            content.clear()
        path.write_bytes(content)
        return f"{how} at {at}:{to} of {named(case, path)}"

    return mutate


def lines_in(*patterns: str) -> Mutator:
    """Drop, double, swap or lengthen lines, or put an odd text into one."""

    def mutate(case: Case, draw: random.Random) -> str:
        path = one_of(case, draw, patterns)
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True) or [""]
        at = draw.randrange(len(lines))
        how = draw.choice(("drop", "double", "swap", "odd", "odd", "long", "no end", "many", "cr"))
        if how == "drop":
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "swap":
            other = draw.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif how == "odd":
            words = re.split(r"(\W+)", lines[at])
            words[draw.randrange(len(words))] = draw.choice(ODD_TEXTS)
            lines[at] = "".join(words)
        elif how == "long":
            lines[at] = lines[at].rstrip("\n") * draw.choice((20, 400)) + "\n"
        elif how == "no end":
            lines[at] = lines[at].rstrip("\n")
        elif how == "many":
            lines[at:at] = [lines[at]] * 200
        else:
            lines[at] = lines[at].replace("\n", draw.choice(("\r", "\r\n", "\u2028", "\x0b", "\x1c")))
        path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
        return f"{how} in line {at + 1} of {named(case, path)}"

    return mutate


_ODD_WORDS = (
    *("0", "1", "-1", "64", "2**64", "1 << 70", "None", "1.5", "float('nan')", "''", "'x' * 300", "[]", "()", "True"),
    *("first", "second", "player", "action", "ALL", "Game", "print", "int", "1 / 0", "'\\ud800'", "'a/b'", "range(9)"),
)


def words_in(*patterns: str) -> Mutator:
    """A word of a program that is another word."""

    def mutate(case: Case, draw: random.Random) -> str:
        path = one_of(case, draw, patterns)
        words = re.split(r"(\w+)", path.read_text(encoding="utf-8"))
        at = draw.randrange(1, len(words), 2)
        was, words[at] = words[at], draw.choice(_ODD_WORDS)
        path.write_text("".join(words), encoding="utf-8")
        return f"{words[at]} for {was} in {named(case, path)}"

    return mutate


def yaml_in(*patterns: str) -> Mutator:
    """Odd scalars, duplicate and unknown keys, tags, aliases upon aliases, brackets without end."""

    def mutate(case: Case, draw: random.Random) -> str:
        path = one_of(case, draw, patterns)
        lines = path.read_text(encoding="utf-8").splitlines()
        at = draw.randrange(len(lines))
        how = draw.choice(("value",) * 8 + ("key", "double", "unknown", "aliases", "tag", "indent", "drop", "list"))
        key, colon, _ = lines[at].partition(":")
        if how == "value":
            odd = draw.choice(ODD_YAML)
            if draw.random() < 0.2:
                odd = "a" * draw.choice((5, 300)) + odd
            lines[at] = f"{key}{colon} {odd}"
        elif how == "key":
            indent = key[: len(key) - len(key.lstrip())]
            lines[at] = f"{indent}{draw.choice(ODD_YAML)}: 1"
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "unknown":
            lines.append(draw.choice(ODD_LINES))
        elif how == "aliases":
            width, depth = draw.choice(((2, 26), (10, 8), (200, 3)))
            names = [f"n{level}" for level in range(depth)]
            nest = [f"{names[0]}: &{names[0]} [{', '.join(['xxxxxxxxx'] * width)}]"]
            nest += [f"{a}: &{a} [{', '.join([f'*{b}'] * width)}]" for b, a in itertools.pairwise(names)]
            if draw.random() < 0.5:
                lines[at] = f"{key}: *{names[-1]}"
            lines = [*nest, *lines]
        elif how == "tag":
            lines[at] = f"{key}{colon} {draw.choice(ODD_TAGS)} {lines[at][len(key) + 1 :]}"
        elif how == "indent":
            lines[at] = draw.choice((" ", "\t", "- ", "")) + lines[at].lstrip(draw.choice(("", " ")))
        elif how == "drop":
            del lines[at]
        else:
            lines = [draw.choice(ODD_HEADS), *(lines if draw.random() < 0.5 else [])]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
        now = lines[min(at, len(lines) - 1)] if lines else ""
        return f"{how} in line {at + 1} of {named(case, path)}: {short(now)}"

    return mutate


def json_in(*patterns: str, lines: bool = False) -> Mutator:
    """Drop a key, change a value's type, add a key, nest deeply. `lines`: a document in each line."""

    def mutate(case: Case, draw: random.Random) -> str:
        path = one_of(case, draw, patterns)
        text = path.read_text(encoding="utf-8")
        if lines:
            rows = text.splitlines()
            at = draw.randrange(len(rows))
            rows[at], did = other_json(rows[at], draw)
            text, did = "\n".join(rows) + draw.choice(("\n", "\n", "")), f"line {at + 1}, {did}"
        else:
            text, did = other_json(text, draw)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return f"{named(case, path)}: {did}"

    return mutate


def other_json(text: str, draw: random.Random) -> tuple[str, str]:
    document = json.loads(text)
    how = draw.choice(("value",) * 6 + ("drop", "drop", "add", "whole", "deep", "digits", "garbage"))
    if how == "whole" or not isinstance(document, dict | list) or not document:
        value = draw.choice(ODD_JSON)
        return json.dumps(value), f"all of it {short(value)}"
    if how == "garbage":
        odd = ("", "{", "nul", "\ufeff{}", text + text, text[:-3], "[" * 100_000, '{"a":' * 5_000)
        return draw.choice(odd), "garbage"
    # The upper parts say more about a file than one of the thousand entries of a vocabulary does.
    inner, steps = document, []
    while True:
        key = draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
        steps.append(key)
        if not isinstance(inner[key], dict | list) or not inner[key] or draw.random() < 0.3:
            break
        inner = inner[key]
    where = ".".join(map(str, steps))[:80]
    if how == "drop":
        del inner[key]
        return json.dumps(document), f"without {where}"
    if how == "add":
        value = draw.choice(ODD_JSON)
        if isinstance(inner, dict):
            inner[draw.choice(("nonsense", "", "../x", "\ud800", "format", "step"))] = value
        else:
            inner.insert(key, value)
        return json.dumps(document), f"{short(value)} beside {where}"
    if how in ("deep", "digits"):
        inner[key] = "@@"
        digits = draw.choice(("9" * 5000, "1e999", "-9" + "0" * 30, "1E-9999"))
        odd = "[" * 3000 + "]" * 3000 if how == "deep" else digits
        return json.dumps(document).replace('"@@"', odd), f"{where} is {how}"
    value = draw.choice(ODD_JSON)
    if isinstance(inner[key], int | float) and draw.random() < 0.4:
        value = draw.choice((inner[key] + 1, -inner[key], inner[key] * 1000, str(inner[key]), inner[key] / 2))
    inner[key] = value
    return json.dumps(document), f"{where} is {short(value)}"


def place_of(*patterns: str) -> Mutator:
    """A file gone, a folder where it was, a link to itself or to another file, an empty file."""

    def mutate(case: Case, draw: random.Random) -> str:
        found = sorted(path for pattern in patterns for path in case.folder.glob(pattern))
        if not found:
            raise LookupError
        path = draw.choice(found)
        how = draw.choice(("gone", "gone", "empty", "folder", "loop", "link", "dangling", "moved", "odd name"))
        if how == "moved":
            aside = path.with_name("aside")
            path.rename(aside)
            path.symlink_to(aside.name)
        elif how == "odd name":
            shutil.move(path, os.path.join(os.fsencode(path.parent), b"proof_\xff\xfe.txt"))  # noqa: PTH118
        else:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            if how == "folder":
                path.mkdir()
            elif how == "empty":
                path.touch()
            elif how == "loop":
                path.symlink_to(path.name)
            elif how == "link":
                path.symlink_to(case.folder / "notes.txt")
            elif how == "dangling":
                path.symlink_to("nowhere")
        return f"{how}: {named(case, path)}"

    return mutate
