"""Runs of a few seconds: a corpus made on the spot, a GPT of some thousand weights, and `clew` as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clew.cli.runs.train import parse
from clew.recipes.next_token import NextTokenRecipe
from forks import Forked

OPERATIONS = ("join", "meet", "sum", "shift", "fold", "blend")
SMALL = {
    "tokenizer": "bytes",
    "context_length": 32,
    "d_model": 16,
    "n_layers": 1,
    "n_heads": 2,
    "d_mlp": 24,
    "dropout": 0.1,
    "sample_tokens": 0,
    "batch_size": 4,
    "max_steps": 12,
    "warmup_steps": 3,
    "learning_rate": 0.01,
    "log_every": 1,
    "evaluate_every": 6,
    "checkpoint_every": 4,
    "validation_fraction": 0.2,
    "precision": "float32",
    "compile": "no",
    "threads": 1,
    "device": "cpu",
}
"""A recipe whose step takes milliseconds, with every part of the loop in use."""


def write_corpus(folder: Path, count: int = 30) -> Path:
    """Write `count` proof files of as many theorems about invented operations; return `folder`."""
    folder.mkdir(parents=True)
    for number in range(count):
        name, other = OPERATIONS[number % 6], OPERATIONS[(number // 6 + 1) % 6]
        left, right = f"{name}(a, {other}(b, c{number}))", f"{other}({name}(a, b), c{number})"
        steps = [f"{left} = {name}({other}(b, c{number}), a)", f"{name}({other}(b, c{number}), a) = {right}"]
        lines = [
            "@T", f"theorem {name}_{other}_{number}(a: T, b: T) {{",
            "@G", f"    {left} = {right}",
            "@C", f"{left} != {right}",
            "@P", *steps[: number % 3],
        ]  # fmt: skip
        (folder / f"proof_{number:05d}.txt").write_text("\n".join(lines) + "\n")
    return folder


def flags(**changed: Any) -> list[str]:
    """The small recipe as flags, with `changed` laid over it."""
    return [text for name, value in (SMALL | changed).items() for text in (f"--{name.replace('_', '-')}", str(value))]


def small_recipe(corpus: Path, **changed: Any) -> NextTokenRecipe:
    """The small recipe itself."""
    recipe, _ = parse("next_token", flags(data_dir=corpus, **changed))
    assert isinstance(recipe, NextTokenRecipe)
    return recipe


def environment() -> dict[str, str]:
    """The environment of a `clew` process: one thread, no colours."""
    return os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "TERM": "dumb", "PYTHONUNBUFFERED": "1"}


def clew_command(*arguments: object) -> list[str]:
    """The command line of a `clew` process that starts from nothing, for what `start_clew` cannot show."""
    return [sys.executable, "-m", "clew.cli.main", *map(str, arguments)]


def torchrun_command(*arguments: object) -> list[str]:
    """The command line of two `clew` processes that train together."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    return [sys.executable, *launcher, *clew_command(*arguments)]


def start_clew(*arguments: object, **settings: Any) -> Forked:
    """Start `clew` as a process of its own."""
    return Forked(*arguments, env=environment(), **settings)


def clew(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run `clew` as a process of its own and wait for it."""
    return _ended(start_clew(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings), arguments)


def two_clews(*arguments: object) -> list[subprocess.CompletedProcess[str]]:
    """Run `clew` as two processes that train together, without torchrun around them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    together = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [
        Forked(*arguments, env=environment() | together | {"RANK": rank, "LOCAL_RANK": rank}, **outputs)
        for rank in ("0", "1")
    ]
    return [_ended(process, arguments) for process in both]


def _ended(process: Forked, arguments: Sequence[object]) -> subprocess.CompletedProcess[str]:
    said = process.communicate(timeout=300)
    return subprocess.CompletedProcess([*map(str, arguments)], process.wait(), *said)


def only_run(runs_dir: Path) -> Path:
    """The folder of the one run in `runs_dir`."""
    (folder,) = runs_dir.glob("*/run_manifest.json")
    return folder.parent


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[float]:
    """The training loss of each logged step."""
    return [row["loss"] for row in metrics(run) if "loss" in row]


def outcome(run: Path) -> dict[str, bytes]:
    """The bytes that a run ends with: weights, optimiser and metrics."""
    latest = run / "checkpoints" / json.loads((run / "checkpoints" / "latest.json").read_text())["folder"]
    paths: Sequence[Path] = (latest / "model.safetensors", latest / "optimizer.safetensors", run / "metrics.jsonl")
    return {path.name: path.read_bytes() for path in paths}


def processes_about(path: Path) -> list[int]:
    """The processes that have `path` on their command line: a `clew`, torchrun and what it started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(path).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return sorted(found)


def kill_processes_about(path: Path) -> None:
    """Kill them all, at once and without a warning, until there is none."""
    while pids := processes_about(path):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
