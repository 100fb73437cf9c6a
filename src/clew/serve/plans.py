"""From what a client asks for to the `clew` command of a job, and from what the job made to the database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from clew import recipes
from clew.core import files
from clew.core.errors import UsageError, nearest
from clew.recipes import base
from clew.recipes.base import Recipe
from clew.recipes.families import find_family
from clew.serve.jobs import EVAL_SET
from clew.traces import datasets
from clew.traces.evalset import Question
from clew.traces.evaluation_rows import read_evaluation
from clew.traces.judges import JUDGES, find_judge
from clew.traces.records import Job
from clew.traces.regression import record
from clew.traces.schema import ConflictError, InvalidError, Strict, Text
from clew.traces.store import TraceStore

RECIPE, DATASET, ROWS = "recipe.yaml", "dataset.jsonl", "eval.jsonl"
MOST_QUESTIONS = 10_000
_REMOTE = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_OF_THE_SERVER = (
    "objective", "start_from", "data.path", "data.db", "data.eval_set", "data.judge", "model.base_model",
    "training.device", "training.threads",
)  # fmt: skip
"""What a client does not set by a recipe: paths of this machine, and what has a field of the request."""
_OBJECTIVE = "chat"

Questions = Annotated[list[Question], pydantic.Field(max_length=MOST_QUESTIONS, min_length=1)]


class RunRequest(Strict):
    """A training that is asked for. What is left out is as the preset has it."""

    dataset_key: Text = pydantic.Field(min_length=1, max_length=200)
    """The dataset to train on."""
    model: Text = pydantic.Field(default="base", min_length=1, max_length=200)
    """`base` (a small GPT made on the server), the id of a run, or the id of a Hugging Face model."""
    steps: int | None = pydantic.Field(default=None, ge=1, le=10_000_000)
    """Optimiser steps; 50 in the preset `sft`."""
    learning_rate: float | None = pydantic.Field(default=None, gt=0, le=10)
    """Its peak; 1e-5 in the preset `sft`."""
    seed: int | None = pydantic.Field(default=None, ge=0, lt=2**53)
    """Every random draw follows from it; 42 in the preset `sft`."""
    dry_run: bool = False
    """Whether everything is read and checked and nothing trained."""
    backend: Literal["auto", "torch", "tunix"] = "auto"
    """The library that trains; auto takes what is there."""
    preset: Text = pydantic.Field(default="sft", max_length=64)
    """The recipe that the others change: one that ships with Clew, such as `sft` or `arithmetic`."""
    recipe: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Other keys of the recipe, by section: `{"training": {"per_device_batch_size": 4}}`."""
    eval_set: Questions | None = None
    """Questions that the model answers before and after; the two are compared in a report."""


class EvaluateRequest(Strict):
    """An evaluation that is asked for."""

    eval_set: Questions | None = None
    """The questions; none: those that the run was asked for with."""
    model: Literal["run", "base"] = "run"
    """What answers: the model that the run made, or the one that it began with."""
    judge: Text = pydantic.Field(default="answer", max_length=64)
    """What says whether an answer is right: answer, exact, numeric, numeric:0.01, choice, checker or steps."""
    seed: int = pydantic.Field(default=42, ge=0, lt=2**53)
    """Of the answers, where they are drawn."""
    max_examples: int | None = pydantic.Field(default=None, ge=1)
    """Answer the first so many questions."""


def check_judge(name: str) -> str:
    """`name`, where it is a judge that a client may name. Raises `InvalidError`."""
    # "module:attribute" is for whoever sits at the machine: it imports what it names.
    if name not in JUDGES and not name.startswith("numeric:") and ":" in name:
        raise InvalidError(f"There is no judge '{name[:64]}'. Known: {', '.join(JUDGES)}.")
    return find_judge(name).name


