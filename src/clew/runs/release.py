"""A release: the newest checkpoint and the newest bundle of each trainer, copied, hashed and listed.

    exports/export_YYYYMMDD_HHMMSS/<name>/...    the files of one checkpoint or bundle, and the recipe it was trained by
                                  manifest.json  created_at, checkpoint_count, root, entries
            latest.json                          which export is the newest

An export appears whole or not at all, and the pointer moves after it. Every copy is read again and hashed before that.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import ClewError
from clew.core.swap import held
from clew.runs.folder import RECIPE
from clew.runs.releasable import EXPORT_MANIFEST, PREFIX, Item, VanishedError, find, opened

FORMAT = 1
MANIFEST, LATEST = EXPORT_MANIFEST, "latest.json"
ATTEMPTS = 3
"""A training that goes on may remove a checkpoint while it is copied; its next one is taken then."""
POINTER = files.Output("the pointer of a release", lambda file: PREFIX.encode() in file.read(2**16))


@dataclass(frozen=True)
class Release:
    """A release that was made."""

    folder: Path
    manifest: dict[str, Any]
    notes: list[str]
    """Sentences about what was passed over and why."""


def make(root: Path, output: Path | None = None, *, seed: int = 0) -> Release:
    """Copy the newest checkpoint and bundle of each trainer's folder in `root` to a new export in `output`.

    `root` holds a folder a trainer: a run, a bundle, or a folder of such. `output`: by default `exports` beside `root`.
    `seed` is noted in the manifest; nothing is drawn.

    Raises `UsageError` or `ClewError`, with `output` untouched, for a root without checkpoints, a trainer none of whose
    checkpoints is whole, a recipe that was edited after its run began, or a pointer that is not a release's.
    """
    if not files.is_folder(root):
        raise ClewError(f"There is no folder {files.printable(root)} of checkpoints. Check --root.")
    output = default_output(root) if output is None else output
    files.check_output(output / LATEST, POINTER)
    for attempt in range(ATTEMPTS):
        try:
            items, notes = find(root, leave_out=output)
            return _write(root, output, items, notes, seed)
        except VanishedError as error:
            if attempt == ATTEMPTS - 1:
                raise ClewError(f"{error} Give the command again when the training pauses or has ended.") from error
    raise AssertionError


def default_output(root: Path) -> Path:
    """`exports` beside the folder of the checkpoints."""
    return (root if root.name not in ("", "..") else files.real(root)).parent / "exports"


def _write(root: Path, output: Path, items: list[Item], notes: list[str], seed: int) -> Release:
    """The export, whole, and then the pointer."""
    with files.sentences_for(output, "write the folder"):
        output.mkdir(parents=True, exist_ok=True)
    with held(output):
        for leftover in output.glob(f".{PREFIX}*.tmp"):  # of a killed release: the folder is held
            shutil.rmtree(leftover, ignore_errors=True)
        now = datetime.now(UTC)
        folder = _free(output / f"{PREFIX}{now:%Y%m%d_%H%M%S}")
        with files.whole_folder(folder) as temporary:
            entries = [_entry(item, temporary) for item in items]
            manifest = {
                "format": FORMAT,
                "created_at": now.isoformat(timespec="microseconds"),
                "checkpoint_count": len(entries),
                "root": files.printable(root),
                "seed": seed,
                "entries": entries,
                "notes": notes,
            }
            manifest["sha256"] = seal(manifest)
            files.write_json(temporary / MANIFEST, manifest)
        pointer = {
            "export": folder.name,
            "manifest": f"{folder.name}/{MANIFEST}",
            "created_at": manifest["created_at"],
            "checkpoint_count": len(entries),
            "manifest_sha256": files.sha256_of_file(folder / MANIFEST),
        }
        files.write_json(output / LATEST, pointer, replaces=POINTER)
    return Release(folder, manifest, notes)


def seal(manifest: dict[str, Any]) -> str:
    """The hash that a manifest carries: of the canonical JSON of everything else in it."""
    return files.sha256_of(files.canonical_json({key: value for key, value in manifest.items() if key != "sha256"}))


def _free(folder: Path) -> Path:
    """`folder`, or with `_2`, `_3`, ... behind it where another release of that second stands."""
    count, free = 1, folder
    while files.exists(free) or free.is_symlink():
        count += 1
        free = folder.with_name(f"{folder.name}_{count}")
    return free


def _entry(item: Item, export: Path) -> dict[str, Any]:
    """Copy an item into the export that is being written, read the copies again, and say what they are."""
    copied = {}
    for name, sha256 in sorted(item.sha256.items()):
        target = export / item.name / name
        _copy(item.folder / name, target)
        if files.sha256_of_file(target) != sha256:
            raise VanishedError(f"{item.folder / name} changed while it was copied, or the disk returns other bytes.")
        copied[name] = {"size": target.stat().st_size, "sha256": sha256}
    for name, content in sorted(item.extra.items()):
        target = export / item.name / name
        target.write_bytes(content)
        sha256 = files.sha256_of(content)
        if files.sha256_of_file(target) != sha256:
            raise ClewError(f"The disk returns other bytes for {name} than were written. Choose another --output.")
        copied[name] = {"size": len(content), "sha256": sha256}
    config = {"path": f"{item.name}/{RECIPE}", "sha256": copied[RECIPE]["sha256"]} if RECIPE in copied else None
    return {
        "name": item.name,
        "kind": item.kind,
        "source_path": files.printable(item.folder / item.main),
        "export_path": f"{item.name}/{item.main}",
        **copied[item.main],
        "config": config,
        **item.about,
        "files": {f"{item.name}/{name}": each for name, each in copied.items()},
    }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened(source) as read, target.open("xb") as written:
        shutil.copyfileobj(read, written, 2**20)
