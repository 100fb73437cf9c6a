"""Datasets: an immutable choice of traces in a fixed order, named, versioned, and known by the hash of its content.

    with TraceStore.open() as store:
        built = build(store, BuildRequest(dataset_name="sums", dataset_version="1", limit=5000))
        for piece in export(store, built.manifest.dataset_key, "tunix_sft"):
            ...

The manifest stands in the database and in a file beside it. What a dataset holds can only be changed by hand, and
`export` and `verify` find that by the hash.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import sqlalchemy as sa

from clew.core import files, randomness
from clew.core.errors import ClewError, EvidenceError, nearest
from clew.core.files import canonical_json
from clew.traces.filters import matches
from clew.traces.jsonl import TrainingRow
from clew.traces.kept import RESTORE, Text, kept_object, sought
from clew.traces.manifests import (
    SCHEMA_VERSION,
    BuildRequest,
    Manifest,
    Seal,
    Stats,
    folder_name,
    read_manifest,
    read_seal,
    seal_path,
)
from clew.traces.moments import now
from clew.traces.renderings import check_format, lines, metadata
from clew.traces.schema import ConflictError, InvalidError, NotFoundError
from clew.traces.store import Stored, TraceStore
from clew.traces.tables import DATASETS, MEMBERS, TRACES

__all__ = [
    "BuildRequest",
    "Built",
    "Difference",
    "Manifest",
    "Seal",
    "Verification",
    "build",
    "datasets",
    "diff",
    "export",
    "export_file",
    "load",
    "read_seal",
    "rows",
    "stored",
    "verify",
]

_AT_ONCE = 1_000
"""Traces read in one transaction, so that a slow reader holds nothing up."""


@dataclass(frozen=True)
class Built:
    """A dataset that is there now."""

    manifest: Manifest
    manifest_path: Path
    new: bool
    """False: it was there already, with the same content."""


def build(store: TraceStore, request: BuildRequest, folder: Path | None = None, *, limit: int | None = None) -> Built:
    """Choose traces and fix them as a dataset; its manifest is written into a folder of its own in `folder`.

    `limit` takes the place of the request's, which HTTP holds to 10,000. A key that is there with the same content,
    chosen by the same request, is given back as it is. Raises `ConflictError` where the key has other content,
    `InvalidError` where no trace fits.
    """
    chosen = _choose(store, request, request.limit if limit is None else limit)
    if not chosen:
        count = store.count()
        told = (
            f"none of the {count:,} traces in {store.name} passes its filters {canonical_json(request.filters)[:200]}"
            if count
            else f"{store.name} holds no traces yet"
        )
        raise InvalidError(f"The dataset '{request.dataset_key}' would be empty: {told}.")
    manifest = _manifest(store, request, chosen)
    path = (folder or store.datasets_folder) / folder_name(manifest.dataset_key) / "manifest.json"
    try:
        with store.database.writing("write into") as connection:
            values = {
                "dataset_key": manifest.dataset_key,
                "build_id": manifest.build_id,
                "created_at": manifest.created_at,
                "content_sha256": manifest.content_sha256,
                "manifest": canonical_json(manifest.model_dump(exclude={"trace_ids"})),
                "manifest_path": files.printable(path),
            }
            number = connection.execute(sa.insert(DATASETS).returning(DATASETS.c.number), values).scalar_one()
            for begin in range(0, len(chosen), 10 * _AT_ONCE):
                part = enumerate(chosen[begin : begin + 10 * _AT_ONCE], begin)
                members = [{"dataset": number, "position": place, "trace_id": each} for place, each in part]
                connection.execute(sa.insert(MEMBERS), members)
            # Before the transaction ends: a dataset that is there has its manifest.
            _write(manifest, path)
    except sa.exc.IntegrityError:
        return _there_already(store, manifest)
    return Built(manifest, path, True)


def _there_already(store: TraceStore, manifest: Manifest) -> Built:
    try:
        number, there, path = _find(store, manifest.dataset_key)
    except NotFoundError:
        raise EvidenceError(f"A trace was deleted from {store.name} while the dataset was built: try again.") from None
    differing = [name for name in _COMPARED if there[name] != getattr(manifest, name)]
    if differing:
        raise ConflictError(
            f"The dataset '{manifest.dataset_key}' is there, built {there['created_at'][:19]}, with other content "
            f"({', '.join(differing)}). A dataset never changes: choose another version."
        )
    whole = _with_ids(store, number, there)
    if not files.exists(path):
        _write(whole, path)
    return Built(whole, path, False)


_COMPARED = (
    "dataset_name", "dataset_version", "filters", "selection_strategy", "seed", "session_id", "parent_dataset_id",
    "training_run_id", "provenance", "content_sha256",
)  # fmt: skip


def _choose(store: TraceStore, request: BuildRequest, limit: int) -> list[str]:
    """Ids of the traces that the request asks for, in order."""
    if request.selection_strategy == "latest":
        return [trace_id for trace_id, _ in itertools.islice(_fitting(store, request), limit)]
    seed = request.seed or 0
    # By what the traces say, not by their ids: the same traces in another database make the same choice.
    ranked = (
        (randomness.key(seed, "dataset", sha256), -place, trace_id)
        for place, (trace_id, sha256) in enumerate(_fitting(store, request))
    )
    return [trace_id for _, _, trace_id in heapq.nsmallest(limit, ranked)]


def _fitting(store: TraceStore, request: BuildRequest) -> Iterator[tuple[str, str]]:
    """Id and hash of each trace that passes the filters, the newest first, of one state of the database."""
    columns = (TRACES.c.id, TRACES.c.sha256, TRACES.c.meta, TRACES.c.trace_version)
    query = sa.select(*columns).order_by(TRACES.c.number.desc())
    with store.database.reading() as connection:
        for trace_id, sha256, meta, version in connection.execution_options(yield_per=_AT_ONCE).execute(query):
            told = meta and kept_object(meta, f"The meta of the trace {trace_id}") if request.filters else None
            if not request.filters or matches(request.filters, told, version):
                yield trace_id, sha256


def _manifest(store: TraceStore, request: BuildRequest, chosen: Sequence[str]) -> Manifest:
    digest, steps, chars, least, most = hashlib.sha256(), 0, 0, 2**63, 0
    for each in store.iterate(chosen):
        digest.update(_hashed(each.check()))
        trace = each.trace
        count = len(trace.steps)
        steps, least, most = steps + count, min(least, count), max(most, count)
        chars += len(trace.prompt) + len(trace.final_answer) + sum(len(step.content) for step in trace.steps)
    stats = Stats(
        trace_count=len(chosen),
        avg_step_count=steps / len(chosen),
        min_step_count=least,
        max_step_count=most,
        avg_total_chars=chars / len(chosen),
    )
    told = request.model_dump(exclude={"limit"})
    return Manifest(
        dataset_key=request.dataset_key,
        build_id=str(uuid.uuid4()),
        dataset_schema_version=SCHEMA_VERSION,
        created_at=now(),
        trace_ids=tuple(chosen),
        trace_count=len(chosen),
        stats=stats,
        content_sha256=digest.hexdigest(),
        **told,
    )


def _hashed(each: Stored) -> bytes:
    """What a dataset's hash is taken over: canonical JSON of all that an export may show of a trace, a line each."""
    created, trace_id = json.dumps(each.created, ensure_ascii=False), json.dumps(each.id, ensure_ascii=False)
    return f'{{"created_at":{created},"id":{trace_id},"trace":{each.content}}}\n'.encode()


