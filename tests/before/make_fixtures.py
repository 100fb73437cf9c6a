"""Made the fixtures of test_before.py, with the code and the tests of the commit that they stand for:

    git worktree add before 391fb36
    PYTHONPATH=before/src:before/tests python tests/before/make_fixtures.py before

A run of each family is stopped on its way and packed as it lies on the disk; then the old code goes on with it to the
end, exports it and tells of it, and that is packed beside it (`then/`, fixtures/then.json). Not part of the tests: run
again, it would make fixtures of whatever code it is run with.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from arithmetic import how_it_computes
from clew.core.metrics import Recorder  # where it was then

from clew.cli.main import main
from small_runs import flags, only_run, write_corpus

FIXTURES = Path(__file__).parent / "fixtures"
GPT = {"d_model": 8, "d_mlp": 16, "max_steps": 16, "keep_checkpoints": 1, "data_dir": "corpus"}
GPTS = {
    # Stopped by the user: the checkpoint of that very step is there.
    "stopped": {"stop": 8},
    # Killed: the metrics reach beyond the checkpoint.
    "killed": {"kill": 11, "optimizer": "muon", "average_decay": 0.9, "accumulation": 2, "clip": 0.5},
}
NET = {
    "env_id": "tictactoe",
    "kind": "mlp",
    "width": 8,
    "depth": 1,
    "batch_size": 16,
    "steps": 32,
    "checkpoint_interval": 8,
    "keep_checkpoints": 1,
    "log_interval": 1,
    "eval_interval": 8,
    "eval_games": 4,
    "lr": 0.01,
    "lr_warmup_steps": 4,
    "root_value_share": 0.25,
    "held_out_fraction": 0.15,
    "refresh_every": 4,
    "stats_interval": 4,
    "db": "data/replay.db",
    "model_dir": "data/models",
    "stats": "data/stats.json",
    "threads": 1,
    "device": "cpu",
    "compile": "no",
    "precision": "float32",
}
ACTOR = {
    "env_id": "tictactoe",
    "db": "data/replay.db",
    "model": "data/models/latest.onnx",
    "lanes": 8,
    "simulations": 8,
}
PROMPT = "@T\ntheorem join_sum_5(a: T, b: T) {\n@G\n    join(a, sum(b, c5)) = sum(join(a, b), c5)\n@P\n"


def as_flags(settings: dict[str, Any]) -> list[str]:
    """Settings as a command line."""
    return [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]


def clew(*arguments: object, code: int = 0) -> str:
    """Run `clew`; return its stdout."""
    words = [str(argument) for argument in arguments]
    sys.argv = ["clew", *words]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ended = main(words)
    assert ended == code, (words, ended, said.getvalue())
    return said.getvalue()


def told(*arguments: object) -> Any:
    """Run `clew ... --json`; return the document."""
    return json.loads(clew(*arguments, "--json").splitlines()[-1])


def broken_off(arguments: list[str], at: int, how: str) -> None:
    """Run `clew` in a process of its own that gets SIGTERM, or ends at once, when step `at` was recorded."""
    process = multiprocessing.get_context("spawn").Process(target=_break_off, args=(arguments, at, how))
    process.start()
    process.join()
    assert process.exitcode == (130 if how == "stop" else 9), process.exitcode


def _break_off(arguments: list[str], at: int, how: str) -> None:
    whole = Recorder.step

    def step(self: Recorder, row: Any, items_seen: int) -> None:
        whole(self, row, items_seen)
        if row["step"] == at:
            if how == "kill":
                os._exit(9)
            os.kill(os.getpid(), signal.SIGTERM)

    Recorder.step = step
    sys.argv = ["clew", *arguments]
    sys.exit(main(arguments))


def kept(run: Path, then: Path) -> None:
    """Copy what a run ended with: weights, optimiser, metrics, statistics."""
    then.mkdir(parents=True)
    pointer = json.loads((run / "checkpoints/latest.json").read_text())
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        shutil.copy(run / "checkpoints" / pointer["folder"] / name, then)
    shutil.copy(run / "metrics.jsonl", then)
    shutil.copy(run / "stats.json", then)


def make_gpts() -> dict[str, Any]:
    """The corpus, a run stopped and a run killed, a bundle; and what became of the runs."""
    found: dict[str, Any] = {"prompt": PROMPT}
    write_corpus(Path("corpus"), 24)
    Path("prompt.txt").write_text(PROMPT)
    for name, settings in GPTS.items():
        changed = {key: value for key, value in settings.items() if key not in ("stop", "kill")}
        how = "stop" if "stop" in settings else "kill"
        arguments = flags(**GPT, **changed, name=name, runs_dir=f"runs/{name}")
        broken_off(["train", "next_token", *arguments], int(settings[how]), how)
    for name in GPTS:
        run = only_run(Path("runs") / name)
        found[name] = {
            "show": told("runs", "show", run),
            "export": told("export", run, f"bundles/{name}", "--which", "latest"),
            "config": json.loads(Path(f"bundles/{name}/config.json").read_text()),
        }
        bundle = ["suggest", f"bundles/{name}", "--prompt", "prompt.txt", "--max-tokens", "20"]
        found[name]["greedy"] = told(*bundle, "--temperature", "0", "-k", "1")
        found[name]["sampled"] = told(*bundle, "--temperature", "0.7", "-k", "8", "--seed", "3")
    shutil.rmtree("bundles/killed")
    shutil.copytree("runs", "as-it-was")
    for name in GPTS:
        run = only_run(Path("runs") / name)
        found[name]["resume"] = told("resume", run)
        kept(run, Path("then") / name)
    return found


def make_net() -> dict[str, Any]:
    """A database of games, a learner that was stopped and stopped again, its model folder; and what became of them."""
    clew("actor", *as_flags(ACTOR | {"episodes": 24, "name": "first"}))
    broken_off(["train", "alphazero", *as_flags(NET)], 17, "stop")
    run = only_run(Path("runs"))
    clew("actor", *as_flags(ACTOR | {"episodes": 16, "name": "second"}))
    # Killed after it took in the second actor's games, on from a checkpoint before that.
    broken_off(["resume", str(run)], 22, "kill")
    found = {
        "show": told("runs", "show", run),
        "replay": {
            name: {"text": clew("replay", name, "data/replay.db"), "json": told("replay", name, "data/replay.db")}
            for name in ("stats", "check")
        }
        | {"show": {"text": clew("replay", "show", "data/replay.db")}},
    }
    shutil.copytree("runs", "as-it-was")
    shutil.copytree("data", "data-as-it-was")
    found["resume"] = told("resume", run)
    kept(run, Path("then"))
    shutil.copy("data/stats.json", "then/learner_stats.json")
    session = onnxruntime.InferenceSession("data/models/latest.onnx")
    (seen,) = session.get_inputs()
    observations = np.random.default_rng(1).integers(0, 2, (8, seen.shape[1])).astype(np.float32)
    names = [each.name for each in session.get_outputs()]
    given = session.run(names, {seen.name: observations})
    outputs = {name: value.tolist() for name, value in zip(names, given, strict=True)}
    found["model"] = {"input": {seen.name: observations.tolist()}, "outputs": outputs}
    shutil.rmtree("data")
    Path("data-as-it-was").rename("data")
    return found


def packed(path: Path) -> None:
    """Pack the working folder, in which the runs lie again as they were when they were broken off."""
    shutil.rmtree("runs")
    Path("as-it-was").rename("runs")
    for lock in Path.cwd().rglob(".lock"):
        lock.unlink()

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(path, "w:xz", preset=9) as archive:
        for each in sorted(Path.cwd().iterdir()):
            archive.add(each, each.name, filter=plain)


def make(checkout: Path) -> None:
    """Make all fixtures, in a folder inside `checkout`, so that the manifests name its commit."""
    then: dict[str, Any] = {"made_on": how_it_computes()}
    FIXTURES.mkdir(exist_ok=True)
    for name, function in {"next_token": make_gpts, "alphazero": make_net}.items():
        with tempfile.TemporaryDirectory(dir=checkout) as folder:
            os.chdir(folder)
            then[name] = function()
            packed(FIXTURES / f"{name}.tar.xz")
            os.chdir(FIXTURES)
    (FIXTURES / "then.json").write_text(json.dumps(then, indent=1) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
