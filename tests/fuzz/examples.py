"""Good examples of all that the commands read, made once on the spot: small, so that thousands of copies are cheap."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import yaml
from program_examples import make_programs

from clew.cli.main import main
from clew.core import files
from episodes import foreign_database, random_episode
from small_runs import flags, small_recipe, write_corpus
from tiny_nets import write_random_net

SMALL = {
    "max_steps": 4, "evaluate_every": 2, "checkpoint_every": 2, "warmup_steps": 0, "context_length": 16, "d_model": 8,
    "d_mlp": 8, "batch_size": 2, "validation_fraction": 0.3,
}  # fmt: skip
GAMES = {
    "db": "replay.db", "env_id": "tictactoe", "max_steps": 2, "batch_size": 8, "warmup_steps": 0, "evaluate_every": 2,
    "checkpoint_every": 2, "stats_interval": 1, "width": 8, "depth": 1, "eval_games": 2, "model_dir": "models",
    "stats": "stats.json", "compile": "no", "threads": 1, "device": "cpu", "precision": "float32", "max_wait": 0.3,
    "wait_interval": 0.1, "simulations": 2, "lanes": 2, "log_every": 1,
}  # fmt: skip
PROMPT = "@T\ntheorem join_meet_1(a: T, b: T) {\n@G\n    join(a, b) = join(b, a)\n@C\njoin(a, b) != join(b, a)\n@P\n"
CHAT = {
    "system_instruction": "Think in steps.",
    "model": {"name": "base", "max_length": 512},
    "training": {
        "num_steps": 2, "learning_rate": 1.0e-5, "per_device_batch_size": 1, "gradient_accumulation_steps": 1,
        "optimizer": "adamw", "weight_decay": 0.01, "lr_scheduler": "linear", "warmup_steps": 1, "logging_steps": 1,
        "save_steps": 2, "seed": 42,
    },
    "data": {"path": "sft.jsonl", "format": "auto", "shuffle": True, "max_samples": 4, "validation_fraction": 0.3},
    "lora": {"rank": 0, "alpha": 16.0},
}  # fmt: skip
TEMPLATE = """{%- for message in messages -%}
<start_of_turn>{{ "model" if message.role == "assistant" else message["role"] }}
{% if message.role == "assistant" -%}
{% generation %}{{ message.content | trim }}<end_of_turn>{% endgeneration %}
{%- else -%}
{{ message.content }}<end_of_turn>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<start_of_turn>model
{% endif -%}
"""
OWN_GAME = '''"""Two stones side by side win, on a row of five."""

from clew.games import Game

ALL = 0b11111


def legal(first, second, player):
    return ALL & ~(first | second)


def play(first, second, player, action):
    if not legal(first, second, player) >> action & 1:
        raise ValueError("taken")
    if player == 0:
        first |= 1 << action
    else:
        second |= 1 << action
    own = first if player == 0 else second
    if own & own >> 1:
        return first, second, player + 1
    return first, second, 3 if first | second == ALL else 0


GAME = Game("pairs", 5, 1, legal, play, title="Pairs", symmetry="mirror", max_plies=5)
'''


def make_examples() -> None:
    """Fill the working folder. Raises `AssertionError` where a command fails on what is good."""
    corpus = write_corpus(Path("corpus"), 8)
    Path("prompt.txt").write_text(PROMPT)
    recipe = small_recipe(corpus, **SMALL)
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    _good("train", "recipe.yaml", "--runs-dir", "runs")
    (run,) = Path("runs").iterdir()
    shutil.copytree(run, "begun/half")
    shutil.rmtree("begun/half/checkpoints/step_00000004")
    for pointer in ("latest", "best"):
        Path(f"begun/half/checkpoints/{pointer}.json").write_text(json.dumps({"folder": "step_00000002", "step": 2}))
    run.rename("runs/small")
    _good("export", "small", "bundle", "--runs-dir", "runs")
    _good(
        "tokenizer", "train", "--data-dir", "corpus", "--output", "tokenizer.json", "--vocab-size", "270",
        "--validation-fraction", "0.3",
    )  # fmt: skip
    _good(
        "proofs", "generate", "theorems", "--theorems", "4", "--held-out", "1", "--theories", "group", "--max-steps",
        "3",
    )  # fmt: skip
    foreign_database(Path("replay.db"), [row for number in range(12) for row in random_episode(number)])
    listed = [text for name, value in GAMES.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    _good("train", "alphazero", *listed, "--runs-dir", "played")
    (run,) = Path("played").iterdir()
    shutil.copy(run / "recipe.yaml", "games.yaml")
    run.rename("played/small")
    _good("actor", "--db", "actor.db", "--model", "models/latest.onnx", "--episodes", "2", "--lanes", "2")
    for number in (1, 2):
        write_random_net(Path(f"nets/model_step_{number:06d}.onnx"), "tictactoe", seed=number)
    Path("loop").mkdir()
    Path("loop/loop.json").write_text(json.dumps({"env_id": "tictactoe", "seconds": 1.0}))
    Path("my_game.py").write_text(OWN_GAME)
    _make_traces()
    make_programs()
    Path("notes.txt").write_text("what a user keeps here\n")


def _make_traces() -> None:
    _good("traces", "generate", "arithmetic", "--count", "6", "--output", "traces.jsonl")
    _good("traces", "import", "traces.jsonl", "--db", "traces.db")
    _good("dataset", "build", "small", "1", "--db", "traces.db")
    for name, form in (("rows", "trace"), ("sft", "tunix_sft")):
        _good("dataset", "export", "small-1", "--db", "traces.db", "-o", f"{name}.jsonl", "--format", form)
    _good("traces", "generate", "arithmetic", "--questions", "--count", "4", "--output", "questions.jsonl")
    questions = [json.loads(line) for line in Path("questions.jsonl").read_text().splitlines()]
    for name, scores in (("before", (0.0, 0.0, 1.0, 0.0)), ("after", (1.0, 0.0, 1.0, 1.0))):
        rows = [question | {"score": score} for question, score in zip(questions, scores, strict=True)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    meta = {"rows_sha256": files.sha256_of_file(Path("after.jsonl")), "judge": "answer", "sampling": {}, "model": {}}
    Path("after.meta.json").write_text(json.dumps(meta))
    Path("template.jinja").write_text(TEMPLATE)
    Path("sft.yaml").write_text(yaml.safe_dump(CHAT, sort_keys=False))


def _good(*arguments: str) -> None:
    assert main(arguments) == 0, arguments


def copy_examples(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy the examples `names` of `source` into the folder `target`."""
    target.mkdir(parents=True)
    for name in (*names, "notes.txt"):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source / name, target / name)


@contextlib.contextmanager
def inside(folder: Path):
    """Work in `folder`."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


__all__ = ["copy_examples", "flags", "inside", "make_examples"]