MANIFEST = files.json_output("the manifest of a dataset", "dataset_key", "build_id", "content_sha256")


def _write(manifest: Manifest, path: Path) -> None:
    files.write_json(path, manifest.model_dump(mode="json"), replaces=MANIFEST)


# What there is


def datasets(store: TraceStore) -> list[dict[str, Any]]:
    """The manifests of all datasets, the newest first, without their trace_ids, each with its manifest_path."""
    query = sa.select(DATASETS.c.manifest, DATASETS.c.manifest_path).order_by(DATASETS.c.number.desc())
    with store.database.reading() as connection:
        return [_manifest_of(row[0]) | {"manifest_path": row[1]} for row in connection.execute(query)]


def load(store: TraceStore, key: str) -> Manifest:
    """The manifest of a dataset as the database has it. Raises `NotFoundError`."""
    number, there, _ = _find(store, key)
    return _with_ids(store, number, there)


def manifest_path(store: TraceStore, key: str) -> Path:
    """Where the manifest of a dataset was written. Raises `NotFoundError`."""
    return _find(store, key)[2]


def _find(store: TraceStore, key: str) -> tuple[int, dict[str, Any], Path]:
    query = sa.select(DATASETS.c.number, DATASETS.c.manifest, DATASETS.c.manifest_path)
    with store.database.reading() as connection:
        found = connection.execute(query.where(DATASETS.c.dataset_key == sought(key))).first()
        if found is not None:
            return found[0], _manifest_of(found[1]), Path(found[2])
        known = list(connection.execute(sa.select(DATASETS.c.dataset_key).limit(1_000)).scalars())
    raise NotFoundError(f"There is no dataset '{key[:200]}' in {store.name}.{nearest(key, known)}")


