"""A curriculum: tasks copied into one folder, in an order drawn by a seed, with the hash of each.

    programs/<stem>.dsl     the tasks, byte for byte
    manifest.json           [{id, index, program_path, sha256, line_count, byte_length}], in the order of the draw
    metadata.json           {seed, task_count, source, ...}

The same seed and sources give the same bytes in every file: no clock, no path of this machine, no order of a file
system enters them. Every task is parsed before anything is written, and a curriculum that is there changes places with
the new one only when that is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.core.randomness import key
from clew.core.swap import held
from clew.programs.task import SUFFIX, TASKS, load_task

FORMAT = 1
MANIFEST, METADATA, PROGRAMS = "manifest.json", "metadata.json", "programs"
SHIPPED = "shipped"
"""What the metadata call the tasks that come with Clew."""
_KEYS = {"id", "index", "program_path", "sha256", "line_count", "byte_length"}
LONGEST_STEM = 200


@dataclass(frozen=True)
class Program:
    """A task's file, read once: what was parsed is what is written."""

    stem: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the bytes."""
        return files.sha256_of(self.content)

    @property
    def line_count(self) -> int:
        """Lines; a last one without its end counts."""
        return self.content.count(b"\n") + (not self.content.endswith(b"\n") and bool(self.content))


@dataclass(frozen=True)
class Seeded:
    """What `seed` wrote."""

    folder: Path
    metadata: dict[str, Any]
    manifest: list[dict[str, Any]]
    found: int
    """Tasks in the source, of which the limit left `len(manifest)`."""
    changed: bool
    """False where the folder held the same bytes already."""


def seed(output: Path, *, source: Path | None = None, limit: int | None = None, seed: int = 42) -> Seeded:
    """Write the curriculum of the tasks in `source` (None: those that ship) to the folder `output`.

    `source` is a folder, searched with its subfolders, or one file. `limit`: that many tasks at most, drawn by `seed`.
    Raises `UsageError` or `EvidenceError`, with nothing changed, for a source without tasks, a task that does not
    parse, two of one name, and an `output` that holds anything but an unedited curriculum.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit is {limit}: a curriculum has at least one task.")
    folder = files.real(output)  # of a link, what it points to is replaced
    _check_apart(source, folder)
    programs = read_programs(source, leave_out=folder)
    chosen = in_order(programs, seed)[:limit]
    manifest = [_row(index, program) for index, program in enumerate(chosen)]
    metadata = {
        "format": FORMAT,
        "seed": seed,
        "task_count": len(chosen),
        "source": SHIPPED if source is None else files.printable(source),
        "source_task_count": len(programs),
        "source_sha256": files.sha256_of(files.canonical_json({each.stem: each.sha256 for each in programs})),
        "limit": limit,
    }
    with files.sentences_for(folder, "write the folder"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with held(folder.parent):
        changed = _publish(folder, {**_texts(manifest, metadata), **{_place(each): each.content for each in chosen}})
    return Seeded(output, metadata, manifest, len(programs), changed)


def read_programs(source: Path | None = None, *, leave_out: Path | None = None) -> list[Program]:
    """The tasks of `source`, by name; each parses. `leave_out`: a folder in it that is passed over.

    Folders that are links are not followed, hidden files and folders are passed over.
    Raises `EvidenceError` naming the file for what is no task, `UsageError` where there is none at all.
    """
    where = TASKS if source is None else source
    if files.is_file(where):
        paths = [where]
        if where.suffix != SUFFIX:
            raise UsageError(f"{where} is no {SUFFIX} file. Name one, or a folder of such files.")
    elif files.is_folder(where):
        paths = sorted(_found(where, leave_out))
    else:
        raise UsageError(f"There is no folder {files.printable(where)} of {SUFFIX} files. Check --source.")
    if not paths:
        raise UsageError(f"There is no {SUFFIX} file in {files.printable(where)}, so there is no curriculum to make.")
    seen: dict[str, Path] = {}
    programs = []
    for path in paths:
        stem = _stem(path)
        # A file system may take two spellings for one name.
        other = seen.setdefault(stem.casefold(), path)
        if other is not path:
            raise EvidenceError(
                f"{path} and {other} would both become {PROGRAMS}/{path.name}. Rename one of the two, or name a "
                "--source that holds one of them."
            )
        programs.append(Program(stem, _parsed(path)))
    return sorted(programs, key=lambda each: each.stem)


def in_order(programs: list[Program], seed: int) -> list[Program]:
    """The tasks in the order that `seed` draws: a function of seed and name, so that a task that is added moves none
    of the others."""
    return sorted(programs, key=lambda each: (key(seed, "curriculum", each.stem), each.stem))


def _found(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """The .dsl files below `folder`."""

    def refuse(error: OSError) -> None:
        raise error

    with files.sentences_for(folder, "read"):
        for place, folders, names in os.walk(folder, onerror=refuse):
            here = Path(place)
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and (leave_out is None or files.real(here / name) != leave_out)
            ]
            for name in names:
                if name.endswith(SUFFIX) and not name.startswith("."):
                    yield here / name


def _stem(path: Path) -> str:
    """The name that becomes the task's id. Raises `EvidenceError` for one that JSON or a file system cannot hold."""
    stem = path.name.removesuffix(SUFFIX)
    if not stem.isprintable() or not stem.strip() or len(stem.encode("utf-8", "surrogateescape")) > LONGEST_STEM:
        raise EvidenceError(
            f"The name of {files.printable(path)!r} cannot be a task's: it is longer than {LONGEST_STEM} bytes or has "
            "signs in it that cannot be printed. Rename the file."
        )
    return stem


def _parsed(path: Path) -> bytes:
    """The bytes of a task's file. Raises `EvidenceError` with line and column where it does not parse."""
    if not files.is_file(path):
        raise EvidenceError(f"{path} is no file that can be read: a broken link, a pipe or a device. Remove it.")
    load_task(path)
    content = _bytes(path)
    load_task(path)
    if _bytes(path) != content:  # so that what is copied is what was parsed
        raise EvidenceError(f"{path} changed while it was read. Give the command again when it is written.")
    return content


def _bytes(path: Path) -> bytes:
    with files.sentences_for(path, "read"):
        return path.read_bytes()


def _check_apart(source: Path | None, folder: Path) -> None:
    """Raise `UsageError` where the source is what would be replaced."""
    if source is None:
        if folder == files.real(TASKS):
            raise UsageError(f"{folder} holds the tasks that ship with Clew. Choose another --output.")
    elif files.real(source) == folder or folder in files.real(source).parents:
        raise UsageError(
            f"The source {source} lies in the output {folder}, which would be replaced. Choose another --output."
        )


def _row(index: int, program: Program) -> dict[str, Any]:
    return {
        "id": program.stem,
        "index": index,
        "program_path": _place(program),
        "sha256": program.sha256,
        "line_count": program.line_count,
        "byte_length": len(program.content),
    }


def _place(program: Program) -> str:
    return f"{PROGRAMS}/{program.stem}{SUFFIX}"


def _texts(manifest: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, bytes]:
    return {name: files.json_bytes(value) for name, value in ((MANIFEST, manifest), (METADATA, metadata))}


def _publish(folder: Path, content: dict[str, bytes]) -> bool:
    """Make `folder` hold exactly `content` (path in it -> bytes); False where it did already."""
    there = _there(folder)
    if there == {name: files.sha256_of(each) for name, each in content.items()}:
        return False
    if there is not None:
        _check_ours(folder, there)
    files.remove_leftovers(folder.parent, of=folder.name)  # of a killed process: the parent is held
    with files.whole_folder(folder, replace=True) as temporary:
        (temporary / PROGRAMS).mkdir(mode=files.FOLDER_MODE)
        for name, each in content.items():
            (temporary / name).write_bytes(each)
    return True


def _there(folder: Path) -> dict[str, str] | None:
    """The files below `folder` with their hashes; None where there is no such folder, or an empty one."""
    if files.exists(folder) and not files.is_folder(folder):
        raise UsageError(f"{folder} is a file where the folder of a curriculum is to be written. Choose another name.")
    if not files.is_folder(folder):
        return None
    found = {}
    with files.sentences_for(folder, "read"):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_dir():
                found[name] = files.sha256_of_file(path) if path.is_file() and not path.is_symlink() else "no file"
    return found or None


def _check_ours(folder: Path, there: dict[str, str]) -> None:
    """Raise `UsageError` unless the files are a curriculum's as it was written: nothing of a user's is replaced."""
    advice = "so it is not replaced. Choose another --output, or move it away first."
    written = {MANIFEST, METADATA}
    if not written <= there.keys():
        raise UsageError(f"{folder} holds files and is no curriculum (it lacks {MANIFEST} or {METADATA}), {advice}")
    rows = files.read_json(folder / MANIFEST, what="the manifest of a curriculum")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= _KEYS for row in rows):
        raise UsageError(f"{folder / MANIFEST} is not the manifest of a curriculum, {advice}")
    told = {str(row["program_path"]): row["sha256"] for row in rows}
    for name, sha256 in there.items():
        if name in written:
            continue
        if name not in told:
            raise UsageError(f"{folder} holds {name}, which is no part of the curriculum in it, {advice}")
        if told[name] != sha256:
            raise UsageError(f"{folder / name} was edited since the curriculum was made, {advice}")
