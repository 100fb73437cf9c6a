"""Lines of JSON that hold preference pairs: a prompt, an answer that is chosen, one that is rejected.

The form is the one that preference trainers share (TRL's): `prompt`, `chosen` and `rejected` are texts, or lists of
messages `{"role": ..., "content": ...}`. Without `prompt` it is what both answers begin with. What is wrong with a line
is told with file, line and column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from clew.core import files
from clew.core.files import canonical_json
from clew.traces.jsonl import Bad, Place, objects, refuse

ROLES = ("system", "user", "assistant")
OUTPUT = files.json_lines_output("a file of preference pairs", "prompt", "chosen", "rejected")
_KEYS = ("id", "prompt", "chosen", "rejected")

Message = Mapping[str, str]
"""{"role": "system" | "user" | "assistant", "content": text}."""
Said = str | tuple[Message, ...]
"""A text, or a part of a conversation."""


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, all texts or all lists of messages."""

    id: str
    prompt: Said
    chosen: Said
    rejected: Said
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else the line holds."""

    @property
    def prompt_key(self) -> str:
        """The prompt as one text: pairs of one prompt have one key."""
        return canonical_json(_plain(self.prompt))

    def document(self) -> dict[str, Any]:
        """The pair as JSON."""
        return {
            "id": self.id,
            "prompt": _plain(self.prompt),
            "chosen": _plain(self.chosen),
            "rejected": _plain(self.rejected),
            **self.metadata,
        }


def read_pairs(source: Path | BinaryIO, *, name: str | None = None, bad: Bad = refuse) -> Iterator[Pair]:
    """The pairs of a file or a stream of bytes. `name` is what errors call the source.

    Raises `LineError`, or tells `bad` of it and goes on: for a key that is missing, an empty text, messages that are
    none, equal answers, an id that comes twice, and what is no JSON.
    """
    for place, value in objects(source, name, bad):
        with place.reporting(bad):
            yield _pair_of(place, value)


def write_pairs(path: Path, pairs: Iterable[Pair]) -> int:
    """Write `pairs` as lines of JSON, whole or not at all; return how many. Raises `ClewError`."""
    count = 0
    with files.whole_file(path, replaces=OUTPUT) as file:
        for pair in pairs:
            file.write(f"{canonical_json(pair.document())}\n".encode())
            count += 1
    return count


def fingerprint(pairs: Iterable[Pair]) -> str:
    """SHA-256 of pairs in their order."""
    return files.sha256_of("".join(f"{canonical_json(pair.document())}\n" for pair in pairs))


def _plain(said: Said) -> Any:
    return said if isinstance(said, str) else [dict(message) for message in said]


def _pair_of(place: Place, value: Mapping[str, Any]) -> Pair:
    chosen, rejected = (_said(place, value, key) for key in ("chosen", "rejected"))
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise place.error("chosen and rejected are a text and a list of messages; both have to be the same", "rejected")
    if "prompt" in value:
        prompt = _said(place, value, "prompt")
        if isinstance(prompt, str) != isinstance(chosen, str):
            raise place.error(
                "the prompt is a text and the answers are lists of messages, or the other way round; write all three "
                "as texts, or all three as messages",
                "prompt",
            )
    else:
        prompt, chosen, rejected = _without_prompt(place, chosen, rejected)
    if chosen == rejected:
        raise place.error("chosen and rejected are the same, so nothing is preferred", "rejected")
    for key, said in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(said, str) and said[-1]["role"] != "assistant":
            raise place.error(f"the last message of {key} is not the assistant's", key)
    if not isinstance(prompt, str) and prompt[-1]["role"] == "assistant":
        raise place.error("the last message of prompt is the assistant's, which is no question", "prompt")
    held = {key: each for key, each in value.items() if key not in _KEYS}
    return Pair(place.id or f"line {place.number}", prompt, chosen, rejected, held)


def _said(place: Place, value: Mapping[str, Any], key: str) -> Said:
    """The text or the messages of a key. Raises `LineError` for what is missing, empty or neither."""
    if key not in value:
        raise place.error(f"{key} is missing; a pair has prompt, chosen and rejected")
    found = value[key]
    if isinstance(found, str):
        if not found.strip():
            raise place.error(f"{key} is empty", key)
        return found
    if not isinstance(found, list):
        raise place.error(f"{key} is neither a text nor a list of messages", key)
    if not found:
        raise place.error(f"{key} is an empty list", key)
    messages: list[Message] = []
    for index, each in enumerate(found):
        if not isinstance(each, dict) or not isinstance(each.get("content"), str) or each.get("role") not in ROLES:
            raise place.error(
                f"message {index + 1} of {key} has no role ({', '.join(ROLES)}) and content, both texts", key, index
            )
        if not each["content"].strip():
            raise place.error(f"message {index + 1} of {key} is empty", key, index)
        messages.append({"role": each["role"], "content": each["content"]})
    return tuple(messages)


def _without_prompt(place: Place, chosen: Said, rejected: Said) -> tuple[Said, Said, Said]:
    """Prompt and answers where the prompt is what both begin with. Raises `LineError` where nothing is left of one."""
    same = next((index for index, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    if same is None:
        if chosen == rejected:
            raise place.error("chosen and rejected are the same, so nothing is preferred", "rejected")
        raise place.error("one of chosen and rejected is the beginning of the other, and there is no prompt", "chosen")
    if isinstance(chosen, str) and same and chosen[same - 1] == " ":
        same -= 1  # the space belongs to the word behind it, as tokenizers have it
    if not same or (isinstance(chosen, str) and not chosen[:same].strip()):
        raise place.error("there is no prompt, neither as a key nor as what both answers begin with", "chosen")
    return chosen[:same], chosen[same:], rejected[same:]
