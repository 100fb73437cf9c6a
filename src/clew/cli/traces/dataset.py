"""`clew dataset`: immutable, versioned datasets of traces. Built, listed, shown, exported, verified, compared."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import tyro

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED, UsageError

COMMANDS = {
    "build": ("clew.cli.traces.dataset:build_command", "fix traces of a database as a dataset"),
    "list": ("clew.cli.traces.dataset:list_command", "what is there, the newest first"),
    "show": ("clew.cli.traces.dataset:show", "the manifest of a dataset"),
    "export": ("clew.cli.traces.dataset:export_command", "write a dataset as JSONL, with a seal beside the file"),
    "verify": ("clew.cli.traces.dataset:verify_command", "hold a dataset against its hash; exit code 1 if it differs"),
    "diff": ("clew.cli.traces.dataset:diff_command", "what two datasets differ in"),
}
EVERY = 2**62


def main(arguments: list[str]) -> int:
    """Run `clew dataset`."""
    about = "Datasets of traces: named, versioned, content-hashed, never changed."
    return dispatch(COMMANDS, arguments, program="clew dataset", about=about)


class _Store(Options):
    db: str = "data/traces.db"
    """Path of an SQLite file, or a postgresql:// URL."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


class _One(_Store):
    key: Positional[str]
    """Key of the dataset: NAME-VERSION."""


class BuildOptions(_Store):
    """Fix traces of a database as a dataset. One that is there with the same content is given back as it is."""

    name: Positional[str]
    """Name of the dataset."""
    version: Positional[str]
    """Its version; the key is NAME-VERSION."""
    filters: tuple[str, ...] = ()
    """What the meta of each trace must have, such as category=sum level=2; the value is JSON, or else text."""
    limit: int | None = pydantic.Field(default=None, ge=1)
    """How many traces at most (default: all that pass)."""
    selection_strategy: Literal["latest", "random"] = "latest"
    """The newest, or drawn by the seed."""
    seed: int | None = None
    """Of a random selection."""
    session_id: str | None = None
    """Told in the manifest."""
    parent_dataset_id: str | None = None
    """The dataset that this one goes on from. Told in the manifest."""
    training_run_id: str | None = None
    """The run whose model wrote the traces. Told in the manifest."""
    provenance: str | None = None
    """Anything else to be told in the manifest: a JSON object."""
    folder: Path | None = None
    """Where the manifest is written (default: beside the database)."""