def _manifest_of(kept: str) -> dict[str, Any]:
    """The manifest that a row holds, its trace_ids apart. Raises `EvidenceError` for one that is none any more."""
    there = kept_object(kept, "The manifest of a dataset")
    try:
        Manifest(**there | {"trace_ids": ()})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise EvidenceError(
            f"The manifest of the dataset '{str(there.get('dataset_key'))[:200]}' was changed in the database: "
            f"{'.'.join(map(str, first['loc']))[:80]}: {first['msg']}. {RESTORE}"
        ) from error
    return there


def _with_ids(store: TraceStore, number: int, there: dict[str, Any]) -> Manifest:
    query = sa.select(MEMBERS.c.trace_id).where(MEMBERS.c.dataset == number).order_by(MEMBERS.c.position)
    with store.database.reading() as connection:
        return Manifest(**there, trace_ids=tuple(connection.execute(query).scalars()))


# What it holds


def stored(store: TraceStore, key: str) -> Iterator[Stored]:
    """The traces of a dataset in its order, some at a time in memory.

    Raises `NotFoundError` at once; `EvidenceError` at a trace that was changed or deleted by hand, or behind the last
    one where the whole is not what was built.
    """
    number, there, _ = _find(store, key)
    return _stored(store, number, there)


def _stored(store: TraceStore, number: int, there: dict[str, Any]) -> Iterator[Stored]:
    digest, after, done = hashlib.sha256(), -1, 0
    columns = (
        MEMBERS.c.position,
        MEMBERS.c.trace_id,
        *(sa.type_coerce(TRACES.c[name], Text(none=True)) for name in ("created_at", "content", "sha256")),
    )
    query = sa.select(*columns).outerjoin_from(MEMBERS, TRACES, MEMBERS.c.trace_id == TRACES.c.id)
    query = query.where(MEMBERS.c.dataset == number).order_by(MEMBERS.c.position).limit(_AT_ONCE)
    while True:
        with store.database.reading() as connection:
            found = connection.execute(query.where(MEMBERS.c.position > after)).all()
        for position, *values in found:
            if values[1] is None:
                raise EvidenceError(f"{_of(there)}: the trace {values[0]} was deleted from the database. {_RESTORE}")
            each = Stored(*values)
            try:
                digest.update(_hashed(each.check()))
            except EvidenceError as error:
                raise EvidenceError(f"{_of(there)}: {error} {_RESTORE}") from None
            after, done = position, done + 1
            yield each
        if len(found) < _AT_ONCE:
            break
    if done != there["trace_count"] or digest.hexdigest() != there["content_sha256"]:
        raise EvidenceError(
            f"{_of(there)}: what the database holds of it now is not what was built (its content_sha256 differs). "
            f"{_RESTORE}"
        )


_RESTORE = "Bring the database back from a copy, or build a new version."


def _of(there: dict[str, Any]) -> str:
    return f"The dataset '{there['dataset_key']}' is broken"


def rows(store: TraceStore, key: str) -> Iterator[TrainingRow]:
    """What a model is trained on: prompts, steps and answers of a dataset in its order. Raises as `stored` does."""
    return (
        TrainingRow(
            each.id,
            trace.prompt,
            tuple(step.content for step in trace.steps),
            trace.final_answer,
            metadata(each.created, trace, "trace"),
        )
        for each in stored(store, key)
        for trace in (each.trace,)
    )


