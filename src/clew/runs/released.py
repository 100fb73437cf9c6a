"""Releases read back: held against their manifest, and against one another."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import ClewError, UsageError
from clew.recipes import base
from clew.runs.releasable import PREFIX, is_inside
from clew.runs.release import LATEST, MANIFEST, seal

_KEYS = {"created_at": str, "checkpoint_count": int, "root": str, "entries": list}
_ENTRY_KEYS = {"name": str, "source_path": str, "export_path": str, "size": int, "sha256": str}


@dataclass(frozen=True)
class Verified:
    """What a release was found to be."""

    folder: Path
    checkpoint_count: int
    files: int
    size: int
    """Bytes that were hashed."""
    faults: list[str]
    """A sentence about each thing that is missing, altered or extra."""

    @property
    def good(self) -> bool:
        """Whether it is as it was made."""
        return not self.faults


@dataclass(frozen=True)
class Difference:
    """What two releases differ in."""

    added: list[str]
    """Names that the second has alone."""
    removed: list[str]
    """Names that the first has alone."""
    same: list[str]
    """Names with the same bytes in every file."""
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> what differs: "fields" {key: [first, second]}, "recipe" {dotted key: [first, second]}, "files" {name:
    [first, second]} with size and hash of each, None where one lacks it."""


def find_release(folder: Path) -> Path:
    """The export that `folder` is, or that the latest.json in it points at. Raises `ClewError`."""
    if files.is_file(folder / MANIFEST):
        return folder
    if files.is_file(folder / LATEST):
        told = files.read_json(folder / LATEST, what="the pointer of a release")
        name = told.get("export") if isinstance(told, dict) else None
        if not isinstance(name, str) or not name.startswith(PREFIX) or not is_inside(name) or "/" in name:
            raise ClewError(f"{folder / LATEST} names no export. Name the folder of one: {folder}/{PREFIX}...")
        if not files.is_file(folder / name / MANIFEST):
            raise ClewError(f"{folder / LATEST} points at {name}, which is not there or has no {MANIFEST}.")
        return folder / name
    raise UsageError(
        f"{files.printable(folder)} is no release: it holds no {MANIFEST} and no {LATEST}. `clew release` makes one."
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an export, its fields checked. Raises `ClewError`."""
    path = folder / MANIFEST
    manifest = files.read_json(path, what="the manifest of a release")
    _check_fields(manifest, _KEYS, path, "it")
    names = set()
    for number, entry in enumerate(manifest["entries"]):
        which = f"entry {number}"
        _check_fields(entry, _ENTRY_KEYS, path, which)
        if entry["name"] in names:
            raise ClewError(f"{path}: two entries are called {entry['name']!r:.80}.")
        names.add(entry["name"])
        config = entry.get("config")
        if config is not None:
            _check_fields(config, {"path": str, "sha256": str}, path, f"the config of {which}")
        listed = entry.get("files", {})
        if not isinstance(listed, dict):
            raise ClewError(f"{path}: the files of {which} are no object of names.")
        for name, each in listed.items():
            _check_fields(each, {"size": int, "sha256": str}, path, f"the file {name!r:.80} of {which}")
        for place in (entry["export_path"], *([config["path"]] if config else []), *listed):
            if not is_inside(place):
                raise ClewError(f"{path}: {which} lists {place!r:.80}, which is no place in the export.")
    return dict(manifest)


def _check_fields(value: Any, fields: Mapping[str, type], path: Path, which: str) -> None:
    if not isinstance(value, dict):
        raise ClewError(f"{path}: {which} is no JSON object, so this is not the manifest of a release.")
    for name, kind in fields.items():
        if name not in value:
            raise ClewError(f"{path}: {which} lacks the field '{name}', so this is not the manifest of a release.")
        if not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise ClewError(f"{path}: in {which} the field '{name}' is {value[name]!r:.80}, which it cannot be.")


def verify(folder: Path) -> Verified:
    """Hash every file of an export again and hold it against the manifest. Raises `ClewError` where there is none."""
    export = find_release(folder)
    manifest = read_manifest(export)
    faults = list(_faults_of_manifest(export, manifest, through=folder))
    listed = _listed(manifest)
    size = 0
    for name, (bytes_, sha256) in sorted(listed.items()):
        path = export / name
        try:
            status = path.lstat()
        except OSError:
            faults.append(f"{name} is missing.")
            continue
        if not stat.S_ISREG(status.st_mode):
            faults.append(f"{name} is no file of its own but a link, a folder or a device.")
        elif status.st_size != bytes_:
            faults.append(f"{name} was altered: it has {status.st_size:,} bytes, and had {bytes_:,}.")
        elif files.sha256_of_file(path) != sha256:
            faults.append(f"{name} was altered: its hash is not the recorded one.")
        else:
            size += status.st_size
    faults += [f"{name} is extra: the manifest does not list it." for name in _present(export) if name not in listed]
    return Verified(export, len(manifest["entries"]), len(listed), size, faults)


def _faults_of_manifest(export: Path, manifest: dict[str, Any], *, through: Path) -> Iterator[str]:
    if manifest["checkpoint_count"] != len(manifest["entries"]):
        told = manifest["checkpoint_count"]
        yield f"{MANIFEST} was altered: it counts {told} checkpoints and lists {len(manifest['entries'])}."
    if "sha256" in manifest and manifest["sha256"] != seal(manifest):
        yield f"{MANIFEST} was altered: the hash in it is not that of its content."
    for entry in manifest["entries"]:
        listed = entry.get("files")
        stands = (entry["export_path"], entry)
        for place, each in (stands, *([(entry["config"]["path"], entry["config"])] if entry.get("config") else [])):
            if listed is not None and listed.get(place, {}).get("sha256") != each["sha256"]:
                yield f"{MANIFEST} was altered: it tells two hashes of {place}."
    pointer = export.parent / LATEST
    if through != export and files.is_file(pointer):
        told = files.read_json(pointer, what="the pointer of a release")
        if told.get("manifest_sha256") not in (None, files.sha256_of_file(export / MANIFEST)):
            yield f"{MANIFEST} was altered: its hash is not the one in {LATEST}."


def _listed(manifest: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Every file that the manifest tells of: its size (-1 where that is not told) and hash."""
    found: dict[str, tuple[int, str]] = {}
    for entry in manifest["entries"]:
        found |= {name: (each["size"], each["sha256"]) for name, each in entry.get("files", {}).items()}
        found.setdefault(entry["export_path"], (entry["size"], entry["sha256"]))
    return found


def _present(export: Path) -> list[str]:
    """Every file in the export but its manifest, and every folder without one."""
    found = []
    with files.sentences_for(export, "read"):
        for place, folders, names in os.walk(export):
            here = Path(place).relative_to(export)
            links = [name for name in folders if (export / here / name).is_symlink()]
            found += [(here / name).as_posix() for name in (*names, *links)]
            if not folders and not names:
                found.append(here.as_posix())
    return sorted(name for name in found if name != MANIFEST)


def diff(one: Path, other: Path) -> Difference:
    """What the second release changes against the first, as their manifests and recipes tell.

    Raises `ClewError` for a folder that is no release, or a recipe in it that was altered.
    """
    (first, before), (second, after) = (
        (export, {entry["name"]: entry for entry in read_manifest(export)["entries"]})
        for export in (find_release(one), find_release(other))
    )
    common = [name for name in before if name in after]
    changed = {}
    for name in common:
        found = _changes(first, before[name], second, after[name])
        if found:
            changed[name] = found
    return Difference(
        added=[name for name in after if name not in before],
        removed=[name for name in before if name not in after],
        same=[name for name in common if name not in changed],
        changed=changed,
    )


def _changes(first: Path, one: dict[str, Any], second: Path, other: dict[str, Any]) -> dict[str, Any]:
    """What differs in two entries of one name; empty where every byte is the same."""
    listed = [
        {name.removeprefix(f"{entry['name']}/"): each for name, each in entry.get("files", {}).items()}
        for entry in (one, other)
    ]
    changed = {
        "files": _apart(*listed),
        "recipe": _apart(_recipe(first, one), _recipe(second, other)),
    }
    if not any(changed.values()) and one["sha256"] == other["sha256"]:
        return {}
    plain = [
        {key: value for key, value in entry.items() if key not in ("files", "config", "export_path")}
        for entry in (one, other)
    ]
    return {key: value for key, value in {"fields": _apart(*plain), **changed}.items() if value}


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Key -> [first, second] where they differ; None for a key that one lacks."""
    keys = list(dict.fromkeys([*one, *other]))
    return {key: [one.get(key), other.get(key)] for key in keys if one.get(key) != other.get(key)}


def _recipe(export: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The recipe of an entry by dotted keys; empty where it has none."""
    config = entry.get("config")
    if config is None:
        return {}
    path = export / config["path"]
    if not files.is_file(path) or files.sha256_of_file(path) != config["sha256"]:
        raise ClewError(f"{path} is missing or was altered, so it cannot be compared. `clew release verify {export}`.")
    return base.flattened(base.read_yaml(path))
