"""The commands that read the examples, with the existing files that each is meant to change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command that reads an example: its words, and the existing files that it is meant to change."""

    words: str
    changes: tuple[str, ...] = ()
    findings: bool = False
    """Whether it may end with 1 because of what it found, and say so on stdout."""


KEPT = (
    *("*/run_manifest.json", "*/.lock", "*/stats.json", "*/timing.jsonl", "*/metrics.jsonl"),
    *("*/latest.json", "*/best.json"),
)
"""What a run writes anew as it goes on."""
_SQLITE = "SQLite format 3"
_MODELS = ("*/latest.onnx|\x08", "*/best.onnx|\x08", "*/model_step_*.onnx|\x08")
TRAIN = Command("train recipe.yaml --runs-dir new")
PLAYED = Command("train games.yaml --runs-dir new", changes=("*stats.json|{", *_MODELS))
RESUME = Command("resume half --runs-dir begun", changes=(*KEPT, "ok:begun/*"))
RESUME_PLAYED = Command(
    "resume small --runs-dir played --checkpoint 2",
    changes=(*KEPT, "stats.json|{", *_MODELS, "played/small/replay/*", "ok:played/*"),
)
ACTOR = Command(
    "actor --db actor.db --model nets/model_step_000001.onnx --episodes 2 --lanes 2 --simulations 2 --max-wait 0.3",
    changes=(f"*.db|{_SQLITE}", f"aside|{_SQLITE}", "*.db-wal", "*.db-shm"),
)
RUNS = (
    Command("runs list --runs-dir runs"), Command("runs list --runs-dir runs --json"),
    Command("runs show small --runs-dir runs"), Command("runs show --runs-dir runs --json"),
    Command("runs compare small begun/half --runs-dir runs --plot out.png"),
    Command("runs compare small small --runs-dir runs --json"),
)  # fmt: skip
EXPORT = Command("export small out --runs-dir runs")
SUGGEST = Command("suggest bundle --prompt prompt.txt -k 2 --max-tokens 6")
EVALUATE_PROOFS = Command(
    "evaluate proofs bundle --data-dir theorems/held_out_new --proposals 2 --seconds 0.05 --max-tokens 4 "
    "--output report"
)
EVALUATE_GAMES = Command("evaluate games --model nets/model_step_000001.onnx --db replay.db --games 2 --output report")
SOLVER = Command(
    "evaluate games --model nets/model_step_000001.onnx --db replay.db --games 2 --solver --solver-simulations 2 "
    "--positions 4"
)
TOURNAMENT = Command("tournament --model-dir nets --games 2 --include-random --output report")
PLAY = Command("play tictactoe --model nets/model_step_000001.onnx --simulations 2")
REPLAY = (
    Command("replay show replay.db"), Command("replay stats replay.db --json"),
    Command("replay check replay.db", findings=True), Command("replay check replay.db --json", findings=True),
)  # fmt: skip
TOKENIZER = Command(
    "tokenizer train --data-dir corpus --output new.json --vocab-size 260 --validation-fraction 0.3",
    changes=("*tokenizer.json|{",),
)
PROOFS_STATS = Command("proofs stats corpus --validation-fraction 0.3")
PROOFS_CHECK = Command("proofs check theorems", findings=True)
GENERATE = Command("proofs generate out --theorems 2 --held-out 0 --theories group --max-steps 2")
LOOP = Command(
    "loop tictactoe --folder loop --iterations 1 --steps 1 --actors 1 --evaluation-games 0", changes=("loop/*",)
)
DOCTOR = Command("doctor --runs-dir runs", findings=True)
RESUME_FROM_2 = Command("resume small --runs-dir runs --checkpoint 2", changes=(*KEPT, "ok:runs/small/*"))
RESUME_NEWEST = Command("resume --runs-dir begun --json", changes=(*KEPT, "ok:begun/*"))
EXPORT_CHECKPOINT = Command("export runs/small/checkpoints/step_00000002 out")
EXPORT_PLAYED = Command("export small out --runs-dir played")
START_FROM = Command("train recipe.yaml --runs-dir new --start-from runs/small")
WITH_TOKENIZER = Command("train recipe.yaml --runs-dir new --tokenizer tokenizer.json")
CHECK_CORPUS = Command("proofs check corpus", findings=True)
SHOW_PLAYED = (Command("runs show --runs-dir played"), Command("runs list --runs-dir played --json"))
SUGGEST_STDIN = Command("suggest bundle --prompt - -k 2 --max-tokens 4")
PLAY_ALONE = Command("play tictactoe --without-model --simulations 2")
PLAY_SECOND = Command("play connect4 --without-model --simulations 1 --second")
LOOP_RECIPE = Command(
    "loop games.yaml --folder loop --iterations 1 --steps 1 --actors 1 --evaluation-games 0",
    changes=("loop/*", "stats.json", "models/*", "*.db*"),
)
GENERATE_INTO = Command("proofs generate --theorems 2 --held-out 0 --theories group --max-steps 2 out")
EXPORT_INTO = Command("export small --runs-dir runs out")
OWN_GAME = (
    Command("games check my_game.py --games 2", findings=True),
    Command("games check my_game.py --games 2 --json", findings=True),
    Command("play my_game.py --without-model --simulations 2"),
    Command("actor --env-id my_game.py --db own.db --model none.onnx --episodes 1 --lanes 1 --simulations 2"),
)
_TRACE_FILES = ("traces.db-shm", "traces.db-wal")
IMPORT = (
    Command("traces import traces.jsonl --db new.db"),
    Command("traces import traces.jsonl --db new.db --skip-bad --json"),
    Command("traces import traces.jsonl --db traces.db", changes=("ok:traces.db*", "ok:aside|SQLite format 3")),
)
TRAIN_SFT = Command("train sft --data sft.jsonl --dry-run")
ON_DATA = (
    TRAIN_SFT,
    Command("train sft --data rows.jsonl --dry-run --json"),
    Command("traces import rows.jsonl --db new.db"),
    Command("traces import sft.jsonl --db new.db --skip-bad"),
)
EVALSET = (Command("evalset validate questions.jsonl"), Command("evalset validate questions.jsonl --json"))
REPORT = Command("report --before before.jsonl --after after.jsonl --output new.md")
RECORD = Command("report record after.jsonl --db kept.db")
WITH_TEMPLATE = Command("train sft --data sft.jsonl --template template.jinja --dry-run")
TRAIN_CHAT = Command("train sft.yaml --dry-run")
STORE = (
    Command("traces list --db traces.db", changes=_TRACE_FILES),
    Command("traces list --db traces.db --json", changes=_TRACE_FILES),
    Command("dataset list --db traces.db", changes=_TRACE_FILES),
    Command("dataset show small-1 --db traces.db --json", changes=_TRACE_FILES),
    Command("dataset verify small-1 --db traces.db", changes=_TRACE_FILES, findings=True),
    Command("dataset export small-1 --db traces.db -o out.jsonl --format tunix_sft", changes=_TRACE_FILES),
    Command(
        "dataset build other 1 --db traces.db --json",
        changes=("ok:traces.db*", "ok:aside|SQLite format 3", *_TRACE_FILES),
    ),
    Command("train sft --data small-1 --db traces.db --dry-run", changes=_TRACE_FILES),
)
