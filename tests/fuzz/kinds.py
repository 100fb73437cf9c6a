"""The table of kinds: what is spoiled, how, and which commands then read it. A new family adds its lines here."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import commands as c
from binary_mutators import cell_in, graph_in, tensors_in
from call_mutators import a_flag, an_argument, output_onto, standard_input
from commands import Command
from mutators import Mutator, bytes_in, json_in, lines_in, place_of, words_in, yaml_in
from sandbox import Case

from clew.core import files
from clew.core.errors import ClewError
from clew.recipes import base as recipes
from clew.recipes import recipe_class


@dataclass(frozen=True)
class Kind:
    """Examples that are spoiled together. `share`: of 100 cases so many. `seal` writes the hashes anew that would
    tell a spoiled file from a good one, every other time, so that what stands behind the check is tried too."""

    name: str
    share: float
    needs: tuple[str, ...]
    commands: tuple[Command, ...]
    mutators: tuple[Mutator, ...]
    seal: Callable[[Path], None] | None = None

    def spoil(self, folder: Path, draw: random.Random) -> Case:
        """The case that `draw` leads to, its files in `folder`, where copies of the examples stand already."""
        command = draw.choice(self.commands)
        case = Case(folder, command.words.split(), changes=command.changes, findings=command.findings)
        done: list[str] = []
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            # What a mutator looks for may be gone or no longer readable after the one before it.
            with contextlib.suppress(Exception):
                done.append(draw.choice(self.mutators)(case, draw))
        if self.seal is not None and draw.random() < 0.6:
            with contextlib.suppress(Exception):
                self.seal(folder)
                done.append("hashes anew")
        case.done = tuple(done)
        return case


def seal_bundle(folder: Path) -> None:
    """The hashes that bundle.json records, of the files as they are now."""
    path = folder / "bundle/bundle.json"
    manifest = json.loads(path.read_text())
    for name in manifest["files"]:
        with contextlib.suppress(OSError, ClewError):
            manifest["files"][name] = files.sha256_of_file(folder / "bundle" / name)
    path.write_text(json.dumps(manifest))


def seal_runs(folder: Path) -> None:
    """The hashes that runs record, of checkpoints and recipes as they are now."""
    for path in folder.glob("*/*/checkpoints/step_*/state.json"):
        with contextlib.suppress(ValueError, OSError, TypeError, KeyError, AttributeError, ClewError):
            state = json.loads(path.read_text())
            for name in ("model.safetensors", "optimizer.safetensors"):
                state["sha256"][name] = files.sha256_of_file(path.parent / name)
            path.write_text(json.dumps(state))
    for path in folder.glob("*/*/run_manifest.json"):
        with contextlib.suppress(ValueError, OSError, TypeError, KeyError, AttributeError, ClewError):
            manifest = json.loads(path.read_text())
            values = recipes.read_yaml(path.parent / "recipe.yaml")
            settled = recipes.validate(recipe_class(str(values["objective"])), values, "")
            manifest["recipe_sha256"] = recipes.sha256(settled)
            path.write_text(json.dumps(manifest))


def seal_rows(folder: Path) -> None:
    """The hashes that stand beside exported datasets and evaluations, of the files as they are now."""
    for name, key in (("rows.manifest", "sha256"), ("sft.manifest", "sha256"), ("after.meta", "rows_sha256")):
        with contextlib.suppress(ValueError, OSError, TypeError, ClewError):
            path = folder / f"{name}.json"
            value = json.loads(path.read_text())
            value[key] = files.sha256_of_file(folder / f"{name.partition('.')[0]}.jsonl")
            path.write_text(json.dumps(value))


_CHECKPOINT = "*/*/checkpoints/*/"
_A_RUN = (
    json_in("*/*/run_manifest.json"),
    *[json_in("*/*/metrics.jsonl", lines=True)] * 2,
    json_in("*/*/checkpoints/*.json"),
    json_in(f"{_CHECKPOINT}state.json"),
    json_in("*/*/stats.json"),
    json_in("*/*/timing.jsonl", lines=True),
    yaml_in("*/*/recipe.yaml"),
    bytes_in("*/*/*", "*/*/checkpoints/*", f"{_CHECKPOINT}*"),
    place_of("*/*/*", "*/*/checkpoints/*", f"{_CHECKPOINT}*", "*/*"),
    lines_in("*/*/metrics.jsonl", "*/*/timing.jsonl"),
)


def _of_lines(*patterns: str) -> tuple[Mutator, ...]:
    return lines_in(*patterns), bytes_in(*patterns), place_of(*patterns)


ALL = (
    *("corpus", "recipe.yaml", "games.yaml", "runs", "begun", "played", "bundle", "nets", "models", "replay.db"),
    *("actor.db", "tokenizer.json", "prompt.txt", "theorems", "stats.json", "loop", "my_game.py"),
    *("traces.jsonl", "traces.db", "traces.db-datasets", "rows.jsonl", "rows.manifest.json", "sft.jsonl"),
    *("sft.manifest.json", "questions.jsonl", "before.jsonl", "after.jsonl", "after.meta.json", "template.jinja"),
    "sft.yaml",
)
"""Every example."""

_OF_TRAINING = (
    *("--learning-rate", "--betas", "--max-epochs", "--d-model", "--batch-size", "--vocab-size", "--tokenizer"),
    *("--start-from", "--name", "--data-dir", "--device", "--schedule-steps", "--warmup-steps", "--accumulation"),
    *("--context-length", "--dropout", "--clip", "--seed", "--sample-prompt", "--validation-fraction", "--n-heads"),
    *("--weight-decay", "--checkpoint-every", "--threads"),
)
_OF_GAMES = (
    *("--lr", "--betas", "--db", "--env-id", "--replay-window", "--max-reuse", "--episodes", "--max-wait", "--width"),
    *("--wait-interval", "--depth", "--model-dir", "--stats", "--c-puct", "--lanes", "--start-step", "--symmetry"),
    *("--lr-min-ratio", "--log-every", "--temp-threshold"),
)

KINDS = (
    Kind(
        "recipe",
        share=13,
        needs=("corpus", "recipe.yaml"),
        commands=(c.TRAIN,),
        mutators=(*[yaml_in("recipe.yaml")] * 6, bytes_in("recipe.yaml"), lines_in("recipe.yaml")),
    ),
    Kind(
        "games-recipe",
        share=5,
        needs=("games.yaml", "replay.db"),
        commands=(c.PLAYED,),
        mutators=(*[yaml_in("games.yaml")] * 6, bytes_in("games.yaml"), lines_in("games.yaml")),
    ),
    Kind(
        "flags",
        share=14,
        needs=ALL,
        commands=(
            *(c.TRAIN, c.PLAYED, c.RESUME, c.RESUME_PLAYED, c.ACTOR, *c.RUNS, c.EXPORT, c.SUGGEST, c.EVALUATE_PROOFS),
            *(c.EVALUATE_GAMES, c.TOURNAMENT, c.PLAY, *c.REPLAY, c.TOKENIZER, c.PROOFS_STATS, c.PROOFS_CHECK),
            *(c.GENERATE, c.DOCTOR),
        ),
        mutators=(a_flag("--runs-dir", "--seed", "--json", "--threads"), a_flag(), a_flag(), an_argument),
    ),
    Kind(
        "train-flags",
        share=6,
        needs=("corpus", "recipe.yaml", "runs", "tokenizer.json"),
        commands=(c.TRAIN,),
        mutators=(a_flag(*_OF_TRAINING),),
    ),
    Kind(
        "games-flags",
        share=4,
        needs=("games.yaml", "replay.db", "models", "stats.json", "nets", "actor.db"),
        commands=(c.PLAYED, c.ACTOR),
        mutators=(a_flag(*_OF_GAMES),),
    ),
    Kind(
        "corpus",
        share=8,
        needs=("corpus", "recipe.yaml"),
        commands=(c.TRAIN, c.TOKENIZER, c.PROOFS_STATS, c.CHECK_CORPUS),
        mutators=(*[lines_in("corpus/*")] * 2, bytes_in("corpus/*"), place_of("corpus/*")),
    ),
    Kind(
        "theorems",
        share=4,
        needs=("theorems", "bundle"),
        commands=(c.PROOFS_CHECK, c.PROOFS_CHECK, c.EVALUATE_PROOFS),
        mutators=(
            *[lines_in("theorems/*/*.txt")] * 2,
            bytes_in("theorems/*/*"),
            place_of("theorems/*/*", "theorems/*"),
            json_in("theorems/manifest.json"),
        ),
    ),
    Kind(
        "tokenizer",
        share=6,
        needs=("corpus", "recipe.yaml", "tokenizer.json"),
        commands=(c.WITH_TOKENIZER,),
        mutators=(*[json_in("tokenizer.json")] * 5, bytes_in("tokenizer.json"), place_of("tokenizer.json")),
    ),
    Kind(
        "runs",
        share=9,
        needs=("runs", "begun"),
        commands=(*c.RUNS[:4] * 3, *c.RUNS, c.EXPORT, c.EXPORT),  # drawing takes most of the time
        mutators=_A_RUN,
        seal=seal_runs,
    ),
    Kind(
        "resume",
        share=6,
        needs=("corpus", "begun", "runs"),
        commands=(c.RESUME, c.RESUME_FROM_2, c.RESUME_NEWEST),
        mutators=(*_A_RUN, tensors_in(f"{_CHECKPOINT}*.safetensors"), a_flag("--checkpoint"), lines_in("corpus/*")),
        seal=seal_runs,
    ),
    Kind(
        "checkpoints",
        share=4,
        needs=("corpus", "recipe.yaml", "begun", "runs"),
        commands=(c.RESUME, c.EXPORT, c.EXPORT_CHECKPOINT, c.START_FROM),
        mutators=(
            *[tensors_in(f"{_CHECKPOINT}*.safetensors")] * 2,
            *[json_in(f"{_CHECKPOINT}state.json")] * 2,
            json_in("*/*/tokenizer.json"),
            place_of(f"{_CHECKPOINT}*", "*/*/tokenizer.json"),
        ),
        seal=seal_runs,
    ),
    Kind(
        "played",
        share=2.5,
        needs=("played", "replay.db", "models", "stats.json"),
        commands=(c.RESUME_PLAYED, *c.SHOW_PLAYED, c.EXPORT_PLAYED),
        mutators=(
            *_A_RUN,
            bytes_in("played/small/replay/*", "played/small/replay/*/*"),
            json_in("played/small/replay/marks.jsonl", lines=True),
            cell_in("replay.db"),
        ),
        seal=seal_runs,
    ),
    Kind(
        "bundle",
        share=7,
        needs=("bundle", "prompt.txt", "theorems"),
        commands=(c.SUGGEST, c.SUGGEST, c.EVALUATE_PROOFS),
        mutators=(
            json_in("bundle/config.json", "bundle/bundle.json"),
            json_in("bundle/tokenizer.json"),
            *[graph_in("bundle/model.onnx")] * 2,
            bytes_in("bundle/*"),
            place_of("bundle/*", "bundle"),
            lines_in("prompt.txt"),
        ),
        seal=seal_bundle,
    ),
    Kind(
        "nets",
        share=5,
        needs=("nets", "replay.db", "actor.db"),
        commands=(c.EVALUATE_GAMES, c.TOURNAMENT, c.PLAY, c.ACTOR, c.SOLVER),
        mutators=(*[graph_in("nets/*.onnx")] * 2, bytes_in("nets/*.onnx"), place_of("nets/*")),
    ),
    Kind(
        "database",
        share=11,
        needs=("replay.db", "nets", "games.yaml", "actor.db"),
        commands=(*c.REPLAY * 2, c.PLAYED, c.ACTOR, c.EVALUATE_GAMES, c.SOLVER),
        mutators=(*[cell_in("*.db")] * 6, bytes_in("*.db"), place_of("*.db")),
    ),
    Kind(
        "own-game",
        share=3,
        needs=("my_game.py",),
        commands=c.OWN_GAME,
        mutators=(
            *[lines_in("my_game.py")] * 3,
            words_in("my_game.py"),
            bytes_in("my_game.py"),
            place_of("my_game.py"),
        ),
    ),
    Kind(
        "outputs",
        share=5,
        needs=ALL,
        commands=(
            *(c.TOKENIZER, c.RUNS[4], c.PLAYED, c.EVALUATE_GAMES, c.EVALUATE_PROOFS, c.TOURNAMENT, c.GENERATE_INTO),
            *(c.EXPORT_INTO, c.ACTOR, c.TRAIN),
        ),
        mutators=(
            *map(output_onto, ("--output", "--output", "--plot", "--stats", "--db", "--model-dir", "--runs-dir")),
            output_onto(None),
        ),
    ),
    Kind(
        "input",
        share=2,
        needs=("bundle", "nets"),
        commands=(c.SUGGEST_STDIN, c.PLAY, c.PLAY_ALONE, c.PLAY_SECOND),
        mutators=(standard_input,),
    ),
    Kind(
        "loop",
        share=0.5,
        needs=("loop", "games.yaml", "recipe.yaml"),
        commands=(c.LOOP, c.LOOP_RECIPE),
        mutators=(
            json_in("loop/loop.json"),
            yaml_in("games.yaml"),
            a_flag("--folder", "--iterations", "--minutes", "--actors"),
            an_argument,
        ),
    ),
    Kind(
        "traces",
        share=3,
        needs=("traces.jsonl", "traces.db", "traces.db-datasets"),
        commands=c.IMPORT,
        mutators=(*[json_in("traces.jsonl", lines=True)] * 4, *_of_lines("traces.jsonl")),
    ),
    Kind(
        "dataset-file",
        share=3,
        needs=("rows.jsonl", "rows.manifest.json", "sft.jsonl", "sft.manifest.json"),
        commands=c.ON_DATA,
        mutators=(
            *[json_in("rows.jsonl", "sft.jsonl", lines=True)] * 4,
            *_of_lines("rows.jsonl", "sft.jsonl"),
            json_in("*.manifest.json"),
            bytes_in("*.manifest.json"),
            place_of("*.manifest.json"),
        ),
        seal=seal_rows,
    ),
    Kind(
        "evalset",
        share=2,
        needs=("questions.jsonl",),
        commands=c.EVALSET,
        mutators=(*[json_in("questions.jsonl", lines=True)] * 4, *_of_lines("questions.jsonl")),
    ),
    Kind(
        "evaluations",
        share=2,
        needs=("before.jsonl", "after.jsonl", "after.meta.json"),
        commands=(c.REPORT, c.RECORD),
        mutators=(
            *[json_in("before.jsonl", "after.jsonl", lines=True)] * 4,
            *_of_lines("before.jsonl", "after.jsonl"),
            json_in("after.meta.json"),
            place_of("after.meta.json"),
        ),
        seal=seal_rows,
    ),
    Kind(
        "template",
        share=2,
        needs=("sft.jsonl", "sft.manifest.json", "template.jinja"),
        commands=(c.WITH_TEMPLATE,),
        mutators=(*[lines_in("template.jinja")] * 2, *[words_in("template.jinja")] * 3, *_of_lines("template.jinja")),
    ),
    Kind(
        "chat-recipe",
        share=3,
        needs=("sft.jsonl", "sft.manifest.json", "sft.yaml"),
        commands=(c.TRAIN_CHAT,),
        mutators=(*[yaml_in("sft.yaml")] * 6, bytes_in("sft.yaml"), lines_in("sft.yaml")),
    ),
    Kind(
        "trace-database",
        share=4,
        needs=("traces.db", "traces.db-datasets"),
        commands=c.STORE,
        mutators=(
            *[cell_in("traces.db")] * 6,
            bytes_in("traces.db"),
            place_of("traces.db"),
            json_in("traces.db-datasets/*/manifest.json"),
            bytes_in("traces.db-datasets/*/manifest.json"),
            place_of("traces.db-datasets", "traces.db-datasets/*", "traces.db-datasets/*/*"),
        ),
    ),
    Kind(
        "trace-flags",
        share=2,
        needs=ALL,
        commands=(*c.IMPORT, *c.ON_DATA, *c.EVALSET, c.REPORT, c.RECORD, c.WITH_TEMPLATE, c.TRAIN_CHAT, *c.STORE),
        mutators=(a_flag("--seed", "--limit", "--format"), a_flag(), an_argument, output_onto("--output")),
    ),
)
