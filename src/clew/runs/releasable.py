"""What a release of a folder takes: the newest whole checkpoint and the newest bundle of each trainer in it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

from clew.core import files
from clew.core.errors import CheckpointError, ClewError
from clew.recipes.families import find_family
from clew.runs import checkpoints
from clew.runs.folder import MANIFEST as RUN_MANIFEST
from clew.runs.folder import RECIPE, Run, open_run

EXPORT_MANIFEST = "manifest.json"
PREFIX = "export_"
KEPT = ("tokenizer.json", "chat_template.jinja")
"""What a run keeps beside its checkpoints that its model cannot be used without."""
BUNDLE_MANIFEST, BUNDLE_MODEL = "bundle.json", "model.onnx"
DEEPEST = 3
"""So many folders below a trainer's are looked into for runs and bundles."""


@dataclass(frozen=True)
class Item:
    """What a release takes: the files of one checkpoint or bundle."""

    name: str
    kind: str
    """checkpoint or bundle."""
    folder: Path
    main: str
    """The file that the entry is about: the weights, or the model."""
    sha256: dict[str, str]
    """Every file of it that is copied, by its place in `folder`, with the hash that its writer recorded."""
    extra: dict[str, bytes]
    """Further files that the copy holds: the recipe and the manifest of the run."""
    about: dict[str, Any]
    """What the manifest says of it besides."""


class VanishedError(ClewError):
    """A file was removed or replaced while it was copied."""


def find(root: Path, *, leave_out: Path | None = None) -> tuple[list[Item], list[str]]:
    """What a release of `root` takes, by name, and sentences about what is passed over. Raises `ClewError`."""
    items: list[Item] = []
    notes: list[str] = []
    with files.sentences_for(root, "read"):
        if _kind(root):
            trainers = [root]
        else:
            skipped = None if leave_out is None else files.real(leave_out)
            trainers = [each for each in _folders(root) if files.real(each) != skipped]
        for trainer in trainers:
            found = _of_trainer(trainer, notes)
            if not found:
                notes.append(f"{trainer} holds no checkpoint and no bundle, so nothing of it is released.")
            items += found
    items = _apart(items)
    if not items:
        said = f" {notes[0]}" if notes else ""
        raise ClewError(
            f"There is no checkpoint in {root} to release.{said} Train first, or name the folder with --root."
        )
    return items, notes


def _apart(items: list[Item]) -> list[Item]:
    """The items with a number behind a name that another has, or that the manifest has."""
    taken, apart = {EXPORT_MANIFEST}, []
    for item in items:
        count, name = 1, item.name
        while name.casefold() in taken:
            count += 1
            name = f"{item.name}-{count}"
        taken.add(name.casefold())
        apart.append(replace(item, name=name))
    return apart


def _folders(folder: Path) -> list[Path]:
    """The visible folders in `folder` that are no exports, by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and files.is_folder(path)
        and not (path.name.startswith(PREFIX) and files.is_file(path / EXPORT_MANIFEST))
    )


def _kind(folder: Path) -> str:
    """What lies in a folder: run, bundle, checkpoint, checkpoints (a folder of such), or nothing of these."""
    if files.is_file(folder / RUN_MANIFEST):
        return "run"
    if files.is_file(folder / BUNDLE_MANIFEST):
        return "bundle"
    if files.is_file(folder / checkpoints.STATE):
        return "checkpoint"
    return "checkpoints" if checkpoints.steps(folder) else ""


def _of_trainer(trainer: Path, notes: list[str]) -> list[Item]:
    """The newest checkpoint and the newest bundle of a trainer's folder."""
    runs: list[Run] = []
    bundles: list[tuple[str, Path, dict[str, Any]]] = []
    loose: list[Path] = []
    for kind, folder in _within(trainer, DEEPEST):
        if kind == "run":
            runs.append(open_run(folder))
        elif kind == "bundle":
            told = _object(folder / BUNDLE_MANIFEST, "the manifest of a bundle")
            bundles.append((str(told.get("created_at", "")), folder, told))
        else:
            loose.append(folder)
    name = _name(trainer)
    items = [each for each in (_newest_of_runs(runs, name, notes) or _newest_of_loose(loose, name, notes),) if each]
    if bundles:
        _, folder, told = max(bundles, key=lambda each: (each[0], each[1].name))
        items.append(_bundle(folder, told, f"{name}-bundle" if items else name, notes))
    return items


def _within(folder: Path, depth: int) -> Iterator[tuple[str, Path]]:
    """What lies in and below `folder`: a run's own bundles too, but not its checkpoints."""
    kind = _kind(folder)
    if kind:
        yield kind, folder
    if depth and kind in ("", "run"):
        for each in _folders(folder):
            if not (kind == "run" and each.name == "checkpoints") and not each.is_symlink():
                for inner, found in _within(each, depth - 1):
                    if not kind or inner == "bundle":
                        yield inner, found


def _name(folder: Path) -> str:
    name = folder.name or files.real(folder).name
    if not name.isprintable():
        raise ClewError(
            f"The folder {files.printable(folder)!r} has signs in its name that cannot be printed. Rename it."
        )
    return name


def _newest_of_runs(runs: list[Run], name: str, notes: list[str]) -> Item | None:
    """The newest whole checkpoint of the newest run that has one."""
    for run in sorted(runs, key=lambda run: (run.manifest["created_at"], run.folder.name), reverse=True):
        if not checkpoints.steps(run.checkpoints):
            notes.append(f"{run.folder} has saved no checkpoint yet, so it is passed over.")
            continue
        folder, state = _newest_whole(run.checkpoints, notes)
        return _checkpoint(folder, state, name, run)
    return None


