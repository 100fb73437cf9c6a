"""Traces as evidence: read, split by prompt, rendered with the model's chat template, in its tokens. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew.bundle.chat import TEMPLATE_FILE, Encoded, conversation_of, encode_many
from clew.bundle.names import TOKENIZER_FILE
from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.core.evidence import Evidence
from clew.core.randomness import generator
from clew.recipes.base import changed
from clew.recipes.chat import ChatRecipe
from clew.traces.chat_rows import ChatStream
from clew.traces.evalset import read_evalset
from clew.traces.jsonl import TrainingRow
from clew.traces.judges import find_judge
from clew.traces.named_models import OURS, NamedModel, name_model
from clew.traces.renderings import answer_text
from clew.traces.training_rows import by_prompt, read


def prepare(recipe: ChatRecipe) -> PreparedChat:
    """Read the traces and put them in the model's tokens. Raises `ClewError` naming what is wrong, and where."""
    asked = recipe.model
    model = name_model(asked.base_model, asked.template, add_tokens=asked.add_tokens, revision=asked.revision)
    if model.kind == OURS and (recipe.lora.rank or asked.add_tokens or asked.revision):
        raise UsageError(
            f"{asked.base_model} is a model of ours, which trains whole and in its own tokens: adapters (--rank), "
            "--add-tokens and --revision are for Hugging Face models. Leave them out."
        )
    if model.origin and model.origin["revision"] and not files.is_folder(Path(asked.base_model)):
        # A branch moves on; the run stays with the commit that it began with.
        recipe = changed(recipe, {"model.revision": model.origin["revision"]}, "the recipe")
    if recipe.data.eval_set:  # told now, and not after the training
        read_evalset(Path(recipe.data.eval_set))
        find_judge(recipe.data.judge)
    rows, evidence = read(recipe)
    length = recipe.model.max_length
    # A GPT of ours has relative positions, and learns to read longer rows where the recipe has them.
    if model.kind != OURS and model.context_length is not None:
        length = min(length, model.context_length)
    conversations = [
        model.template.render(
            conversation_of(row.prompt, recipe.system_instruction, answer_text(row.steps, row.answer))
        )
        for row in rows
    ]
    encoded = encode_many(model.open_tokenizer(), conversations)
    kept = [index for index, each in enumerate(encoded) if len(each.tokens) - 1 <= length and each.trained[1:].any()]
    if len(kept) < len(rows):
        _complain(recipe, rows, encoded, kept, length)
    train, held_out = _split(recipe, [rows[index] for index in kept])
    return PreparedChat(
        recipe=recipe,
        model=model,
        evidence=evidence,
        length=length,
        rows=[rows[index] for index in kept],
        encoded=[encoded[index] for index in kept],
        train=train,
        held_out=held_out,
        skipped=len(rows) - len(kept),
    )


@dataclass(frozen=True)
class PreparedChat:
    """Traces that were read, split and encoded."""

    recipe: ChatRecipe
    model: NamedModel
    """What training begins with."""
    evidence: Evidence
    length: int
    """Tokens in a row of a batch."""
    rows: Sequence[TrainingRow]
    encoded: Sequence[Encoded]
    """Each row's conversation."""
    train: Sequence[int]
    """Indices of rows."""
    held_out: Sequence[int]
    skipped: int = 0
    """Conversations longer than a row, where the recipe goes on without them."""

    def describe(self) -> list[str]:
        """How many traces there are, how they were split, how much of them is learnt."""
        learnt = sum(int(self.encoded[index].trained.sum()) for index in self.train)
        whole = sum(len(self.encoded[index].tokens) for index in self.train)
        lines = [
            f"{len(self.rows):,} traces: {len(self.train):,} to train on ({whole:,} tokens, {learnt:,} of them the "
            f"assistant's), {len(self.held_out):,} held out by prompt; template {self.model.template.name}"
        ]
        if self.skipped:
            lines.append(f"{self.skipped:,} conversations of more than {self.length:,} tokens are left out")
        if not self.held_out:
            lines.append("nothing is held out: the loss that is watched is that of the training traces")
        return lines

    def keep(self, folder: Path) -> None:
        """The tokenizer and the chat template, as the model gets them."""
        files.write_text(folder / TOKENIZER_FILE, self.model.tokenizer)
        files.write_text(folder / TEMPLATE_FILE, self.model.template.source)

    def manifest(self) -> dict[str, Any]:
        """What the run's manifest says of the training besides what every run's does."""
        values = self.recipe.without_secrets().model_dump(mode="json")
        return {
            "dataset_key": self.evidence.key,
            "build_id": self.evidence.build_id,
            "dataset_path": self.evidence.path,
            "dataset_sha256": self.evidence.sha256,
            "training_config": values["training"],
            "model_config": values["model"],
            "model_origin": dict(self.model.origin) if self.model.origin else None,
            "recipe": values,
        }

    def stream(self) -> ChatStream:
        """The training traces as rows of batches."""
        data = self.recipe.data
        seed = self.recipe.seed if data.shuffle_seed is None else data.shuffle_seed
        chosen = [self.encoded[index] for index in self.train]
        return ChatStream(chosen, self.length, seed, shuffle=data.shuffle, packing=data.packing)

    def evaluation(self) -> ChatStream:
        """The held-out traces, or where there are none those of training, as rows."""
        chosen = [self.encoded[index] for index in self.held_out or self.train]
        return ChatStream(chosen, self.length, 0, shuffle=False, packing=True)


def _complain(
    recipe: ChatRecipe, rows: Sequence[TrainingRow], encoded: Sequence[Encoded], kept: Sequence[int], length: int
) -> None:
    """Raise `EvidenceError` for rows that do not fit, unless the recipe leaves them out and something stays."""
    left_out = sorted(set(range(len(rows))) - set(kept))
    longest = max(left_out, key=lambda index: len(encoded[index].tokens))
    if kept and recipe.data.too_long == "skip":
        return
    raise EvidenceError(
        f"{len(left_out):,} of {len(rows):,} conversations do not fit into a row of {length:,} tokens: the first is "
        f"{rows[left_out[0]].id}, the longest {rows[longest].id} with {len(encoded[longest].tokens):,}. Give a greater "
        "--max-length, as far as the model reads so many, or leave them out with --too-long skip."
    )


def _split(recipe: ChatRecipe, rows: Sequence[TrainingRow]) -> tuple[list[int], list[int]]:
    """Indices to train on and to hold out; all rows of one prompt are on one side."""
    groups = list(by_prompt(rows).values())
    wanted = round(recipe.data.validation_fraction * len(groups))
    if recipe.data.validation_fraction and len(groups) > 1:
        wanted = max(1, wanted)
    chosen = set(generator(recipe.seed, "held-out prompts").permutation(len(groups))[:wanted].tolist())
    held_out = sorted(index for number in chosen for index in groups[number])
    train = sorted(index for number, group in enumerate(groups) if number not in chosen for index in group)
    if not train:
        raise EvidenceError(
            "Everything is held out, and nothing is left to train on. Give a lower --validation-fraction."
        )
    return train, held_out
