"""What a Hugging Face model answers: many questions at once, each drawn by its own key."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.bundle.chat import ChatTemplate, conversation_of
from clew.bundle.generate import BATCH_SIZE, Completion
from clew.bundle.sampling import Sampling, block_ends, draw, weights
from clew.core import files
from clew.core.errors import UsageError
from clew.core.randomness import generator
from clew.models.pretrained import Pretrained, open_pretrained
from clew.models.pretrained_names import system_of
from clew.traces.named_models import name_model


class PretrainedModel:
    """A model that answers through its chat template: see `clew.traces.evaluation.ChatModel`."""

    def __init__(
        self,
        model: Pretrained,
        template: ChatTemplate,
        *,
        system: str = "",
        name: str = "",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """`system`: the system text that it was trained with. Raises `UsageError` where the tokenizer lacks a marker of
        the template, or has no single token that ends a turn."""
        template.check(model.chat.tokenizer)
        end = model.chat.tokenizer.token_to_id(template.end_of_turn)
        if end is None:
            raise UsageError(
                f"The chat template {template.name} ends a turn with {template.end_of_turn!r}, which is no single "
                f"token of {model.place.name}, so no answer of this model could end. Name another template."
            )
        self.model, self.template, self.system, self.batch_size = model, template, system, batch_size
        self.name = name or model.place.name
        self.context_length = model.context_length
        self._end = int(end)
        # What lies in the model's folder (a repetition penalty, a temperature) would change what is drawn.
        network: Any = model.module
        network.generation_config = importlib.import_module("transformers").GenerationConfig()

    def provenance(self) -> dict[str, Any]:
        """Kind, path, hashes, template and system text."""
        return {
            "kind": "pretrained",
            "path": files.printable(self.model.place.folder),
            "revision": self.model.place.revision,
            "sha256": self.model.sha256,
            "template": self.template.name,
            "template_sha256": files.sha256_of(self.template.source),
            "system": self.system,
        }

    def prompt_lengths(self, questions: Sequence[str]) -> list[int]:
        """Tokens of each question as the model reads it."""
        return [len(prompt) for prompt in self._prompts(questions)]

    def answer(self, questions: Sequence[str], sampling: Sampling, keys: Sequence[str]) -> list[Completion]:
        """What the model writes after each question; the draws are those of `clew.bundle.generate`."""
        prompts = self._prompts(questions)
        for key, prompt in zip(keys, prompts, strict=True):
            if len(prompt) + sampling.max_tokens > self.context_length:
                raise UsageError(
                    f"The prompt of {key[:60]!r} has {len(prompt)} tokens; with max-tokens {sampling.max_tokens} to "
                    f"come it does not fit the context of {self.name}, which is {self.context_length} tokens. Choose a "
                    "smaller max-tokens, or leave this prompt out."
                )
        found: dict[int, Completion] = {}
        # Rows of like length stand together, so little is filled up.
        order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = self._batch([prompts[index] for index in chosen], sampling, [keys[index] for index in chosen])
            found |= zip(chosen, batch, strict=True)
        return [found[index] for index in range(len(prompts))]

    def _prompts(self, questions: Sequence[str]) -> list[list[int]]:
        conversations = (conversation_of(question, self.system) for question in questions)
        return [self.template.encode_prompt(self.model.chat.tokenizer, messages) for messages in conversations]

    @torch.inference_mode()
    def _batch(self, prompts: list[list[int]], sampling: Sampling, keys: list[str]) -> list[Completion]:
        """One batch, filled up on the left, decoded by transformers with the cache of its own kind."""
        transformers: Any = importlib.import_module("transformers")
        began = time.perf_counter()
        longest = max(map(len, prompts))
        network: Any = self.model.module
        device = next(network.parameters()).device
        ids = torch.full((len(prompts), longest), self._end, device=device)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt, device=device)
            mask[row, longest - len(prompt) :] = 1
        settings = transformers.GenerationConfig(
            max_new_tokens=sampling.max_tokens, do_sample=False, eos_token_id=self._end, pad_token_id=self._end
        )
        drawn = network.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=settings,
            logits_processor=transformers.LogitsProcessorList([_Drawn(sampling, keys, longest)]),
        )[:, longest:].tolist()
        seconds = (time.perf_counter() - began) / len(prompts)
        return [self._completion(tokens, seconds, len(prompt)) for tokens, prompt in zip(drawn, prompts, strict=True)]

    def _completion(self, tokens: list[int], seconds: float, prompt_tokens: int) -> Completion:
        finished = self._end in tokens
        if finished:
            tokens = tokens[: tokens.index(self._end) + 1]
        text = self.model.chat.tokenizer.decode(tokens[:-1] if finished else tokens, skip_special_tokens=False)
        return Completion(text, tuple(tokens), finished, seconds, prompt_tokens)


class _Drawn:
    """Leaves of each row's scores the token that is drawn by its key and the position; nothing at temperature 0."""

    def __init__(self, sampling: Sampling, keys: Sequence[str], start: int) -> None:
        self._sampling, self._start = sampling, start
        greedy = sampling.temperature == 0
        self._uniforms: NDArray[np.float64] | None = (
            None
            if greedy
            else np.stack([generator(sampling.seed, "answer", key).random(sampling.max_tokens) for key in keys])
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._uniforms is None:
            return scores
        mass = weights(scores.float().cpu().numpy(), self._sampling)
        ends = block_ends(mass)
        column = self._uniforms[:, input_ids.shape[1] - self._start]
        drawn = [draw(mass[row], ends[row], float(uniform)) for row, uniform in enumerate(column)]
        only = torch.full_like(scores, -torch.inf)
        only[torch.arange(len(drawn)), torch.tensor(drawn, device=scores.device)] = 0.0
        return only


def open_answers(
    name: str,
    *,
    template: str = "auto",
    system: str | None = None,
    batch_size: int = BATCH_SIZE,
    add_tokens: bool = False,
    revision: str = "",
    seed: int = 0,
) -> PretrainedModel:
    """The Hugging Face model `name` as one that answers: a folder, an id, a folder of adapters, a run or checkpoint of
    ours.

    `system` None: the text that it was trained with, where that is known. `add_tokens`, `seed`: with markers that its
    tokenizer lacks, as a training by this seed begins with them. `revision`: of an id. Raises `ClewError`.
    """
    named = name_model(name, template, add_tokens=add_tokens, revision=revision)
    model = open_pretrained(
        str(named.checkpoint or name),
        revision=None if named.checkpoint else revision or None,
        seed=seed,
        added_tokens=named.template.specials,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    text = system_of(model.place.folder) if system is None else system
    return PretrainedModel(model, named.template, system=text, name=name, batch_size=batch_size)
