"""Chat templates: from messages to the text that a model reads, with what it learns to write marked in it.

A template is Jinja, as Hugging Face tokenizers carry it. What stands in `{% generation %}` blocks is trained on; a
template without them is rendered message by message instead. What users write never becomes a special token: only
markers that the template itself makes are encoded as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray

from clew.bundle import sandbox
from clew.bundle.tokenizer import panics_as
from clew.core import files
from clew.core.errors import BundleError, UsageError, nearest

TEMPLATE_FILE = "chat_template.jinja"
START_OF_TURN, END_OF_TURN = "<start_of_turn>", "<end_of_turn>"

Message = Mapping[str, str]
"""{"role": "system" | "user" | "assistant", "content": text}."""

TURNS = """\
{%- set system = messages[0]['content'] ~ '\\n\\n' if messages and messages[0]['role'] == 'system' else '' -%}
{%- for message in messages if message['role'] != 'system' -%}
{%- if not loop.first -%}{{- '\\n' -}}{%- endif -%}
{%- if message['role'] == 'assistant' -%}
{{- '<start_of_turn>model\\n' -}}
{%- generation -%}{{- message['content'] ~ '<end_of_turn>' -}}{%- endgeneration -%}
{%- else -%}
{{- '<start_of_turn>user\\n' ~ (system if loop.first else '') ~ message['content'] ~ '<end_of_turn>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '\\n<start_of_turn>model\\n' -}}{%- endif -%}
"""
CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' ~ message['role'] ~ '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] ~ '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}{{- message['content'] ~ '<|im_end|>' -}}{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
TEMPLATES = {"turns": (TURNS, (START_OF_TURN, END_OF_TURN)), "chatml": (CHATML, ("<|im_start|>", "<|im_end|>"))}
"""Name -> source, and the markers that are single tokens, the one that ends a turn last."""

# Characters that Unicode keeps for a program's own use and no text holds (U+FDD0 to U+FDEF).
_PRIVATE = [chr(code) for code in range(0xFDD0, 0xFDF0)]
_PROBE = "\u2603 probe"


class Span(NamedTuple):
    """A piece of a rendered conversation."""

    text: str
    trained: bool = False
    """Whether the model learns to write it."""
    special: bool = False
    """Whether it is one token that the template made, such as the end of a turn."""


class Encoded(NamedTuple):
    """A conversation as tokens: ids int64 [tokens], and bool [tokens] where the model learns to write the token."""

    tokens: NDArray[np.int64]
    trained: NDArray[np.bool_]


class ChatTemplate:
    """A template that compiled. `specials`: the markers that are single tokens of the model's tokenizer.

    Raises `UsageError` for one that does not compile, or that does not say where a turn of the model ends.
    """

    def __init__(
        self,
        source: str,
        name: str = "template",
        specials: Sequence[str] = (),
        values: Mapping[str, Any] | None = None,
        end_of_turn: str | None = None,
    ) -> None:
        """`values`: further variables that the template reads (`bos_token`). `end_of_turn`: None to find it out."""
        self.source, self.name = source, name
        self.specials = tuple(dict.fromkeys(marker for marker in specials if marker))
        self._values = dict(values or {})
        try:
            self._template = sandbox.compiled(source)
        except sandbox.TemplateError as error:
            raise UsageError(f"The chat template {name}: {error}.") from error
        self._has_blocks = "generation" in source and "endgeneration" in source
        self.end_of_turn = end_of_turn or self._find_end_of_turn()

    def render(self, messages: Sequence[Message]) -> list[Span]:
        """The conversation in pieces; joined, they are its text. Raises `UsageError`."""
        if self._has_blocks:
            return self._spans(messages)
        spans: list[Span] = []
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                prompt = self._rest(messages[:index], spans, generate=True)
                spans += prompt
                answer = self._rest(messages[: index + 1], spans)
                # The turn ends with its marker; what may stand behind it (a line feed) the model need not write.
                last = max((place for place, span in enumerate(answer) if span.special), default=len(answer) - 1)
                spans += [span._replace(trained=place <= last) for place, span in enumerate(answer)]
        return spans + self._rest(messages, spans)

    def prompt_spans(self, messages: Sequence[Message]) -> list[Span]:
        """What the model reads before it answers `messages`, in pieces. Raises `UsageError`."""
        return self._spans(messages, generate=True)

    def prompt(self, messages: Sequence[Message]) -> str:
        """What the model reads before it answers `messages`. Raises `UsageError`."""
        return "".join(span.text for span in self.prompt_spans(messages))

    def encode(self, tokenizer: tokenizers.Tokenizer, messages: Sequence[Message]) -> Encoded:
        """The conversation as tokens of `tokenizer`, the end of the model's turns among those that it learns."""
        return encode_many(tokenizer, [self.render(messages)])[0]

    def encode_prompt(self, tokenizer: tokenizers.Tokenizer, messages: Sequence[Message]) -> list[int]:
        """The ids of the prompt: those that `encode` gives before the answer."""
        return [int(token) for token in encode_many(tokenizer, [self.prompt_spans(messages)])[0].tokens]

    def check(self, tokenizer: tokenizers.Tokenizer) -> None:
        """Raise `UsageError` unless each marker is a token of its own and a prompt is the beginning of a
        conversation, token by token: else the model would be asked what it was not taught."""
        for marker in self.specials:
            if tokenizer.token_to_id(marker) is None:
                raise UsageError(
                    f"The tokenizer has no token {marker}, which the chat template {self.name} marks turns with. "
                    "Choose the template that the model was made with, or a model with these tokens."
                )
        question = {"role": "user", "content": "1 + 1?"}
        whole = self.encode(tokenizer, [question, {"role": "assistant", "content": "2"}])
        prompt = self.encode_prompt(tokenizer, [question])
        if whole.tokens[: len(prompt)].tolist() != prompt or not whole.trained[len(prompt) :].any():
            raise UsageError(
                f"The chat template {self.name} writes another text before an answer than when it asks for one. Put "
                "{% generation %} blocks around what the model writes, and the same text before them in both cases."
            )

    def _rest(self, messages: Sequence[Message], before: list[Span], *, generate: bool = False) -> list[Span]:
        """What the rendering of `messages` adds to `before`."""
        whole = self._spans(messages, generate=generate)
        text, whole_text = ("".join(span.text for span in spans) for spans in (before, whole))
        if not whole_text.startswith(text):
            raise UsageError(
                f"The chat template {self.name} has no {{% generation %}} blocks, and writes the beginning of a "
                "conversation in another way once it goes on. Put the blocks around what the model writes."
            )
        left, rest = len(text), []
        for span in whole:
            cut = min(left, len(span.text))
            left -= cut
            if cut < len(span.text):
                rest.append(span._replace(text=span.text[cut:]))
        return rest

    def _spans(self, messages: Sequence[Message], *, generate: bool = False) -> list[Span]:
        contents = [message["content"] for message in messages]
        free = [each for each in _PRIVATE if not any(each in content for content in contents)]
        if len(free) < 3:
            raise UsageError("A message holds all the characters that Unicode keeps for a program's own use.")
        begins, ends, split = free[:3]
        safe = [
            {**message, "content": self._disarmed(content, split)}
            for message, content in zip(messages, contents, strict=True)
        ]
        given = {
            **self._values,
            "messages": safe,
            "add_generation_prompt": generate,
            "_generation_begins": begins,
            "_generation_ends": ends,
        }
        try:
            text = sandbox.rendered(self._template, given, len(self.source))
        except sandbox.TemplateError as error:
            raise UsageError(f"The chat template {self.name}: {error}.") from error
        return _cut(text, begins, ends, split, self.specials)

    def _disarmed(self, content: str, split: str) -> str:
        """`content` with a character in each marker, so that no marker in it is taken for the template's."""
        for marker in self.specials:
            content = content.replace(marker, f"{marker[:1]}{split}{marker[1:]}")
        return content

    def _find_end_of_turn(self) -> str:
        answer = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}]
        trained = [span for span in self.render(answer) if span.trained]
        markers = [span.text for span in trained if span.special]
        if markers:
            return markers[-1]
        after = "".join(span.text for span in trained).partition(_PROBE)[2]
        if not after:
            raise UsageError(
                f"The chat template {self.name} does not write the end of the model's turn inside its generation "
                "block, so a model would never learn to stop. Put the marker of the turn's end into the block."
            )
        return after


