"""Preference pairs as evidence: read or made, split by prompt, in the tokens of the model. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew.bundle.chat import TEMPLATE_FILE, Encoded, Span, conversation_of, encode_many, find_template
from clew.bundle.names import TOKENIZER_FILE
from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.core.evidence import Evidence
from clew.core.randomness import generator
from clew.proofs.tokenizers import turns_tokenizer
from clew.recipes.base import changed
from clew.recipes.preference import TINY, PreferenceRecipe
from clew.traces.jsonl import LineError, refuse
from clew.traces.named_models import OURS, NamedModel, name_model
from clew.traces.preferences.checker import make_pairs
from clew.traces.preferences.pairs import Message, Pair, fingerprint, read_pairs, write_pairs
from clew.traces.preferences.trees import EncodedPair

KIND = "preferences"
PAIRS_FILE = "pairs.jsonl"
"""The pairs that a checker made, in the run's folder."""
_NAMED = 5
"""Bad lines that are told one by one."""


def prepare(recipe: PreferenceRecipe) -> PreparedPreference:
    """Read or make the pairs and put them in the model's tokens. Raises `ClewError` naming what is wrong, and where."""
    asked = recipe.model
    if asked.base_model == TINY:
        template = find_template("turns" if asked.template == "auto" else asked.template)
        model = NamedModel(TINY, OURS, turns_tokenizer(template.specials).text, template)
    else:
        model = name_model(asked.base_model, asked.template, add_tokens=asked.add_tokens, revision=asked.revision)
    if model.kind == OURS and (recipe.lora.rank or asked.add_tokens or asked.revision):
        raise UsageError(
            f"{asked.base_model} is a model of ours, which trains whole and in its own tokens: adapters (--rank), "
            "--add-tokens and --revision are for Hugging Face models. Leave them out."
        )
    if recipe.loss == "reward" and model.kind != OURS:
        raise UsageError(
            f"A reward model is made of a GPT of ours, and {asked.base_model} is a Hugging Face model. Take base, or a "
            "run or bundle of ours."
        )
    if model.origin and model.origin["revision"] and not files.is_folder(Path(asked.base_model)):
        recipe = changed(recipe, {"model.revision": model.origin["revision"]}, "the recipe")
    pairs, evidence, bad = _read(recipe)
    length = asked.max_length
    if model.kind != OURS and model.context_length is not None:
        length = min(length, model.context_length)
    encoded = _encode(pairs, model, recipe)
    kept = [index for index, each in enumerate(encoded) if each.longest <= length]
    if len(kept) < len(pairs):
        _complain(recipe, pairs, encoded, kept, length)
    too_long = len(pairs) - len(kept)
    pairs, encoded = [pairs[index] for index in kept], [encoded[index] for index in kept]
    train, held_out = _split(recipe, pairs)
    return PreparedPreference(
        recipe=recipe,
        model=model,
        evidence=evidence,
        length=length,
        pairs=pairs,
        encoded=encoded,
        train=train,
        held_out=held_out,
        bad=bad,
        too_long=too_long,
    )


@dataclass(frozen=True)
class PreparedPreference:
    """Pairs that were read, split and encoded."""

    recipe: PreferenceRecipe
    model: NamedModel
    """What training begins with."""
    evidence: Evidence
    length: int
    """Tokens of a sequence, at the most."""
    pairs: Sequence[Pair]
    encoded: Sequence[EncodedPair]
    train: Sequence[int]
    """Numbers of pairs."""
    held_out: Sequence[int]
    bad: Sequence[LineError] = ()
    """Lines that hold no pair, where the recipe goes on without them."""
    too_long: int = 0

    def describe(self) -> list[str]:
        """How many pairs there are, how they were split, what was left out."""
        tokens = [int(side.trained.sum()) for index in self.train for side in self.encoded[index]]
        chosen, rejected = sum(tokens[::2]) / len(self.train), sum(tokens[1::2]) / len(self.train)
        lines = [
            f"{len(self.pairs):,} pairs: {len(self.train):,} to train on, {len(self.held_out):,} held out by prompt; "
            f"{chosen:.1f} tokens a chosen answer, {rejected:.1f} a rejected one; template {self.model.template.name}"
        ]
        if self.bad:
            lines += [f"left out: {error}" for error in self.bad[:_NAMED]]
            lines.append(f"{len(self.bad):,} lines that hold no pair are left out")
        if self.too_long:
            lines.append(f"{self.too_long:,} pairs of more than {self.length:,} tokens are left out")
        if not self.held_out:
            lines.append("nothing is held out: the figures that are watched are those of the training pairs")
        return lines

    def keep(self, folder: Path) -> None:
        """The tokenizer and the chat template, as the model gets them, and the pairs where they were made."""
        files.write_text(folder / TOKENIZER_FILE, self.model.tokenizer)
        files.write_text(folder / TEMPLATE_FILE, self.model.template.source)
        if not self.recipe.data.path:
            write_pairs(folder / PAIRS_FILE, self.pairs)

    def manifest(self) -> dict[str, Any]:
        """What the run's manifest says besides what every run's does."""
        return {"model_origin": dict(self.model.origin) if self.model.origin else None, "loss": self.recipe.loss}

    def fingerprint(self) -> str:
        """Hash of every token that a probability is taken of, in the order of the pairs."""
        content = b"".join(
            part.tobytes() + side.trained.tobytes() + b"|"
            for pair in self.encoded
            for side in pair
            for part in side[:1]
        )
        return files.sha256_of(content)


