"""Files of the named cases, spoiled in the way that each is known for. Each maker returns what changes the files."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinds import seal_bundle

Spoil = Callable[[Path], object]


def each(*changes: Spoil) -> Spoil:
    """One change after the other."""
    return lambda folder: [change(folder) for change in changes]


def written(name: str, content: str) -> Spoil:
    """Write `content` into the file `name`."""

    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")

    return spoil


def replaced(name: str, old: str, new: str) -> Spoil:
    """Write `new` for the first `old` in the file `name`."""

    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, (name, old)
        (folder / name).write_text(text.replace(old, new, 1))

    return spoil


def edited(name: str, change: Callable[[Any], object]) -> Spoil:
    """Let `change` work on the JSON document in the file `name`."""

    def spoil(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return spoil


def asked(name: str, *statements: str) -> Spoil:
    """Run SQL in the database `name`."""

    def spoil(folder: Path) -> None:
        connection = sqlite3.connect(folder / name)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return spoil


def gone(name: str) -> Spoil:
    """Remove the file `name`."""
    return lambda folder: (folder / name).unlink()


def graph(change: Callable[[Any], object]) -> Spoil:
    """Let `change` work on the graph of the bundle's model, and write the hashes anew."""

    def spoil(folder: Path) -> None:
        import onnx

        path = folder / "bundle/model.onnx"
        model = onnx.load_from_string(path.read_bytes())
        change(model.graph)
        path.write_bytes(model.SerializeToString())
        seal_bundle(folder)

    return spoil


def dims(made: Any) -> Any:
    """The dimensions of a graph's first input."""
    return made.input[0].type.tensor_type.shape.dim


def without_numbers(made: Any) -> None:
    """NaN for every matrix of a graph."""
    from onnx import numpy_helper

    for weight in made.initializer:
        values = numpy_helper.to_array(weight).copy()
        if values.dtype.kind == "f" and values.ndim == 2:
            values[...] = float("nan")
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))


def undecodable_output(folder: Path) -> None:
    """A byte that is no UTF-8 in the name of a net's output."""
    path = folder / "nets/model_step_000001.onnx"
    path.write_bytes(path.read_bytes().replace(b"policy_logits", b"policy_logit\xff"))


def outside(folder: Path) -> None:
    """A bundle that lists a file two folders up as one of its own."""
    (folder.parent / "secret.txt").write_text("secret")
    edited("bundle/bundle.json", lambda value: value["files"].update({"../../secret.txt": "0" * 64}))(folder)
    seal_bundle(folder)


def watched_repository(folder: Path) -> None:
    """A repository that names a program to be run when its state is asked for."""
    hook = folder / "hook"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    commit = "-c user.name=a -c user.email=b commit -q -m c"
    for words in ("init -q", "add notes.txt", commit, "config core.fsmonitor ./hook"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True, capture_output=True)


def long_line(number: int) -> Spoil:
    """A proof file with a line of 320,000 characters."""
    line = "".join(random.Random(number).choices("abcdef(),= ", k=320_000))
    return written(f"corpus/proof_{number:05d}.txt", f"@T\ntheorem t(a: T) {{\n@G\n{line}\n@C\nx\n@P\n")


ALIASES = "\n".join(
    [
        "objective: next_token",
        "a0: &a0 [xxxxxxxxx, xxxxxxxxx]",
        *(f"a{level}: &a{level} [*a{level - 1}, *a{level - 1}]" for level in range(1, 25)),
        "name: *a24",
    ]
)
"""A recipe of 27 lines that stands for 300 million characters."""

_CUT = {"direction": "Right", "strategy": "LongestFirst"}
_PAD = {"direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}
_SPACE = {"id": 0, "content": " ", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False}
_WORDS = {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 0}
_TWICE = {"type": "Replace", "pattern": {"Regex": "(a*)*$"}, "content": "b" * 999}
_OPEN = {"type": "Split", "pattern": {"Regex": "(?<=x"}, "behavior": "Isolated", "invert": False}
TOKENIZERS: dict[str, Callable[[Any], object]] = {
    "truncation": lambda value: value.update(truncation=_CUT | {"max_length": 5, "stride": 0}),
    "huge-stride": lambda value: value.update(truncation=_CUT | {"max_length": 2, "stride": 9}),
    "padding": lambda value: value.update(padding=_PAD | {"strategy": {"Fixed": 2**62}, "pad_to_multiple_of": None}),
    "padding-of-nothing": lambda value: value.update(
        padding=_PAD | {"strategy": "BatchLongest", "pad_to_multiple_of": 0}
    ),
    "far-token": lambda value: value["model"]["vocab"].update(far=2**31),
    "no-vocabulary": lambda value: value["model"].update(vocab={}, merges=[]),
    "empty-pattern": lambda value: value.update(normalizer=_TWICE),
    "split": lambda value: value.update(pre_tokenizer=_OPEN),
    "strip": lambda value: value.update(added_tokens=[_SPACE | {"special": True}]),
    "unigram": lambda value: value.update(model={"type": "Unigram", "unk_id": 99, "vocab": [["a", 0.0]]}),
    "word-piece": lambda value: value.update(model=_WORDS | {"vocab": {"a": 0}}),
}
"""Changes of a tokenizer.json that the tokenizers library takes, or is known to fail of."""
