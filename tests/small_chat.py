"""A small model that chats, untrained, and models that answer from a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from clew.bundle.chat import END_OF_TURN, START_OF_TURN, TEMPLATE_FILE, find_template
from clew.bundle.generate import Completion
from clew.bundle.sampling import Sampling
from clew.core import files
from clew.export.publish import publish_onnx
from clew.models.gpt import GPT
from clew.traces.evaluation_rows import Row
from conftest import byte_tokenizer, random_gpt, source_of

STOP = 257


def small_chat_gpt(seed: int = 4) -> GPT:
    """A GPT of random weights that ends its turn at about one token in ten; a context of 96."""
    model = random_gpt(vocab_size=258, context_length=96, seed=seed)
    with torch.no_grad():
        model.norm.weight[0] = 4.0
        for block in model.blocks:
            block.attention.out.weight[0] = 0
            block.mlp.down.weight[0] = 0
        model.embedding.weight[:, 0] = 1.0
        model.embedding.weight[STOP, 0] = 5.0
    return model


def publish_small_chat(folder: Path, *, system: str = "") -> tuple[GPT, Path]:
    """The model, and its bundle as `clew export` writes it."""
    model, tokenizer = small_chat_gpt(), byte_tokenizer()
    tokenizer.add_special_tokens([START_OF_TURN, END_OF_TURN])
    template = find_template("turns")
    chat = {
        "template": TEMPLATE_FILE,
        "end_of_turn": template.end_of_turn,
        "special_tokens": list(template.specials),
        "system_instruction": system,
    }
    publish_onnx(
        source_of(model, tokenizer, folder / "checkpoint"),
        folder / "bundle",
        family="chat",
        texts={TEMPLATE_FILE: template.source},
        config={"chat": chat},
        about={"chat": chat},
    )
    return model, folder / "bundle"


class Scripted:
    """A model that says what a function says."""

    context_length = 1_000

    def __init__(self, says: Callable[[str, str], str], name: str = "scripted") -> None:
        self.says, self.name = says, name
        self.asked: list[tuple[str, str]] = []

    def provenance(self) -> dict[str, str]:
        return {"kind": "scripted"}

    def prompt_lengths(self, questions: Sequence[str]) -> list[int]:
        return [len(question) for question in questions]

    def answer(self, questions: Sequence[str], sampling: Sampling, keys: Sequence[str]) -> list[Completion]:
        self.asked += zip(questions, keys, strict=True)
        said = [self.says(question, key) for question, key in zip(questions, keys, strict=True)]
        return [
            Completion(text, tuple(text.encode()), True, 0.5, len(question))
            for text, question in zip(said, questions, strict=True)
        ]


def row(number: int | str, score: float, **values: object) -> Row:
    """A row of an evaluation; what is not given is made up from the number."""
    made = {
        "id": f"q{number}",
        "prompt": f"What is {number} + 1?",
        "expected_answer": f"answer {number}",
        "score": score,
        "completion": f"Answer: {'answer' if score else 'nothing'} {number}",
        "answer": f"{'answer' if score else 'nothing'} {number}",
        "judge": "answer",
        "tokens": 10,
        "seconds": 0.25,
        "model": "model",
    }
    return Row.model_validate(made | values)


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Rows as a file without anything beside it."""
    files.write_text(path, "".join(each.model_dump_json() + "\n" for each in rows))
    return path