def _cut(text: str, begins: str, ends: str, split: str, specials: Sequence[str]) -> list[Span]:
    """Cut a rendered text at its marks: where the trained parts begin and end, and at each marker."""
    spans: list[Span] = []
    trained, rest = False, text
    while rest:
        marks = [(place, mark) for mark in (begins, ends, *specials) if (place := rest.find(mark)) >= 0]
        # Of two markers at one place the longer one is meant.
        place, mark = min(marks, key=lambda found: (found[0], -len(found[1])), default=(len(rest), ""))
        if plain := rest[:place].replace(split, ""):
            spans.append(Span(plain, trained))
        if mark in (begins, ends) and mark:
            trained = mark == begins
        elif mark:
            spans.append(Span(mark, trained, special=True))
        rest = rest[place + len(mark) :]
    return spans


def encode_many(tokenizer: tokenizers.Tokenizer, conversations: Sequence[Sequence[Span]]) -> list[Encoded]:
    """Encode rendered conversations piece by piece, so that no token spans the border of what is trained.

    Text that looks like a special token stays text. Raises `UsageError` for a marker that the tokenizer lacks,
    `BundleError` where the tokenizer breaks down.
    """
    texts = [span.text for spans in conversations for span in spans if not span.special]
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        with panics_as(BundleError, "the tokenizer"):
            encodings = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    finally:
        tokenizer.encode_special_tokens = before
    markers: dict[str, int] = {}
    found = []
    for spans in conversations:
        ids: list[int] = []
        trained: list[bool] = []
        for span in spans:
            if not span.special:
                piece = next(encodings).ids
            else:
                if span.text not in markers:
                    known = tokenizer.token_to_id(span.text)
                    if known is None:
                        raise UsageError(f"The tokenizer has no token {span.text}, which the chat template makes.")
                    markers[span.text] = known
                piece = [markers[span.text]]
            ids += piece
            trained += [span.trained] * len(piece)
        found.append(Encoded(np.array(ids, np.int64), np.array(trained, np.bool_)))
    return found


