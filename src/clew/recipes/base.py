"""Recipes: the only configuration. A frozen class per objective, YAML that fills it, flags that override it."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import pydantic
import yaml

from clew.core import files
from clew.core.errors import UsageError, nearest
from clew.recipes import plain_yaml

LARGEST = 1 << 24
"""Upper bound of sizes: beyond it a mistyped number would fill the memory before it is noticed."""

MOST_LAYERS = 10_000
"""Upper bound of depths, for the same reason."""

Decay = Annotated[float, pydantic.Field(ge=0, lt=1)]
"""Share that a moving average keeps at each step."""


class Section(pydantic.BaseModel):
    """A part of a recipe: frozen, nothing unknown, a docstring below each field (it becomes the flag's help)."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="wrap")
    @classmethod
    def _value_that_counts(
        cls, value: Any, check: pydantic.ValidatorFunctionWrapHandler, field: pydantic.ValidationInfo
    ) -> Any:
        """What pydantic lets pass and no library takes: true for 1, whole numbers past 64 bits, zero bytes."""
        wanted = cls.model_fields[str(field.field_name)].annotation
        if isinstance(value, bool) and wanted in (int, float):
            raise ValueError("a number is due")
        checked = check(value)
        # A seed is hashed, not counted with: any number will do.
        if wanted is int and field.field_name != "seed" and abs(checked) >= 2**63:
            raise ValueError("at most 64 bits can be counted with")
        if isinstance(checked, str) and "\0" in checked:
            raise ValueError("no name or path holds a zero byte")
        return checked


class Training(Section):
    """What the loop does: steps, optimiser, schedule, evaluation, checkpoints, machine."""

    max_steps: int = pydantic.Field(default=0, ge=0)
    """Optimiser steps to plan; 0 plans `max_epochs` passes over the training evidence."""
    max_epochs: float = pydantic.Field(default=10.0, gt=0)
    """Passes over the training evidence to plan, where `max_steps` is 0."""
    batch_size: int = pydantic.Field(default=32, ge=1, le=LARGEST)
    """Examples (rows, positions, traces) in one optimiser step, over all processes and micro-batches."""
    accumulation: int = pydantic.Field(default=1, ge=1, le=LARGEST)
    """Micro-batches that one optimiser step is split into, to fit memory. The result is the same but for rounding,
    except where a net normalises over its batch (a residual tower does): there each micro-batch is normalised alone."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw: AdamW for all. muon: Muon for the matrices inside the network, AdamW for the rest."""
    learning_rate: float = pydantic.Field(default=3e-4, gt=0)
    """Peak learning rate of AdamW."""
    muon_learning_rate: float = pydantic.Field(default=0.02, gt=0)
    """Peak learning rate of Muon, where the optimiser is muon; it follows the same schedule."""
    min_learning_rate: float = pydantic.Field(default=3e-5, ge=0)
    """Learning rate at the end of the planned steps (Muon's falls by the same factor)."""
    schedule: Literal["constant", "linear", "cosine", "trapezoid"] = "cosine"
    """After the warm-up: constant; linear or cosine to the minimum; or flat, then linear to the minimum (trapezoid)."""
    warmup_steps: int = pydantic.Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly to its peak."""
    warmup_start_ratio: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Where the warm-up begins, as a share of the peak."""
    schedule_steps: int = pydantic.Field(default=0, ge=0)
    """Steps that the schedule spans, where they are more than this run's; 0: the planned steps."""
    schedule_start: int = pydantic.Field(default=0, ge=0)
    """Steps of the schedule that earlier runs have taken."""
    cooldown_fraction: float = pydantic.Field(default=0.4, ge=0, le=1)
    """Share of the planned steps over which a trapezoid falls."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """AdamW's decay rates of the first and second moment."""
    weight_decay: float = pydantic.Field(default=0.1, ge=0)
    """Decoupled weight decay, on matrices only."""
    average_decay: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Evaluate, save and ship a moving average of the weights with this decay a step, such as 0.999. 0: no average."""
    clip: float = pydantic.Field(default=1.0, ge=0)
    """Largest norm of the gradient; a longer one is scaled down to it. 0: no limit."""
    evaluate_every: int = pydantic.Field(default=250, ge=1)
    """Steps between evaluations on the held-out evidence (one more stands at the end)."""
    patience: int = pydantic.Field(default=10, ge=0)
    """Evaluations without improvement after which the run stops early; 0: never."""
    checkpoint_every: int = pydantic.Field(default=250, ge=1)
    """Steps between checkpoints; an evaluation that improves makes one too."""
    keep_checkpoints: int = pydantic.Field(default=3, ge=1)
    """How many of the newest checkpoints stay; the best one always does."""
    log_every: int = pydantic.Field(default=10, ge=1)
    """Steps between lines of metrics."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps: auto takes an accelerator where there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward and backward pass; weights stay float32. auto: bfloat16 where it is native."""
    compile: Literal["auto", "yes", "no"] = "auto"
    """torch.compile of the loss. auto: where a compiler is installed and the run is long enough to pay for it."""
    threads: int = pydantic.Field(default=0, ge=0, le=1024)
    """CPU threads of each process; 0: OMP_NUM_THREADS, or the machine's cores shared among the processes."""


class Recipe(Section):
    """What every recipe has; an objective's recipe adds its sections."""

    objective: str
    """What "better" means; fixed by the class."""
    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the model; run folders and bundles begin with it. Letters, digits, '_', '.', '-'."""
    seed: int = 42
    """Every random draw is a function of this number, a purpose and a position."""
    start_from: str | None = None
    """Checkpoint folder or run whose weights this run starts from (only the weights: a new run, its parent named)."""
    training: Training = Training()
    """What the loop does."""

    def without_secrets(self) -> Self:
        """This recipe as it may be written down: without passwords."""
        return self


R = TypeVar("R", bound=Section)

_SHORTENED = reprlib.Repr()
_SHORTENED.maxstring = _SHORTENED.maxother = 80


def shortened(value: Any) -> str:
    """A value as a sentence shows it: aliases and digits could make one of millions of characters."""
    return _SHORTENED.repr(value)


def validate(kind: type[R], values: dict[str, Any], where: str) -> R:
    """Make a `kind` of plain values. Raises `UsageError`: each fault with its key, the nearest known key if unknown."""
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError(" ".join(_sentence(kind, dict(fault), where) for fault in error.errors())) from None


def _sentence(kind: type[Section], fault: dict[str, Any], where: str) -> str:
    path = [str(part) for part in fault["loc"]]
    dotted = ".".join(path)
    if fault["type"] == "extra_forbidden":
        known = _keys_at(kind, path[:-1])
        return f"{where}: unknown key '{dotted}'.{nearest(path[-1], known)} Known here: {', '.join(known)}."
    if fault["type"] == "missing":
        return f"{where}: the key '{dotted}' is missing."
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{where}: '{dotted}' is {shortened(fault['input'])}: {message[:1].lower()}{message[1:].rstrip('.')}."


def _keys_at(kind: type[Section], path: list[str]) -> list[str]:
    for part in path:
        annotation = kind.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, Section)):
            return []
        kind = annotation
    return list(kind.model_fields)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping. Raises `ClewError` or `UsageError` with file and line."""
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    try:
        values = plain_yaml.read(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UsageError(f"{path}{line}: not valid YAML: {problem}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no recipe: a recipe is a mapping of keys to values, such as `name: tactics`.")
    for key in values:
        if not isinstance(key, str):
            raise UsageError(
                f"{path}: the key {shortened(key)} is no word; the keys of a recipe are names of settings."
            )
    return values


def places(kind: type[Section], prefix: str = "") -> dict[str, str]:
    """Field name -> dotted key of the field, for the names that stand once in `kind` and its sections."""
    found: dict[str, list[str]] = {}
    for name, field in kind.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            for inner, dotted in places(section, f"{prefix}{name}.").items():
                found.setdefault(inner, []).append(dotted)
        else:
            found.setdefault(name, []).append(f"{prefix}{name}")
    return {name: keys[0] for name, keys in found.items() if len(keys) == 1}


def changed(settings: R, changes: dict[str, Any], where: str) -> R:
    """`settings` with other values at dotted keys, checked as a whole. Raises `UsageError`."""
    values = settings.model_dump()
    for dotted, value in changes.items():
        *sections, field = dotted.split(".")
        within = values
        for section in sections:
            within = within[section]
        within[field] = value
    return validate(type(settings), values, where)


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def at(settings: Section, dotted: str) -> Any:
    """The value at a dotted key."""
    value: Any = settings
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def to_yaml(recipe: Recipe) -> str:
    """The resolved recipe as YAML, in the order of the class, without passwords."""
    return str(yaml.safe_dump(recipe.without_secrets().model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def sha256(recipe: Recipe) -> str:
    """SHA-256 of the canonical JSON of the resolved recipe as it is written down."""
    return files.sha256_of(files.canonical_json(recipe.without_secrets().model_dump(mode="json")))


def sha256_as_written(recipe: Section, values: dict[str, Any]) -> str:
    """SHA-256 of `recipe` with those keys alone that stand in `values`, the file that it was read from.

    A field that a later version of Clew adds takes its default in a run made before, and changes no hash.
    """
    return files.sha256_of(files.canonical_json(_only(recipe.model_dump(mode="json"), values)))


def _only(resolved: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _only(value, values[name]) if isinstance(value, dict) and isinstance(values[name], dict) else value
        for name, value in resolved.items()
        if name in values
    }
