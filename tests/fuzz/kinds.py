"""The table of kinds: what is spoiled, how, and which commands then read it. A new family adds its lines here."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clew.core import files
from clew.core.errors import ClewError
from clew.recipes import base as recipes
from clew.recipes import recipe_class
from mutators import (
    Mutator,
    a_flag,
    an_argument,
    bytes_in,
    cell_in,
    graph_in,
    json_in,
    lines_in,
    output_onto,
    place_of,
    standard_input,
    tensors_in,
    yaml_in,
)
from sandbox import Case


@dataclass(frozen=True)
class Command:
    """A command that reads an example: its words, and the existing files that it is meant to change."""

    words: str
    changes: tuple[str, ...] = ()
    findings: bool = False
    """Whether it may end with 1 because of what it found, and say so on stdout."""


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


KEPT = ("*/run_manifest.json", "*/.lock", "*/stats.json", "*/timing.jsonl", "*/metrics.jsonl", "*/latest.json", "*/best.json")
_SQLITE = "SQLite format 3"
_MODELS = ("*/latest.onnx|\x08", "*/best.onnx|\x08", "*/model_step_*.onnx|\x08")
TRAIN = Command("train recipe.yaml --runs-dir new")
PLAYED = Command("train games.yaml --runs-dir new", changes=("*stats.json|{", *_MODELS))
RESUME = Command("resume half --runs-dir begun", changes=(*KEPT, "ok:begun/*"))
RESUME_PLAYED = Command(
    "resume small --runs-dir played --checkpoint 2", changes=(*KEPT, "stats.json|{", *_MODELS, "played/small/replay/*", "ok:played/*")
)
ACTOR = Command(
    "actor --db actor.db --model nets/model_step_000001.onnx --episodes 2 --lanes 2 --simulations 2 --max-wait 0.3",
    changes=(f"*.db|{_SQLITE}", "*.db-wal", "*.db-shm"),
)
RUNS = (
    Command("runs list --runs-dir runs"), Command("runs list --runs-dir runs --json"),
    Command("runs show small --runs-dir runs"), Command("runs show --runs-dir runs --json"),
    Command("runs compare small begun/half --runs-dir runs --plot out.png"), Command("runs compare small small --runs-dir runs --json"),
)  # fmt: skip
EXPORT = Command("export small out --runs-dir runs")
SUGGEST = Command("suggest bundle --prompt prompt.txt -k 2 --max-tokens 6")
EVALUATE_PROOFS = Command(
    "evaluate proofs bundle --data-dir theorems/held_out_new --proposals 2 --seconds 0.05 --max-tokens 4 --output report"
)
EVALUATE_GAMES = Command("evaluate games --model nets/model_step_000001.onnx --db replay.db --games 2 --output report")
SOLVER = Command("evaluate games --model nets/model_step_000001.onnx --db replay.db --games 2 --solver --solver-simulations 2 --positions 4")
TOURNAMENT = Command("tournament --model-dir nets --games 2 --include-random --output report")
PLAY = Command("play tictactoe --model nets/model_step_000001.onnx --simulations 2")
REPLAY = (
    Command("replay show replay.db"), Command("replay stats replay.db --json"),
    Command("replay check replay.db", findings=True), Command("replay check replay.db --json", findings=True),
)  # fmt: skip
TOKENIZER = Command(
    "tokenizer train --data-dir corpus --output new.json --vocab-size 260 --validation-fraction 0.3", changes=("*tokenizer.json|{",)
)
PROOFS_STATS = Command("proofs stats corpus --validation-fraction 0.3")
PROOFS_CHECK = Command("proofs check theorems", findings=True)
GENERATE = Command("proofs generate out --theorems 2 --held-out 0 --theories group --max-steps 2")
LOOP = Command("loop tictactoe --folder loop --iterations 1 --steps 1 --actors 1 --evaluation-games 0", changes=("loop/*",))
DOCTOR = Command("doctor --runs-dir runs", findings=True)

_RUN_FILES = "*/*/"
_RUN_SPOILERS = (
    json_in("*/*/run_manifest.json"), json_in("*/*/metrics.jsonl", lines=True), json_in("*/*/metrics.jsonl", lines=True),
    json_in("*/*/checkpoints/*.json"), json_in("*/*/checkpoints/*/state.json"), json_in("*/*/stats.json"), json_in("*/*/timing.jsonl", lines=True),
    yaml_in("*/*/recipe.yaml"), bytes_in("*/*/*", "*/*/checkpoints/*", "*/*/checkpoints/*/*"),
    place_of("*/*/*", "*/*/checkpoints/*", "*/*/checkpoints/*/*", "*/*"), lines_in("*/*/metrics.jsonl", "*/*/timing.jsonl"),
)  # fmt: skip

ALL = ("corpus", "recipe.yaml", "games.yaml", "runs", "begun", "played", "bundle", "nets", "models", "replay.db", "actor.db", "tokenizer.json",
       "prompt.txt", "theorems", "stats.json", "loop")  # fmt: skip

KINDS = (
    Kind("recipe", 13, ("corpus", "recipe.yaml"), (TRAIN,), (yaml_in("recipe.yaml"),) * 6 + (bytes_in("recipe.yaml"), lines_in("recipe.yaml"))),
    Kind("games-recipe", 5, ("games.yaml", "replay.db"), (PLAYED,), (yaml_in("games.yaml"),) * 6 + (bytes_in("games.yaml"), lines_in("games.yaml"))),
    Kind(
        "flags", 14, ALL,
        (TRAIN, PLAYED, RESUME, RESUME_PLAYED, ACTOR, *RUNS, EXPORT, SUGGEST, EVALUATE_PROOFS, EVALUATE_GAMES, TOURNAMENT, PLAY, *REPLAY,
         TOKENIZER, PROOFS_STATS, PROOFS_CHECK, GENERATE, DOCTOR),
        (a_flag("--runs-dir", "--seed", "--json", "--threads"), a_flag(), a_flag(), an_argument),
    ),
    Kind(
        "train-flags", 6, ("corpus", "recipe.yaml", "runs", "tokenizer.json"), (TRAIN,),
        (a_flag("--learning-rate", "--betas", "--max-epochs", "--d-model", "--batch-size", "--vocab-size", "--tokenizer", "--start-from", "--name",
                "--data-dir", "--device", "--schedule-steps", "--warmup-steps", "--accumulation", "--context-length", "--dropout", "--clip",
                "--seed", "--sample-prompt", "--validation-fraction", "--n-heads", "--weight-decay", "--checkpoint-every", "--threads"),),
    ),
    Kind(
        "games-flags", 4, ("games.yaml", "replay.db", "models", "stats.json"), (PLAYED, ACTOR),
        (a_flag("--lr", "--betas", "--db", "--env-id", "--replay-window", "--max-reuse", "--episodes", "--max-wait", "--wait-interval", "--width", "--depth",
                "--model-dir", "--stats", "--c-puct", "--lanes", "--start-step", "--symmetry", "--lr-min-ratio", "--log-every", "--temp-threshold"),),
    ),
    Kind(
        "corpus", 8, ("corpus", "recipe.yaml"), (TRAIN, TOKENIZER, PROOFS_STATS, Command("proofs check corpus", findings=True)),
        (lines_in("corpus/*"), lines_in("corpus/*"), bytes_in("corpus/*"), place_of("corpus/*")),
    ),
    Kind(
        "theorems", 4, ("theorems", "bundle"), (PROOFS_CHECK, PROOFS_CHECK, EVALUATE_PROOFS),
        (lines_in("theorems/*/*.txt"), lines_in("theorems/*/*.txt"), bytes_in("theorems/*/*"), place_of("theorems/*/*", "theorems/*"), json_in("theorems/manifest.json")),
    ),
    Kind(
        "tokenizer", 6, ("corpus", "recipe.yaml", "tokenizer.json"), (Command("train recipe.yaml --runs-dir new --tokenizer tokenizer.json"),),
        (json_in("tokenizer.json"),) * 5 + (bytes_in("tokenizer.json"), place_of("tokenizer.json")),
    ),
    Kind("runs", 9, ("runs", "begun"), (*RUNS, *RUNS, EXPORT), _RUN_SPOILERS, seal_runs),
    Kind(
        "resume", 6, ("corpus", "begun", "runs"),
        (RESUME, Command("resume small --runs-dir runs --checkpoint 2", changes=(*KEPT, "ok:runs/small/*")),
         Command("resume --runs-dir begun --json", changes=(*KEPT, "ok:begun/*"))),
        (*_RUN_SPOILERS, tensors_in("*/*/checkpoints/*/*.safetensors"), a_flag("--checkpoint"), lines_in("corpus/*")), seal_runs,
    ),
    Kind(
        "checkpoints", 4, ("corpus", "recipe.yaml", "begun", "runs"),
        (RESUME, EXPORT, Command("export runs/small/checkpoints/step_00000002 out"), Command("train recipe.yaml --runs-dir new --start-from runs/small")),
        (tensors_in("*/*/checkpoints/*/*.safetensors"), tensors_in("*/*/checkpoints/*/*.safetensors"), json_in("*/*/checkpoints/*/state.json"),
         json_in("*/*/checkpoints/*/state.json"), json_in("*/*/tokenizer.json"), place_of("*/*/checkpoints/*/*", "*/*/tokenizer.json")), seal_runs,
    ),
    Kind(
        "played", 2.5, ("played", "replay.db", "models", "stats.json"),
        (RESUME_PLAYED, Command("runs show --runs-dir played"), Command("runs list --runs-dir played --json"), Command("export small out --runs-dir played")),
        (*_RUN_SPOILERS, bytes_in("played/small/replay/*", "played/small/replay/*/*"), json_in("played/small/replay/marks.jsonl", lines=True), cell_in("replay.db")),
        seal_runs,
    ),
    Kind(
        "bundle", 7, ("bundle", "prompt.txt", "theorems"), (SUGGEST, SUGGEST, EVALUATE_PROOFS),
        (json_in("bundle/config.json", "bundle/bundle.json"), json_in("bundle/tokenizer.json"), graph_in("bundle/model.onnx"), graph_in("bundle/model.onnx"),
         bytes_in("bundle/*"), place_of("bundle/*", "bundle"), lines_in("prompt.txt")), seal_bundle,
    ),
    Kind(
        "nets", 5, ("nets", "replay.db", "actor.db"), (EVALUATE_GAMES, TOURNAMENT, PLAY, ACTOR, SOLVER),
        (graph_in("nets/*.onnx"), graph_in("nets/*.onnx"), bytes_in("nets/*.onnx"), place_of("nets/*")),
    ),
    Kind(
        "database", 11, ("replay.db", "nets", "games.yaml", "actor.db"), (*REPLAY, *REPLAY, PLAYED, ACTOR, EVALUATE_GAMES, SOLVER),
        (cell_in("*.db"),) * 6 + (bytes_in("*.db"), place_of("*.db")),
    ),
    Kind(
        "outputs", 5, ALL,
        (TOKENIZER, RUNS[4], PLAYED, EVALUATE_GAMES, EVALUATE_PROOFS, TOURNAMENT, Command("proofs generate --theorems 2 --held-out 0 --theories group --max-steps 2 out"),
         Command("export small --runs-dir runs out"), ACTOR, TRAIN),
        (output_onto("--output"), output_onto("--output"), output_onto("--plot"), output_onto("--stats"), output_onto("--db"), output_onto("--model-dir"), output_onto(None), output_onto("--runs-dir")),
    ),
    Kind("input", 2, ("bundle", "nets"), (Command("suggest bundle --prompt - -k 2 --max-tokens 4"), PLAY, Command("play tictactoe --without-model --simulations 2"), Command("play connect4 --without-model --simulations 1 --second")), (standard_input,)),
    Kind("loop", 0.5, ("loop", "games.yaml", "recipe.yaml"), (LOOP, Command("loop games.yaml --folder loop --iterations 1 --steps 1 --actors 1 --evaluation-games 0", changes=("loop/*", "stats.json", "models/*", "*.db*"))),
         (json_in("loop/loop.json"), yaml_in("games.yaml"), a_flag("--folder", "--iterations", "--minutes", "--actors"), an_argument)),
)
