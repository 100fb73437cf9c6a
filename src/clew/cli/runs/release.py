"""`clew release`: the newest checkpoints and bundles, copied, hashed and listed; releases verified and compared."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED

COMMANDS: Commands = {
    "make": ("clew.cli.runs.release:make_command", "copy the newest checkpoints into a release (what no name means)"),
    "verify": ("clew.cli.runs.release:verify_command", "hash a release again; exit code 1 if it is not as it was made"),
    "diff": ("clew.cli.runs.release:diff_command", "what two releases differ in: recipes, sizes, hashes"),
}
MOST = 8
"""Changes of an entry that are printed; --json has all."""


def main(arguments: list[str]) -> int:
    """Run `clew release`; without a command's name, `clew release make`."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        return make_command(arguments)
    about = "Releases of checkpoints and bundles: copied, hashed, listed. clew release --root CHECKPOINTS makes one."
    return dispatch(COMMANDS, arguments, program="clew release", about=about)


class MakeOptions(Options):
    """Copy the newest checkpoint and bundle of each trainer's folder into export_YYYYMMDD_HHMMSS (UTC), with a
    manifest, whole or not at all; then latest.json points at it."""

    root: Path = Path("data/processed/checkpoints")
    """Folder of the trainers: in it a folder each, which is a run or a bundle, or holds such."""
    output: Path | None = None
    """Folder of the releases (default: exports, beside the root)."""
    seed: int = 0
    """Noted in the manifest; a release draws nothing."""
    as_json: Json = False
    """Print the manifest as one JSON document, the last line of stdout."""


def make_command(arguments: list[str]) -> int:
    """Run `clew release`."""
    options = parse(MakeOptions, arguments, program="clew release")

    from clew.runs.release import make

    made = make(options.root, options.output, seed=options.seed)
    for note in made.notes:
        print(f"release: {note}", file=sys.stderr)
    entries = made.manifest["entries"]
    print(f"{made.folder}: {len(entries):,} released from {made.manifest['root']}")
    for entry in entries:
        step = "" if entry["step"] is None else f"step {entry['step']:,}, "
        size = sum(each["size"] for each in entry["files"].values())
        print(f"  {entry['name']}: {entry['kind']}, {step}{size:,} bytes, {entry['sha256'][:12]}")
    if options.as_json:
        print_json({"export": str(made.folder), **made.manifest})
    return EXIT_DONE


class VerifyOptions(Options):
    """Hash every file of a release again, hold it against the manifest; exit 1 if one is missing, altered or extra."""

    folder: Positional[Path]
    """An export, or the folder of exports, whose latest.json is followed."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def verify_command(arguments: list[str]) -> int:
    """Run `clew release verify`."""
    options = parse(VerifyOptions, arguments, program="clew release verify")

    from clew.runs.released import verify

    found = verify(options.folder)
    for fault in found.faults:
        print(fault)
    if found.good:
        print(
            f"{found.folder}: {found.checkpoint_count:,} released, {found.files:,} files, {found.size:,} bytes, whole"
        )
    if options.as_json:
        print_json({**vars(found), "folder": str(found.folder), "good": found.good})
    return EXIT_DONE if found.good else EXIT_FAILED


class DiffOptions(Options):
    """Say what the second release changes against the first."""

    one: Positional[Path]
    """An export, or a folder of exports."""
    other: Positional[Path]
    """Another one."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def diff_command(arguments: list[str]) -> int:
    """Run `clew release diff`."""
    options = parse(DiffOptions, arguments, program="clew release diff")

    from clew.runs.released import diff

    found = diff(options.one, options.other)
    counts = (found.added, found.removed, found.changed, found.same)
    print("{:,} added, {:,} removed, {:,} changed, {:,} the same".format(*map(len, counts)))
    for sign, names in (("+", found.added), ("-", found.removed)):
        for name in names:
            print(f"{sign} {name}")
    for name, changes in found.changed.items():
        print(f"~ {name}")
        for line in _lines(changes):
            print(f"    {line}")
    if options.as_json:
        print_json(vars(found))
    return EXIT_DONE


def _lines(changes: dict[str, Any]) -> list[str]:
    """What differs in an entry, a line each."""
    lines = []
    for part in ("recipe", "fields"):
        said = [
            f"{'recipe ' if part == 'recipe' else ''}{key}: {_short(one)} -> {_short(other)}"
            for key, (one, other) in changes.get(part, {}).items()
        ]
        more = [f"... and {len(said) - MOST:,} more; --json has them all"] if len(said) > MOST else []
        lines += said[:MOST] + more
    for name, (one, other) in changes.get("files", {}).items():
        sizes = " -> ".join("none" if each is None else f"{each['size']:,} bytes" for each in (one, other))
        lines.append(f"{name}: {sizes}")
    return lines


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