def _newest_of_loose(folders: list[Path], name: str, notes: list[str]) -> Item | None:
    """The whole checkpoint of most steps among folders that no run stands around."""
    found = [
        (folder, _whole(folder)) if _kind(folder) == "checkpoint" else _newest_whole(folder, notes)
        for folder in folders
    ]
    if not found:
        return None
    path, state = max(found, key=lambda each: (_step(each[1]), each[0].name))
    beside = files.real(path).parent.parent
    run = open_run(beside) if files.is_file(beside / RUN_MANIFEST) else None
    if run is None:
        notes.append(f"{path} lies in no run, so the recipe it was trained by is not known and not released.")
    return _checkpoint(path, state, name, run)


def _step(state: dict[str, Any]) -> int:
    step = state.get("step")
    return step if isinstance(step, int) else -1


def _newest_whole(folder: Path, notes: list[str]) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint whose files have the hashes that its state records; notes say what was passed over."""
    present = checkpoints.steps(folder)
    with contextlib.suppress(ClewError, StopIteration):
        # What is newer than the pointer says is of a training that was taken up again further back.
        pointed = checkpoints.find_checkpoint(folder)
        newest = next(step for step, path in present.items() if path.name == pointed.name)
        present = {step: path for step, path in present.items() if step <= newest}
    for path in reversed(present.values()):
        try:
            return path, _whole(path)
        except ClewError as error:
            if not files.is_folder(path):
                continue  # a training removed it just now
            notes.append(f"{path} is not whole and is passed over for an older one: {error}")
    broken = f" {notes[-1]}" if notes else ""
    raise CheckpointError(
        f"None of the checkpoints in {folder} is whole, so there is nothing to release of it.{broken}"
    )


def _whole(path: Path) -> dict[str, Any]:
    state = checkpoints.read_state(path)
    if checkpoints.MODEL not in state["sha256"]:
        raise CheckpointError(f"{path / checkpoints.STATE} records no {checkpoints.MODEL}: it is no whole checkpoint.")
    for name in state["sha256"]:
        _check_place(name, path / checkpoints.STATE)
    checkpoints.check_files(path, state)
    return state


def _checkpoint(folder: Path, state: dict[str, Any], name: str, run: Run | None) -> Item:
    extra: dict[str, bytes] = {}
    about: dict[str, Any] = {"step": state.get("step")}
    if run is not None:
        # Read as the run's class reads it: an edited recipe is not the one that was used.
        run.read_recipe(find_family(str(run.manifest["objective"])).part("recipe"))
        for each in (RECIPE, RUN_MANIFEST, *(kept for kept in KEPT if files.is_file(run.folder / kept))):
            extra[each] = _read(run.folder / each)
        about |= {key: run.manifest[key] for key in ("run_id", "objective", "recipe_sha256")}
    hashes = {checkpoints.STATE: _hash(folder / checkpoints.STATE), **state["sha256"]}
    return Item(name, "checkpoint", folder, checkpoints.MODEL, hashes, extra, about)


def _bundle(folder: Path, told: dict[str, Any], name: str, notes: list[str]) -> Item:
    recorded = told.get("files")
    if not isinstance(recorded, dict) or not recorded:
        raise ClewError(f"{folder / BUNDLE_MANIFEST} does not list the hashes of the bundle's files: export it again.")
    for each, sha256 in recorded.items():
        _check_place(each, folder / BUNDLE_MANIFEST)
        if not files.is_file(folder / each) or files.sha256_of_file(folder / each) != sha256:
            raise ClewError(
                f"{folder / each} is missing or was altered: its hash is not the one in {BUNDLE_MANIFEST}. Export it "
                "again, or remove the bundle."
            )
    recipe, extra = told.get("recipe"), {}
    if isinstance(recipe, dict):
        extra[RECIPE] = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).encode("utf-8")
    else:
        notes.append(f"{folder} names no recipe that it was trained by, so none is released with it.")
    origin = told.get("checkpoint")
    about = {
        "step": origin.get("step") if isinstance(origin, dict) else None,
        "run_id": told.get("run_id"),
        "family": told.get("family"),
        "recipe_sha256": told.get("recipe_sha256"),
    }
    hashes = {BUNDLE_MANIFEST: _hash(folder / BUNDLE_MANIFEST), **recorded}
    weights = sorted(each for each in recorded if each.endswith((".onnx", ".safetensors")))
    main = BUNDLE_MODEL if BUNDLE_MODEL in recorded else (weights or [BUNDLE_MANIFEST])[0]
    return Item(name, "bundle", folder, main, hashes, extra, about)


def _check_place(name: object, where: Path) -> None:
    """Raise `ClewError` for a listed file that would lie elsewhere than in its folder."""
    if not isinstance(name, str) or not is_inside(name):
        raise ClewError(f"{where} lists {name!r:.80}, which is no name of a file beside it.")


def is_inside(name: str) -> bool:
    """Whether a listed name is a place within its folder."""
    parts = name.split("/")
    return bool(name) and "\0" not in name and all(part not in ("", ".", "..") for part in parts)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A file to be copied. Raises `VanishedError` where it is there no more."""
    with files.sentences_for(path, "read"):
        try:
            file = path.open("rb")
        except FileNotFoundError as error:
            raise VanishedError(f"{path} was removed while it was copied.") from error
    with file:
        yield file


def _hash(path: Path) -> str:
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> bytes:
    with files.sentences_for(path, "read"):
        return path.read_bytes()


def _object(path: Path, what: str) -> dict[str, Any]:
    value = files.read_json(path, what=what)
    if not isinstance(value, dict):
        raise ClewError(f"{path} holds no JSON object: it is not {what}.")
    return value
