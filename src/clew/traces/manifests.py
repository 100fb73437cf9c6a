"""What a dataset is asked for, and what is told of it: the request, the manifest, and the seal of an exported file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import pydantic

from clew.core import files
from clew.core.files import canonical_json, sha256_of
from clew.traces.schema import InvalidError, Strict, Text

SCHEMA_VERSION = "1.0"


def _name(text: str) -> str:
    if not text.isprintable() or "/" in text or text != text.strip():
        raise ValueError("a name has no slash, no control character, and no space at its ends")
    return text


class BuildRequest(Strict):
    """Which traces a dataset is built of, and what is told of it."""

    dataset_name: Text = pydantic.Field(min_length=1, max_length=128)
    """Name of the dataset."""
    dataset_version: Text = pydantic.Field(min_length=1, max_length=64)
    """Its version; together they are its key, NAME-VERSION."""
    filters: dict[str, Any] = pydantic.Field(default_factory=dict)
    """What the meta of each trace must have, by key; `trace_version` is the trace's own. Null: nothing, or null."""
    limit: int = pydantic.Field(default=100, ge=1, le=10_000)
    """How many traces at most."""
    selection_strategy: Literal["latest", "random"] = "latest"
    """`latest`: the newest, the newest first. `random`: drawn by the seed, in the order drawn."""
    seed: int | None = pydantic.Field(default=None, ge=-(2**63), lt=2**63)
    """Of a random selection. The same traces and the same seed make the same choice."""
    session_id: Text | None = None
    """Told in the manifest."""
    parent_dataset_id: Text | None = None
    """The dataset that this one goes on from. Told in the manifest."""
    training_run_id: Text | None = None
    """The run whose model wrote the traces. Told in the manifest."""
    provenance: dict[str, Any] | None = None
    """Anything else that is to be told in the manifest."""

    @pydantic.field_validator("dataset_name", "dataset_version")
    @classmethod
    def _names(cls, text: str) -> str:
        return _name(text)

    @pydantic.model_validator(mode="after")
    def _seeded(self) -> Self:
        if self.selection_strategy == "random" and self.seed is None:
            raise ValueError("a random selection needs a seed")
        try:
            canonical_json([self.filters, self.provenance]).encode()
        except (ValueError, RecursionError) as error:
            raise ValueError("filters and provenance must be JSON with finite numbers, not nested too deep") from error
        return self

    @property
    def dataset_key(self) -> str:
        """NAME-VERSION."""
        return f"{self.dataset_name}-{self.dataset_version}"


class Stats(Strict):
    """Figures of the traces in a dataset."""

    trace_count: int
    avg_step_count: float
    min_step_count: int
    max_step_count: int
    avg_total_chars: float
    """Characters of prompt, steps and answer."""


class Manifest(Strict):
    """What a dataset is."""

    dataset_key: str
    build_id: str
    dataset_name: str
    dataset_version: str
    dataset_schema_version: str
    created_at: str
    filters: dict[str, Any]
    selection_strategy: Literal["latest", "random"]
    seed: int | None
    trace_ids: tuple[str, ...] = pydantic.Field(strict=False)
    trace_count: int
    stats: Stats
    session_id: str | None
    parent_dataset_id: str | None
    training_run_id: str | None
    provenance: dict[str, Any] | None
    content_sha256: str
    """Over each trace in order, a line of canonical JSON with its created_at, id and the trace itself."""


class Seal(Strict):
    """What stands beside an exported file, so that a file edited by hand is known."""

    dataset_key: str
    build_id: str
    content_sha256: str
    """Of the dataset; the manifest has the same."""
    format: str
    trace_count: int
    sha256: str
    """Of the exported file."""


def folder_name(dataset_key: str) -> str:
    """The folder of a dataset's manifest: its key, where every file system takes that and tells it from others."""
    if re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,127}", dataset_key):
        return dataset_key
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", dataset_key)[:100]
    return f"{plain}.{sha256_of(dataset_key)[:16]}"


def seal_path(exported: Path) -> Path:
    """Where the seal of an exported file stands: F.manifest.json for F.jsonl."""
    return exported.with_suffix(".manifest.json")


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises `ClewError` where it cannot be read or is none."""
    return _fitting(Manifest, path, "a manifest of a dataset")


def read_seal(exported: Path) -> Seal | None:
    """The seal of an exported file, once the file is found to be what was exported; None where it has no seal.

    Raises `InvalidError` for a file that was changed since.
    """
    path = seal_path(exported)
    if not files.exists(path):
        return None
    seal = _fitting(Seal, path, "the seal of an exported dataset")
    if files.sha256_of_file(exported) != seal.sha256:
        raise InvalidError(
            f"{exported} is not what was exported of the dataset '{seal.dataset_key}': its hash differs from the one "
            f"in {path.name}. Export it again; or, if the change is meant, remove {path.name}: then the file counts as "
            "one of your own."
        )
    return seal


_M = TypeVar("_M", bound=Strict)


def _fitting(kind: type[_M], path: Path, what: str) -> _M:
    value = files.read_json(path, what=what)
    try:
        return kind.model_validate(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(f"{path} is not {what}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
