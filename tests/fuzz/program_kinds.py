"""Kinds of program search, of curricula and of releases: what is spoiled, how, and which commands then read it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from call_mutators import a_flag, an_argument, output_onto
from commands import Command
from kinds import Kind
from mutators import bytes_in, json_in, lines_in, place_of, words_in, yaml_in

from clew.core import files
from clew.core.errors import ClewError

SEED = Command("curriculum seed --source tasks --output curriculum", changes=("ok:curriculum/*", "ok:aside/*"))
SEED_ANEW = Command("curriculum seed --source tasks --output new --limit 2 --seed 7 --json")
RELEASE = Command("release --root runs --output exports", changes=("ok:exports/latest.json",))
RELEASE_ANEW = Command("release --root runs --output new --json")
VERIFY = Command("release verify exports", findings=True)
VERIFY_EXPORT = Command("release verify exports/export_20260102_030405 --json", findings=True)
DIFF = Command("release diff first exports --json")
TASKS = (
    SEED,
    SEED_ANEW,
    Command("programs check tasks/sum_of_smallest.dsl tasks/doubled.dsl tasks/largest.dsl --json", findings=True),
    Command("programs show tasks/sum_of_smallest.dsl"),
    Command("programs list tasks"),
    Command("programs run tasks/sum_of_smallest.dsl", findings=True),
    Command("synthesize tasks/doubled.dsl --nodes 3000 --seconds 2 --checks 5", findings=True),
)
DEMONSTRATIONS = (
    Command("train imitation --data.path demonstrations.jsonl --dry-run"),
    Command("train imitation --data.path held_out.jsonl --dry-run --json"),
)
PAIRS = (
    Command("train preference --data.path pairs.jsonl --dry-run"),
    Command("train preference --data.path pairs.jsonl --dry-run --bad skip --json"),
    Command("feedback rate pairs.jsonl --db new.db"),
)
PLAYBOOK = (
    Command("train supervised.yaml --data.path demonstrations.jsonl --dry-run"),
    Command("train rl.yaml --dry-run"),
    Command("train preference.yaml --data.path pairs.jsonl --dry-run"),
)


def seal_release(folder: Path) -> None:
    """The hashes that the manifest of a release records, of its files and of itself, as they are now."""
    for path in folder.glob("*/export_*/manifest.json"):
        with contextlib.suppress(ValueError, OSError, TypeError, KeyError, AttributeError, ClewError):
            manifest = json.loads(path.read_text())
            for entry in manifest["entries"]:
                listed = {**entry["files"], entry["export_path"]: entry, entry["config"]["path"]: entry["config"]}
                for name, each in listed.items():
                    with contextlib.suppress(OSError, ClewError):
                        each["sha256"] = files.sha256_of_file(path.parent / name)
                        if "size" in each:
                            each["size"] = (path.parent / name).stat().st_size
            rest = {key: value for key, value in manifest.items() if key != "sha256"}
            manifest["sha256"] = files.sha256_of(files.canonical_json(rest))
            path.write_text(json.dumps(manifest))


_TASKS = ("tasks/*.dsl",)
_EXPORT = "*/export_*"

PROGRAM_KINDS: tuple[Kind, ...] = (
    Kind(
        "task",
        share=5,
        needs=("tasks", "curriculum"),
        commands=TASKS,
        mutators=(*[words_in(*_TASKS)] * 5, *[lines_in(*_TASKS)] * 3, bytes_in(*_TASKS), place_of(*_TASKS)),
    ),
    Kind(
        "demonstrations",
        share=3,
        needs=("demonstrations.jsonl", "held_out.jsonl"),
        commands=DEMONSTRATIONS,
        mutators=(
            *[json_in("demonstrations.jsonl", "held_out.jsonl", lines=True)] * 5,
            *(each("demonstrations.jsonl", "held_out.jsonl") for each in (lines_in, bytes_in, place_of)),
        ),
    ),
    Kind(
        "pairs",
        share=3,
        needs=("pairs.jsonl",),
        commands=PAIRS,
        mutators=(
            *[json_in("pairs.jsonl", lines=True)] * 5,
            *(each("pairs.jsonl") for each in (lines_in, bytes_in, words_in, place_of)),
        ),
    ),
    Kind(
        "playbook",
        share=3,
        needs=("supervised.yaml", "rl.yaml", "preference.yaml", "demonstrations.jsonl", "pairs.jsonl"),
        commands=PLAYBOOK,
        mutators=(
            *[yaml_in("supervised.yaml", "rl.yaml", "preference.yaml")] * 6,
            *(each("supervised.yaml", "rl.yaml", "preference.yaml") for each in (bytes_in, lines_in)),
            a_flag("--learning-rate", "--batch-size", "--gamma", "--beta", "--hidden-dim", "--input-dim"),
        ),
    ),
    Kind(
        "curriculum",
        share=3,
        needs=("tasks", "curriculum"),
        commands=(SEED, SEED, SEED_ANEW),
        mutators=(
            *[json_in("curriculum/*.json")] * 3,
            bytes_in("curriculum/*", "curriculum/*/*"),
            place_of("curriculum", "curriculum/*", "curriculum/*/*"),
            lines_in("curriculum/*/*"),
            a_flag("--limit", "--seed", "--source", "--output"),
            an_argument,
            output_onto("--output"),
        ),
    ),
    Kind(
        "release",
        share=5,
        needs=("runs", "exports", "first"),
        commands=(VERIFY, VERIFY_EXPORT, DIFF, DIFF, RELEASE, RELEASE_ANEW),
        mutators=(
            *[json_in(f"{_EXPORT}/manifest.json", "exports/latest.json")] * 4,
            yaml_in(f"{_EXPORT}/*/recipe.yaml"),
            bytes_in(f"{_EXPORT}/*/*", f"{_EXPORT}/*", "exports/latest.json"),
            place_of(f"{_EXPORT}/*/*", f"{_EXPORT}/*", _EXPORT, "exports/*", "runs/*/*", "runs/*/checkpoints/*"),
            json_in("runs/*/run_manifest.json", "runs/*/checkpoints/*.json", "runs/*/checkpoints/*/state.json"),
            yaml_in("runs/*/recipe.yaml"),
            bytes_in("runs/*/*", "runs/*/checkpoints/*", "runs/*/checkpoints/*/*"),
            a_flag("--root", "--output", "--seed"),
            an_argument,
            output_onto("--output"),
        ),
        seal=seal_release,
    ),
)