def build_command(arguments: list[str]) -> int:
    """Run `clew dataset build`."""
    options = parse(BuildOptions, arguments, program="clew dataset build")

    from clew.traces.datasets import BuildRequest, build
    from clew.traces.store import TraceStore

    try:
        request = BuildRequest(
            dataset_name=options.name,
            dataset_version=options.version,
            filters=dict(_filter(each) for each in options.filters),
            selection_strategy=options.selection_strategy,
            seed=options.seed,
            session_id=options.session_id,
            parent_dataset_id=options.parent_dataset_id,
            training_run_id=options.training_run_id,
            provenance=None if options.provenance is None else _object(options.provenance),
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(f"{where}: {said}." if where else f"{said[:1].upper()}{said[1:]}.") from None
    with TraceStore.open(options.db, create=False) as store:
        built = build(store, request, options.folder, limit=EVERY if options.limit is None else options.limit)
    manifest = built.manifest
    there = "" if built.new else " (it was there already, with the same content)"
    print(f"{manifest.dataset_key}: {manifest.trace_count:,} traces{there}")
    print(f"  build {manifest.build_id}, content {manifest.content_sha256[:12]}\n  {built.manifest_path}")
    if options.as_json:
        print_json(
            {
                "dataset_key": manifest.dataset_key,
                "build_id": manifest.build_id,
                "trace_count": manifest.trace_count,
                "manifest_path": str(built.manifest_path),
                "content_sha256": manifest.content_sha256,
                "new": built.new,
            }
        )
    return EXIT_DONE


def _filter(spelled: str) -> tuple[str, Any]:
    key, equals, value = spelled.partition("=")
    if not equals or not key:
        raise UsageError(f"The filter '{spelled}' is not of the form KEY=VALUE.")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def _object(spelled: str) -> dict[str, Any]:
    try:
        value = json.loads(spelled)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--provenance is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UsageError("--provenance is no JSON object.")
    return value


class ListOptions(_Store):
    """List the datasets of a database, the newest first."""


def list_command(arguments: list[str]) -> int:
    """Run `clew dataset list`."""
    options = parse(ListOptions, arguments, program="clew dataset list")

    from clew.traces.datasets import datasets
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        found, name = datasets(store), store.name
    print(f"{name}: {len(found):,} datasets")
    for each in found:
        told = f"{each['trace_count']:>9,} traces  {each['created_at'][:19]}  {each['content_sha256'][:12]}"
        print(f"{told}  {each['dataset_key']}")
    if options.as_json:
        print_json({"db": name, "datasets": found})
    return EXIT_DONE


class ShowOptions(_One):
    """Print the manifest of a dataset."""


def show(arguments: list[str]) -> int:
    """Run `clew dataset show`."""
    options = parse(ShowOptions, arguments, program="clew dataset show")

    from clew.traces.datasets import load
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        manifest = load(store, options.key).model_dump(mode="json")
    for name, value in manifest.items():
        if name != "trace_ids" and value is not None:
            print(f"{name:<24} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    if options.as_json:
        print_json(manifest)
    return EXIT_DONE


class ExportOptions(_One):
    """Write a dataset as JSON lines: to a file, with a seal (FILE.manifest.json) beside it, or to stdout."""

    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write; training reads its seal and refuses the file when it was edited."""
    format: str = "trace"
    """trace, tunix_sft or training_example."""


def export_command(arguments: list[str]) -> int:
    """Run `clew dataset export`."""
    options = parse(ExportOptions, arguments, program="clew dataset export")

    from clew.traces.datasets import export, export_file
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        if options.output is None:
            if options.as_json:
                raise UsageError("--json goes with --output: without it the rows themselves go to stdout.")
            for piece in export(store, options.key, options.format):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return EXIT_DONE
        seal = export_file(store, options.key, options.format, options.output)
    print(f"{options.output}: {seal.trace_count:,} rows of {seal.dataset_key} as {seal.format}")
    if options.as_json:
        print_json(seal.model_dump() | {"output": str(options.output)})
    return EXIT_DONE


class VerifyOptions(_One):
    """Read all of a dataset, hold it against its hash and its manifest against the file; exit 1 if they differ."""


def verify_command(arguments: list[str]) -> int:
    """Run `clew dataset verify`."""
    options = parse(VerifyOptions, arguments, program="clew dataset verify")

    from clew.traces.datasets import verify
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        found = verify(store, options.key)
    for fault in found.faults:
        print(fault)
    if found.good:
        print(f"{found.dataset_key}: {found.trace_count:,} traces, as they were built ({found.content_sha256[:12]})")
    if options.as_json:
        print_json({**vars(found), "good": found.good})
    return EXIT_DONE if found.good else EXIT_FAILED


class DiffOptions(_Store):
    """Say what two datasets differ in: traces added and removed, and what their manifests tell."""

    base: Positional[str]
    """Key of the one."""
    other: Positional[str]
    """Key of the other."""


def diff_command(arguments: list[str]) -> int:
    """Run `clew dataset diff`."""
    options = parse(DiffOptions, arguments, program="clew dataset diff")

    from clew.traces.datasets import diff
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        found = diff(store, options.base, options.other)
    order = "in the same order" if found.same_order else "in another order"
    print(f"{len(found.added):,} traces added, {len(found.removed):,} removed, {found.common:,} in both, {order}")
    for name, (one, two) in found.changed.items():
        print(f"  {name}: {json.dumps(one, ensure_ascii=False)} -> {json.dumps(two, ensure_ascii=False)}")
    if options.as_json:
        print_json(vars(found))
    return EXIT_DONE