def find_template(name: str | Path) -> ChatTemplate:
    """The built-in template of this name, or the one in a file. Raises `UsageError` naming the nearest."""
    spelled = str(name)
    if spelled in TEMPLATES:
        return _built_in(spelled)
    path = Path(spelled)
    if not files.is_file(path):
        raise UsageError(
            f"There is no chat template '{spelled}'.{nearest(spelled, list(TEMPLATES))} Known: {', '.join(TEMPLATES)}; "
            "or the path of a Jinja file."
        )
    return read_template(path)


@lru_cache(maxsize=8)
def _built_in(name: str) -> ChatTemplate:
    source, specials = TEMPLATES[name]
    return ChatTemplate(source, name, specials, end_of_turn=specials[-1])


def read_template(path: Path, specials: Sequence[str] | None = None) -> ChatTemplate:
    """The template in a file; `specials` None: those of the built-in templates that stand in it."""
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    try:
        source = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no chat template: it is not UTF-8 text.") from error
    if specials is None:
        known = [marker for _, markers in TEMPLATES.values() for marker in markers]
        specials = [marker for marker in known if marker in source]
    return ChatTemplate(source, str(path), specials)


def conversation_of(prompt: str, system: str = "", answer: str | None = None) -> list[dict[str, str]]:
    """A question as messages, with a system text and an answer where there are."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": prompt})
    return messages if answer is None else [*messages, {"role": "assistant", "content": answer}]