def _read(recipe: PreferenceRecipe) -> tuple[list[Pair], Evidence, list[LineError]]:
    data, bad = recipe.data, list[LineError]()
    if not data.path:
        made = make_pairs(data.checker, data.pairs, recipe.seed)
        return made, Evidence(KIND, f"made by the checker {data.checker}", fingerprint(made), data.checker), bad
    path = Path(data.path)
    if not files.is_file(path):
        raise EvidenceError(
            f"There is no file {data.path} of pairs. Check the path; `clew feedback pairs` writes one from ratings, "
            "`clew feedback check` one by a checker."
        )
    pairs: list[Pair] = []
    for pair in read_pairs(path, bad=bad.append if data.bad == "skip" else refuse):
        if data.max_samples and len(pairs) == data.max_samples:
            break
        pairs.append(pair)
    if not pairs:
        told = f" All of its {len(bad):,} lines were left out; the first: {bad[0]}" if bad else ""
        raise EvidenceError(f"{data.path} holds no pairs: there is nothing to train on.{told}")
    return pairs, Evidence(KIND, files.printable(path), files.sha256_of_file(path)), bad


def _encode(pairs: Sequence[Pair], model: NamedModel, recipe: PreferenceRecipe) -> list[EncodedPair]:
    """Both sequences of each pair; the answers begin where the sequences leave the prompt."""
    spans: list[list[Span]] = []
    for pair in pairs:
        spans += _rendered(pair, model, recipe)
    encoded = encode_many(model.open_tokenizer(), spans)
    found = []
    for index, pair in enumerate(pairs):
        prompt, chosen, rejected = encoded[3 * index : 3 * index + 3]
        sides = []
        for name, side in (("chosen", chosen), ("rejected", rejected)):
            trained = side.trained.copy()
            trained[: _shared(prompt, side)] = False
            if not trained.any():
                raise EvidenceError(f"{pair.id}: the template {model.template.name} leaves nothing of {name} to learn.")
            sides.append(Encoded(side.tokens, trained))
        if sides[0].tokens.tolist() == sides[1].tokens.tolist():
            raise EvidenceError(
                f"{pair.id}: in the template {model.template.name} chosen and rejected are the same tokens, so nothing "
                "is preferred."
            )
        found.append(EncodedPair(*sides))
    return found


def _shared(prompt: Encoded, whole: Encoded) -> int:
    length = min(len(prompt.tokens), len(whole.tokens))
    same = prompt.tokens[:length] == whole.tokens[:length]
    return length if same.all() else int(same.argmin())


def _rendered(pair: Pair, model: NamedModel, recipe: PreferenceRecipe) -> list[list[Span]]:
    """Prompt, prompt with the chosen answer, prompt with the rejected one."""
    template = model.template
    if isinstance(pair.prompt, str) and recipe.data.plain_as == "text":
        end = Span(template.end_of_turn, trained=True, special=template.end_of_turn in template.specials)
        prompt = Span(pair.prompt)
        return [[prompt], *([prompt, Span(str(each), trained=True), end] for each in (pair.chosen, pair.rejected))]
    asked: list[Message] = []
    if isinstance(pair.prompt, str):
        asked += conversation_of(pair.prompt, recipe.system_instruction)
    else:
        asked += pair.prompt
    answers = [
        [{"role": "assistant", "content": each}] if isinstance(each, str) else list(each)
        for each in (pair.chosen, pair.rejected)
    ]
    return [template.prompt_spans(asked), *(template.render([*asked, *answer]) for answer in answers)]


def _complain(
    recipe: PreferenceRecipe, pairs: Sequence[Pair], encoded: Sequence[EncodedPair], kept: Sequence[int], length: int
) -> None:
    """Raise `EvidenceError` for pairs that do not fit, unless the recipe leaves them out and something stays."""
    if kept and recipe.data.too_long == "skip":
        return
    left_out = sorted(set(range(len(pairs))) - set(kept))
    longest = max(left_out, key=lambda index: encoded[index].longest)
    raise EvidenceError(
        f"{len(left_out):,} of {len(pairs):,} pairs have more than {length:,} tokens in a sequence: the first is "
        f"{pairs[left_out[0]].id}, the longest {pairs[longest].id} with {encoded[longest].longest:,}. Give a greater "
        "--max-length, as far as the model reads so many, or leave them out with --too-long skip."
    )


def _split(recipe: PreferenceRecipe, pairs: Sequence[Pair]) -> tuple[list[int], list[int]]:
    """Numbers to train on and to hold out; all pairs of one prompt are on one side."""
    groups: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        groups.setdefault(pair.prompt_key, []).append(index)
    wanted = round(recipe.data.validation_fraction * len(groups))
    if recipe.data.validation_fraction and len(groups) > 1:
        wanted = max(1, wanted)
    chosen = set(generator(recipe.seed, "held-out prompts").permutation(len(groups))[:wanted].tolist())
    sides: tuple[list[int], list[int]] = [], []
    for number, group in enumerate(groups.values()):
        sides[number in chosen].extend(group)
    if not sides[0]:
        raise EvidenceError(
            "Everything is held out, and nothing is left to train on. Give a lower --validation-fraction."
        )
    return sorted(sides[0]), sorted(sides[1])