def export(store: TraceStore, key: str, form: str, *, system: str | None = None) -> Iterator[bytes]:
    """The rows of a dataset in one of the formats, in pieces that end with a line: memory does not grow with it.

    Raises `InvalidError` and `NotFoundError` at once, and while it goes on as `stored` does.
    """
    return lines(stored(store, key), check_format(form), system=system)


_ROW = re.compile(rb'\{"id": "[0-9a-f-]{36}", "prompts?": "')
EXPORT = files.Output("an export of a dataset", lambda file: _ROW.match(file.read(80)) is not None)
SEAL = files.json_output("the seal of an export", "dataset_key", "content_sha256", "sha256")


def export_file(store: TraceStore, key: str, form: str, path: Path, *, system: str | None = None) -> Seal:
    """Write an export into a file and its seal beside it, each whole or not at all. Earlier ones alone are replaced."""
    number, there, _ = _find(store, key)
    digest = hashlib.sha256()
    files.check_output(seal_path(path), SEAL)
    with files.whole_file(path, replaces=EXPORT) as file:
        for piece in lines(_stored(store, number, there), check_format(form), system=system):
            digest.update(piece)
            file.write(piece)
        # A file that is there without its own seal would count as one of the user's own.
        seal = Seal(
            dataset_key=there["dataset_key"],
            build_id=there["build_id"],
            content_sha256=there["content_sha256"],
            format=form,
            trace_count=there["trace_count"],
            sha256=digest.hexdigest(),
        )
        files.write_json(seal_path(path), seal.model_dump(), replaces=SEAL)
    return seal


# What is true of it


@dataclass(frozen=True)
class Verification:
    """Whether a dataset is what was built."""

    dataset_key: str
    build_id: str
    trace_count: int
    content_sha256: str
    faults: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.faults


def verify(store: TraceStore, key: str) -> Verification:
    """Read all of a dataset and hold it against its hash, and its manifest in the database against the file's."""
    number, there, path = _find(store, key)
    faults = []
    try:
        for _ in _stored(store, number, there):
            pass
    except EvidenceError as error:
        faults.append(str(error))
    try:
        kept = _with_ids(store, number, there)
        on_disk = read_manifest(path)
    except ClewError as error:
        faults.append(str(error))
    else:
        changed = [name for name in Manifest.model_fields if getattr(kept, name) != getattr(on_disk, name)]
        if changed:
            faults.append(
                f"{path} was changed, or the database was: {', '.join(changed)} differ"
                f"{'s' if len(changed) == 1 else ''} between them."
            )
        if kept.dataset_key != key or kept.dataset_key != f"{kept.dataset_name}-{kept.dataset_version}":
            faults.append(f"The manifest is of the dataset '{kept.dataset_key}', not of '{key}'.")
    return Verification(
        key, str(there["build_id"]), int(there["trace_count"]), str(there["content_sha256"]), tuple(faults)
    )


@dataclass(frozen=True)
class Difference:
    """What two datasets differ in."""

    base: str
    other: str
    added: tuple[str, ...]
    """Traces of the other that the base has not, in the other's order."""
    removed: tuple[str, ...]
    """Traces of the base that the other has not, in the base's order."""
    common: int
    same_order: bool
    """Whether the traces of both stand in the same order in both."""
    changed: dict[str, tuple[Any, Any]]
    """What the manifests say differently, of the base and of the other."""


def diff(store: TraceStore, base: str, other: str) -> Difference:
    """Compare two datasets. Raises `NotFoundError`."""
    one, two = load(store, base), load(store, other)
    of_one, of_two = set(one.trace_ids), set(two.trace_ids)
    shared = [[each for each in ids if each in of_one and each in of_two] for ids in (one.trace_ids, two.trace_ids)]
    names = [
        name for name in Manifest.model_fields if name not in ("trace_ids", "dataset_key", "build_id", "created_at")
    ]
    return Difference(
        base=base,
        other=other,
        added=tuple(each for each in two.trace_ids if each not in of_one),
        removed=tuple(each for each in one.trace_ids if each not in of_two),
        common=len(of_one & of_two),
        same_order=shared[0] == shared[1],
        changed={
            name: (first, second)
            for name, first, second in (
                (name, one.model_dump(include={name})[name], two.model_dump(include={name})[name]) for name in names
            )
            if first != second
        },
    )
