"""What a chat model answers to the questions of an eval set, and what a judge makes of each answer.

A model is asked through the chat template that it was trained with, never with the raw prompt. What comes of it are
rows (`evaluation_rows`) that keep the question, the expected answer, what was written, its score, tokens and time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from clew.bundle.chat import TEMPLATE_FILE, ChatTemplate, conversation_of, read_template
from clew.bundle.generate import BATCH_SIZE, Completion, generate, stop_token
from clew.bundle.load import Bundle, load_bundle
from clew.bundle.names import MANIFEST_FILE, MODEL_FILE
from clew.bundle.sampling import Sampling
from clew.core import files
from clew.core.errors import BundleError, UsageError
from clew.core.randomness import generator
from clew.traces.evalset import EvalSet, Question
from clew.traces.evaluation_rows import Row
from clew.traces.judges import Judge, answer_of, find_judge

DEFAULT_JUDGE = "answer"
"""What stands after `Answer:` is the expected answer: the headline "exact match" of all reports."""

MOST_TOKENS = 256
"""Of an answer, where nothing is said."""

CHUNK = 256
"""Questions that a model is given at once: enough to sort by length, few enough to show progress."""


class ChatModel(Protocol):
    """A model that answers questions: a bundle of ours, a checkpoint, a Hugging Face folder."""

    @property
    def name(self) -> str:
        """As rows and leaderboards show it."""

    @property
    def context_length(self) -> int:
        """Tokens that a prompt and its answer may have together."""

    def provenance(self) -> Mapping[str, Any]:
        """Plain values that say which model this is: kind, path, sha256 of its weights, template, system text."""

    def prompt_lengths(self, questions: Sequence[str]) -> list[int]:
        """Tokens of each question as the model reads it, template and system text included."""

    def answer(self, questions: Sequence[str], sampling: Sampling, keys: Sequence[str]) -> list[Completion]:
        """What the model writes after each question.

        Draws are keyed by the sampling's seed, the question's key and the position: equal questions with different
        keys are answered differently, and a question is answered alike whatever is asked beside it.
        """


def open_bundle_model(
    folder: Path | str, *, name: str = "", batch_size: int = BATCH_SIZE, threads: int = 1
) -> BundleModel:
    """Open the bundle in `folder` with the chat template and the system text that it was exported with.

    `threads`: of the CPU, 0 for all cores. Raises `BundleError` for a bundle that is none, or that does not chat.
    """
    bundle = load_bundle(folder, threads=threads)
    path = bundle.folder / TEMPLATE_FILE
    if not files.is_file(path):
        raise BundleError(
            f"{bundle.folder} has no {TEMPLATE_FILE}: its model was not trained to chat. Use a bundle of `clew train "
            "sft`, or export its run again."
        )
    chat = (bundle.manifest or {}).get("chat")
    told = chat if isinstance(chat, dict) else {}
    specials = told.get("special_tokens")
    if specials is not None and not (isinstance(specials, list) and all(isinstance(each, str) for each in specials)):
        raise BundleError(f"{bundle.folder / MANIFEST_FILE}: 'special_tokens' is no list of tokens. Export it again.")
    template = read_template(path, specials)
    return BundleModel(
        bundle, template, system=str(told.get("system_instruction") or ""), name=name, batch_size=batch_size
    )


class BundleModel:
    """A bundle that answers through the chat template that it was trained with."""

    def __init__(
        self,
        bundle: Bundle,
        template: ChatTemplate,
        *,
        system: str = "",
        name: str = "",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """`system`: the system text that it was trained with. Raises `BundleError` or `UsageError` where bundle and
        template do not belong together."""
        template.check(bundle.tokenizer)
        stop_token(bundle, template.end_of_turn)
        self.bundle, self.template, self.system, self.batch_size = bundle, template, system, batch_size
        self.name = name or bundle.folder.name
        self.context_length = bundle.config.context_length

    def provenance(self) -> dict[str, Any]:
        """Kind, path, hashes, template and system text."""
        manifest = self.bundle.folder / MANIFEST_FILE
        return {
            "kind": "bundle",
            "path": files.printable(self.bundle.folder),
            "sha256": files.sha256_of_file(self.bundle.folder / MODEL_FILE),
            "manifest_sha256": files.sha256_of_file(manifest) if manifest.is_file() else None,
            "template": self.template.name,
            "template_sha256": files.sha256_of(self.template.source),
            "system": self.system,
        }

    def prompt_lengths(self, questions: Sequence[str]) -> list[int]:
        """Tokens of each question as the model reads it."""
        return [len(prompt) for prompt in self._prompts(questions)]

    def answer(self, questions: Sequence[str], sampling: Sampling, keys: Sequence[str]) -> list[Completion]:
        """What the model writes after each question."""
        return generate(
            self.bundle,
            self._prompts(questions),
            sampling,
            stop=self.template.end_of_turn,
            keys=keys,
            batch_size=self.batch_size,
        )

    def _prompts(self, questions: Sequence[str]) -> list[list[int]]:
        conversations = (conversation_of(question, self.system) for question in questions)
        return [self.template.encode_prompt(self.bundle.tokenizer, messages) for messages in conversations]


def choose(eval_set: EvalSet, max_examples: int, seed: int) -> list[Question]:
    """At most `max_examples` questions (0: all), drawn by the seed, in the order of the set."""
    if max_examples < 0:
        raise UsageError(f"max-examples is {max_examples}: give a number of questions, or 0 for all.")
    if not 0 < max_examples < len(eval_set):
        return list(eval_set)
    drawn = generator(seed, "evaluated questions").permutation(len(eval_set))[:max_examples]
    return [eval_set[int(place)] for place in sorted(drawn)]


def room(model: ChatModel, questions: Sequence[Question], at_most: int = MOST_TOKENS) -> int:
    """Tokens that every answer may have: what the longest prompt leaves of the context, no more than `at_most`."""
    lengths = model.prompt_lengths([question.prompt for question in questions])
    return max(1, min([at_most, *(model.context_length - length for length in lengths)]))


def evaluate(
    model: ChatModel,
    questions: Sequence[Question],
    sampling: Sampling,
    judge: Judge | str = DEFAULT_JUDGE,
    *,
    tick: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Ask `model` each question, judge each answer, and return the rows in the order of the questions.

    `tick` is called once a question. Raises `UsageError` naming the question whose prompt does not fit the model with
    `max_tokens` to come, before anything is answered; `InvalidError` for a question that the judge cannot judge.
    """
    judged_by = find_judge(judge) if isinstance(judge, str) else judge
    for question in questions:
        judged_by.judge(question, "")  # a question that cannot be judged is told before an hour of answering
    lengths = model.prompt_lengths([question.prompt for question in questions])
    for question, length in zip(questions, lengths, strict=True):
        if length + sampling.max_tokens > model.context_length:
            raise UsageError(
                f"The prompt of the question {question.id[:80]!r} has {length} tokens as {model.name} reads it; with "
                f"max-tokens {sampling.max_tokens} to come it does not fit the context of {model.context_length}. "
                "Choose a smaller max-tokens, or leave this question out."
            )
    rows: dict[int, Row] = {}
    order = sorted(range(len(questions)), key=lambda place: (-lengths[place], place))
    for start in range(0, len(order), CHUNK):
        places = order[start : start + CHUNK]
        asked = [questions[place] for place in places]
        completions = model.answer([each.prompt for each in asked], sampling, [each.id for each in asked])
        for place, question, completion in zip(places, asked, completions, strict=True):
            rows[place] = _row(question, completion, judged_by, model.name, sampling.seed)
            tick()
    return [rows[place] for place in range(len(questions))]


def _row(question: Question, completion: Completion, judge: Judge, model: str, seed: int) -> Row:
    return Row(
        **question.model_dump(),
        score=judge.judge(question, completion.text),
        completion=completion.text,
        answer=answer_of(completion.text),
        judge=judge.name,
        tokens=len(completion.tokens),
        prompt_tokens=completion.prompt_tokens,
        seconds=round(completion.seconds, 6),
        finished=completion.finished,
        model=model,
        seed=seed,
    )


def described(model: ChatModel) -> dict[str, Any]:
    """What is kept of a model beside the rows that it made: its name, its context, and what it says of itself."""
    return {"name": model.name, "context_length": model.context_length, **model.provenance()}