class Plans:
    """Knows where the files of a job lie."""

    def __init__(self, store: TraceStore, runs: Path) -> None:
        """`runs`: the folder in which each training has its run folder, named by its id."""
        self._store, self._runs = store, runs

    def run_folder(self, job_id: str) -> Path:
        """The run folder of a training."""
        return self._runs / job_id

    def made_in(self, job: Job) -> Path:
        """The folder of what the job made."""
        return self.run_folder(job.id) if job.request["kind"] == "train" else Path(job.folder or "")

    def finished(self, job: Job) -> None:
        """Take an evaluation that is done into the leaderboard. Raises `ClewError`."""
        if job.request["kind"] != "evaluate" or job.folder is None:
            return
        evaluation = read_evaluation(Path(job.folder) / ROWS)
        training = self._store.job(job.request["run_id"])
        name = training.request["model"] if job.request["model"] == "base" else training.id
        record(self._store, evaluation, name=name)

    def train(self, wanted: RunRequest) -> dict[str, Any]:
        """The request of a job that trains, checked as far as it can be without reading a model.

        Raises `NotFoundError` for a dataset or a run that is not there, `UsageError` for a recipe that does not fit.
        """
        manifest = datasets.load(self._store, wanted.dataset_key)
        self._model(wanted.model)
        recipe = self._recipe(wanted, Path(DATASET), Path(EVAL_SET) if wanted.eval_set else None)
        _check_questions(wanted.eval_set)
        held = wanted.model_dump(mode="json", exclude={"eval_set"})
        settled = {
            "steps": recipe.training.max_steps,
            "learning_rate": recipe.training.learning_rate,
            "seed": recipe.seed,
        }
        told = {"build_id": manifest.build_id, "questions": len(wanted.eval_set or [])}
        return {"kind": "train", **held, "settled": settled, **told}

    def evaluate(self, job: Job, wanted: EvaluateRequest) -> dict[str, Any]:
        """The request of a job that evaluates what the training `job` made. Raises `ConflictError` before it has."""
        if job.request["dry_run"]:
            raise ConflictError(f"The run {job.id} is a dry run: it made no model.")
        if wanted.model == "run" and job.state != "completed":
            raise ConflictError(f"The run {job.id} is {job.state}: it can be evaluated when it is completed.")
        check_judge(wanted.judge)
        _check_questions(wanted.eval_set)
        if not wanted.eval_set and not job.request["questions"]:
            raise InvalidError(
                f"The run {job.id} was asked for without an eval set, so this needs one: a list of questions as "
                "`eval_set`."
            )
        held = wanted.model_dump(mode="json", exclude={"eval_set"})
        return {"kind": "evaluate", "run_id": job.id, **held, "questions": len(wanted.eval_set or [])}

    def prepare(self, job: Job) -> list[str]:
        """Write what the job reads into its folder; the arguments of its `clew` command."""
        assert job.folder is not None
        folder = Path(job.folder)
        asked = job.request
        if asked["kind"] == "evaluate":
            return self._evaluation(asked, folder)
        wanted = RunRequest.model_validate({name: asked[name] for name in RunRequest.model_fields if name in asked})
        datasets.export_file(self._store, wanted.dataset_key, "trace", folder / DATASET)
        recipe = self._recipe(wanted, folder / DATASET, folder / EVAL_SET if asked["questions"] else None)
        files.write_text(folder / RECIPE, base.to_yaml(recipe))
        arguments = ["train", "sft", "--config", str(folder / RECIPE), "--data", str(folder / DATASET)]
        arguments += ["--output", str(self.run_folder(job.id)), "--backend", wanted.backend]
        return [*arguments, "--dry-run"] if wanted.dry_run else arguments

    def _evaluation(self, asked: Mapping[str, Any], folder: Path) -> list[str]:
        training = self._store.job(asked["run_id"])
        model = str(self.run_folder(training.id)) if asked["model"] == "run" else self._model(training.request["model"])
        own = folder if asked["questions"] else Path(training.folder or "")
        arguments = ["evaluate", "traces", "--model", model, "--eval-set", str(own / EVAL_SET)]
        arguments += ["--output", str(folder / ROWS), "--seed", str(asked["seed"]), "--judge", asked["judge"]]
        if asked["max_examples"] is not None:
            arguments += ["--max-examples", str(asked["max_examples"])]
        return arguments

    def _model(self, name: str) -> str:
        """What a training calls the model that a client names. Raises `ClewError` for none."""
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name):
            job = self._store.job(name)
            if job.request["kind"] != "train" or job.request["dry_run"] or job.state != "completed":
                raise ConflictError(f"The run {name} has no model to begin with: it is no training that is completed.")
            return str(self.run_folder(name))
        if name != "base" and (not _REMOTE.fullmatch(name) or ".." in name):
            raise InvalidError(
                f"'{name[:80]}' is no name of a model: it is base, the id of a run, or the id of a Hugging Face model "
                "such as ORGANISATION/NAME. Paths of the server are not taken."
            )
        return name

    def _recipe(self, wanted: RunRequest, data: Path, eval_set: Path | None) -> Recipe:
        family = find_family(_OBJECTIVE)
        known = [name for name in recipes.presets() if recipes.load(name).objective == _OBJECTIVE]
        if wanted.preset not in known:
            raise UsageError(
                f"There is no preset '{wanted.preset}'.{nearest(wanted.preset, known)} Known: {', '.join(known)}."
            )
        given = family.part("familiar").nested(wanted.recipe, "recipe")
        keys = base.flattened(given)
        fields: dict[str, Any] = {
            "training.max_steps": wanted.steps,
            "training.learning_rate": wanted.learning_rate,
            "seed": wanted.seed,
        }
        for key in keys:
            if any(key == own or key.startswith(f"{own}.") for own in _OF_THE_SERVER) or fields.get(key) is not None:
                raise UsageError(
                    f"recipe: '{key}' cannot be set here, where a field of the request or the server does."
                )
        from clew.bundle.chat import TEMPLATES

        template = keys.get("model.template", "auto")
        if template != "auto" and template not in TEMPLATES:
            raise UsageError(f"recipe: 'model.template' is auto or one of {', '.join(TEMPLATES)}.")
        values = _over(recipes.load(wanted.preset).model_dump(mode="json"), given)
        changes: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
        changes |= {"data.path": str(data), "model.base_model": self._model(wanted.model)}
        if eval_set:
            changes["data.eval_set"] = str(eval_set)
        changed: Recipe = base.changed(base.validate(family.part("recipe"), values, "recipe"), changes, "the request")
        return changed


def _over(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those `given` laid over them, section by section."""
    found = dict(values)
    for key, value in given.items():
        within = found.get(key)
        found[key] = _over(within, value) if isinstance(within, dict) and isinstance(value, dict) else value
    return found


def _check_questions(questions: list[Question] | None) -> None:
    seen: set[str] = set()
    for each in questions or []:
        if each.id in seen:
            raise InvalidError(f"eval_set: the id '{each.id}' stands in it twice.")
        seen.add(each.id)
