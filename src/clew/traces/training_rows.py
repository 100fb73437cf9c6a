"""What a model is fine-tuned on: the rows of a file of any exported format, or of a dataset in a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.core.evidence import Evidence
from clew.databases import is_file, path_of, without_password
from clew.recipes.chat import ChatRecipe
from clew.traces import datasets, jsonl
from clew.traces.jsonl import TrainingRow
from clew.traces.manifests import read_seal
from clew.traces.renderings import REQUEST
from clew.traces.store import TraceStore

KIND = "traces"


def read(recipe: ChatRecipe) -> tuple[list[TrainingRow], Evidence]:
    """The rows that `recipe` names, and where they come from. Raises `ClewError` with file, line and column."""
    name = recipe.data.path
    if not name:
        raise UsageError(
            "Which traces to train on is not said: give --data FILE.jsonl, or --data KEY of a dataset with --db."
        )
    rows, evidence = _of_file(Path(name), recipe) if files.is_file(Path(name)) else _of_dataset(name, recipe)
    if not rows:
        raise EvidenceError(f"{name} holds no traces: there is nothing to train on.")
    return rows, evidence


def _of_file(path: Path, recipe: ChatRecipe) -> tuple[list[TrainingRow], Evidence]:
    seal = read_seal(path)
    key, build_id = (seal.dataset_key, seal.build_id) if seal else (None, None)
    evidence = Evidence(KIND, files.printable(path), files.sha256_of_file(path), key, build_id)
    return _plain(jsonl.read_rows(path), recipe, str(path)), evidence


def _of_dataset(key: str, recipe: ChatRecipe) -> tuple[list[TrainingRow], Evidence]:
    if key.endswith((".jsonl", ".json")) or "/" in key:
        raise EvidenceError(f"There is no file {key}. Check the path; `clew dataset export KEY -o FILE` writes one.")
    place = recipe.data.db
    if is_file(place) and not files.exists(path_of(place)):
        raise EvidenceError(
            f"There is no file {key}; and as the key of a dataset it is looked for in {place}, which is not there. "
            "Check the path, or give the database with --db."
        )
    with TraceStore.open(place, create=False) as store:
        manifest = datasets.load(store, key)
        rows = _plain(datasets.rows(store, key), recipe, key)
    named = f"{without_password(place)}#{key}"
    return rows, Evidence(KIND, named, manifest.content_sha256, manifest.dataset_key, manifest.build_id)


def _plain(rows: Iterable[TrainingRow], recipe: ChatRecipe, where: str) -> list[TrainingRow]:
    """The first rows that the recipe asks for, with the question alone as the prompt.

    What a format writes around a question is not asked when the trained model is: the recipe's system text comes
    through the template, and a `training_example` asks for steps that every trace has.
    """
    data = recipe.data
    before = f"{recipe.system_instruction}\n\n" if recipe.system_instruction else ""
    found: list[TrainingRow] = []
    for number, row in enumerate(rows, 1):
        if data.max_samples and len(found) == data.max_samples:
            break
        form = row.metadata.get("format")
        if data.format != "auto" and form is not None and form != data.format:
            raise EvidenceError(
                f"{where}: row {number} is of the format {form}, and the recipe says {data.format}. Give --format auto."
            )
        prompt = row.prompt.removeprefix(before)
        if form == "training_example" or (form is None and "trace_version" not in row.metadata):
            prompt = prompt.removesuffix(REQUEST)
        found.append(replace(row, id=row.id or f"row {number}", prompt=prompt))
    return found


def by_prompt(rows: Sequence[TrainingRow]) -> dict[str, list[int]]:
    """Which rows have each prompt, in the order in which the prompts come."""
    found: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        found.setdefault(row.prompt, []).append(index)
    return found
