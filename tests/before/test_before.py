"""Runs, a bundle and a replay database of commit 391fb36, which other code made: today's goes on with them, and says of
them, what that code did (make_fixtures.py tells how they were made).

Where torch computes as it did then, weights, optimiser and metrics are the same bytes; elsewhere the same figures.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from arithmetic import how_it_computes
from safetensors.numpy import load_file

from clew.cli.main import main
from small_runs import only_run

FIXTURES = Path(__file__).parent / "fixtures"
TOLERANCE = 1e-5
"""How far a figure may lie from that of another instruction set or version of torch, absolute or relative."""
DECIDED = ("win_rate", "draw_rate", "loss_rate", "wins", "losses", "draws", "avg_game_length", "became_new_best")
"""Figures of played games: there the smallest difference may decide on another move."""
CLOCK = ("timestamp", "seconds_since_metrics", "elapsed", "tokens_per_second", "samples_per_second", "created_at")


@pytest.fixture(scope="module")
def then() -> dict[str, Any]:
    """What the old code said."""
    return json.loads((FIXTURES / "then.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def same_machine(then: dict[str, Any]) -> bool:
    """Whether bits can be compared."""
    return how_it_computes() == then["made_on"]


@pytest.fixture
def unpacked(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a fixture as the working folder: its recipes name their evidence by relative paths."""
    with tarfile.open(FIXTURES / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def clew(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run `clew`; return its stdout."""
    capfd.readouterr()
    code = main([str(argument) for argument in arguments])
    said = capfd.readouterr()
    assert code == 0, said.err
    return said.out


def told(capfd: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Run `clew ... --json`; return the document."""
    return json.loads(clew(capfd, *arguments, "--json").splitlines()[-1])


def assert_as_then(
    now: Any, before: Any, *, besides: tuple[str, ...] = (), exactly: bool = False, at: str = ""
) -> None:
    """All that `before` has, `now` has too, with the same values; more may stand in `now`."""
    if isinstance(before, dict):
        assert isinstance(now, dict), at
        for name, value in before.items():
            if name not in (*CLOCK, *besides):
                assert name in now, f"{at}/{name}"
                assert_as_then(now[name], value, besides=besides, exactly=exactly, at=f"{at}/{name}")
    elif isinstance(before, list):
        assert isinstance(now, list), at
        assert len(now) == len(before), at
        for index, (ours, theirs) in enumerate(zip(now, before, strict=True)):
            assert_as_then(ours, theirs, besides=besides, exactly=exactly, at=f"{at}/{index}")
    elif isinstance(before, float) and not exactly:
        assert now == pytest.approx(before, abs=TOLERANCE, rel=TOLERANCE), at
    else:
        assert now == before, at


def lines(path: Path) -> list[dict[str, Any]]:
    """The documents of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_ended_as_then(run: Path, before: Path, *, same_machine: bool) -> None:
    """Weights, optimiser, metrics and saved state of `run` are those in the folder `before`."""
    newest = run / "checkpoints" / json.loads((run / "checkpoints/latest.json").read_text())["folder"]
    pairs = [(newest / name, before / name) for name in ("model.safetensors", "optimizer.safetensors")]
    if same_machine:
        for ours, theirs in pairs:
            assert ours.read_bytes() == theirs.read_bytes(), ours.name
        # Evaluations may say more than they did then; the lines of steps are the same bytes.
        steps, steps_then = (
            [line for line in (folder / "metrics.jsonl").read_bytes().splitlines() if b'"evaluation"' not in line]
            for folder in (run, before)
        )
        assert steps == steps_then
    games = () if same_machine else tuple(f"{name}_against_{whom}" for name in DECIDED for whom in ("random", "best"))
    for ours, theirs in pairs:
        tensors, expected = load_file(ours), load_file(theirs)
        assert tensors.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(tensors[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    now, then = lines(run / "metrics.jsonl"), lines(before / "metrics.jsonl")
    assert_as_then(now, then, besides=games, exactly=same_machine)
    state, expected = (json.loads((folder / "state.json").read_text()) for folder in (newest, before))
    for name in ("run_id", "recipe_sha256", "evidence_sha256", "model"):
        assert_as_then(state[name], expected[name])
    assert_as_then(state["progress"], expected["progress"], besides=() if same_machine else ("best_step", "best_score"))


@pytest.mark.parametrize("unpacked", ["next_token"], indirect=True)
@pytest.mark.parametrize("name", ["stopped", "killed"])
def test_a_run_of_then_goes_on_to_the_same_end(unpacked, name, then, same_machine, capfd):
    run = only_run(Path("runs") / name)
    assert_as_then(told(capfd, "resume", run), then["next_token"][name]["resume"])
    assert_ended_as_then(run, Path("then") / name, same_machine=same_machine)
    assert_as_then(
        json.loads((run / "stats.json").read_text()), json.loads(Path(f"then/{name}/stats.json").read_text())
    )


@pytest.mark.parametrize("unpacked", ["next_token"], indirect=True)
@pytest.mark.parametrize("name", ["stopped", "killed"])
def test_a_run_of_then_is_shown_and_exported_as_then(unpacked, name, then, capfd):
    before = then["next_token"][name]
    run = only_run(Path("runs") / name)
    assert_as_then(told(capfd, "runs", "show", run), before["show"], exactly=True)
    manifest = told(capfd, "export", run, f"again/{name}", "--which", "latest")
    # Another version of a package writes another file, and says so.
    assert_as_then(manifest, before["export"], besides=("folder", "exported_with", "files"))
    assert json.loads(Path(f"again/{name}/config.json").read_text()) == before["config"]
    written = [f"again/{name}", "--prompt", "prompt.txt", "--max-tokens", "20"]
    assert_as_then(
        told(capfd, "suggest", *written, "--temperature", "0", "-k", "1"), before["greedy"], besides=("bundle",)
    )
    sampled = told(capfd, "suggest", *written, "--temperature", "0.7", "-k", "8", "--seed", "3")
    assert_as_then(sampled, before["sampled"], besides=("bundle",))


@pytest.mark.parametrize("unpacked", ["next_token"], indirect=True)
def test_a_bundle_of_then_suggests_what_it_did(unpacked, then, capfd):
    suggest = ["suggest", "bundles/stopped", "--prompt", "prompt.txt", "--max-tokens", "20"]
    sampled = told(capfd, *suggest, "--temperature", "0.7", "-k", "8", "--seed", "3")
    assert_as_then(sampled, then["next_token"]["stopped"]["sampled"])


@pytest.mark.parametrize("unpacked", ["alphazero"], indirect=True)
def test_a_learner_of_then_goes_on_to_the_same_end(unpacked, then, same_machine, capfd):
    run = only_run(Path("runs"))
    # What it showed as the best was a figure beside the score.
    assert_as_then(told(capfd, "runs", "show", run), then["alphazero"]["show"], exactly=True, besides=("best",))
    scores = () if same_machine else ("best_score", "best_step", "evaluations_without_improvement")
    assert_as_then(told(capfd, "resume", run), then["alphazero"]["resume"], besides=scores)
    assert_ended_as_then(run, Path("then"), same_machine=same_machine)
    # The old code forgot the evaluations of before when it resumed: its lists are the end of the whole ones.
    now, before = (json.loads(Path(path).read_text()) for path in ("data/stats.json", "then/learner_stats.json"))
    now["eval_history"] = now["eval_history"][-len(before["eval_history"]) :]
    games = ("best_model",) if same_machine else ("best_model", *DECIDED)
    assert_as_then(now, before, besides=games)
    model = then["alphazero"]["model"]
    session = onnxruntime.InferenceSession("data/models/latest.onnx")
    observations = {name: np.array(values, np.float32) for name, values in model["input"].items()}
    for name, values in model["outputs"].items():
        (given,) = session.run([name], observations)
        np.testing.assert_allclose(given, np.array(values), rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("unpacked", ["alphazero"], indirect=True)
def test_a_database_of_then_is_described_in_the_words_of_then(unpacked, then, capfd):
    for name, before in then["alphazero"]["replay"].items():
        assert clew(capfd, "replay", name, "data/replay.db") == before["text"]
        if "json" in before:
            assert_as_then(told(capfd, "replay", name, "data/replay.db"), before["json"], exactly=True)


@pytest.mark.parametrize("unpacked", ["alphazero"], indirect=True)
def test_a_model_of_then_is_played_into_a_database_of_then(unpacked, capfd):
    before = told(capfd, "replay", "check", "data/replay.db")["games"][0]["episodes"]
    actor = ["actor", "--db", "data/replay.db", "--model", "data/models/latest.onnx", "--name", "late"]
    few = ["--episodes", "2", "--simulations", "2", "--log-every", "0.000001"]
    assert main([*actor, *few]) == 0
    assert "model of iteration 2, 2 simulations a move" in capfd.readouterr().err
    after = told(capfd, "replay", "check", "data/replay.db")
    assert after["clean"]
    assert after["games"][0]["episodes"] == before + 2
