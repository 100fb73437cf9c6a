"""The learner: what it trains on, that it resumes to the bits, what it publishes, how long it waits."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file

from clew.cli.main import main
from clew.games.evidence import prepare
from clew.games.replay import Replay
from clew.games.rules import GameInfo, find_game
from clew.games.self_play import SelfPlay
from clew.objectives.alphazero.objective import AlphaZero, net_config
from clew.recipes.alphazero import Actor, AlphaZeroRecipe
from clew.runs.history import History
from clew.training.devices import Placement
from clew.training.objective import Shard
from small_runs import losses, two_clews

CPU = Placement(torch.device("cpu"), torch.float32)


def fill(db: Path, env_id: str = "tictactoe", *, games: int = 60, seed: int = 0, actor: str = "fill") -> None:
    game = find_game(env_id)
    play = SelfPlay(game, Actor(lanes=20, simulations=2), actor=actor, began=seed, seed=seed)
    with Replay.open(db, create=True) as replay:
        replay.upsert_metadata(game)
        written = 0
        while written < games:
            for episode in play.step(None, timestamp=0):
                replay.append(episode)
                written += 1


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "data/replay.db")
    return tmp_path


def train(*words: str) -> int:
    """`clew train alphazero` with these flags, small."""
    flags = [flag for part in words for flag in part.split()]
    small = "--threads 1 --compile no --precision float32 --width 16 --eval-games 4 --log-interval 5"
    small += " --held-out-fraction 0.1"
    return main(["train", "alphazero", *small.split(), *flags])


def objective(folder: Path, **changes) -> AlphaZero:
    values = {"data": {"db": "data/replay.db", "max_wait": 0.2}, "training": {"batch_size": 8}, "net": {"width": 16}}
    for name, change in changes.items():
        values[name] = values.get(name, {}) | change
    made = AlphaZero(prepare(AlphaZeroRecipe.model_validate(values)), folder, CPU)
    assert all(hook.ready(0) for hook in made.hooks)
    return made


def test_losses_are_those_worked_out_by_hand(workplace):
    made = objective(workplace / "run", targets={"root_value_share": 0.25, "symmetry": "none"})
    batch = made.batch(0, Shard(0, 1))
    made.net.eval()
    loss = made.loss(batch)
    logits, values = made.net(batch.observation)
    policy_losses, value_losses = [], []
    for row in range(8):
        legal = np.flatnonzero(batch.observation[row, 18:27].numpy())
        scores = logits[row].detach().double().numpy()[legal]
        log_probabilities = scores - np.log(np.exp(scores).sum())
        policy_losses.append(-(batch.policy[row].double().numpy()[legal] * log_probabilities).sum())
        value_losses.append((float(values[row].detach()) - float(batch.value[row])) ** 2)
    assert float(loss.parts["policy_loss"].detach()) == pytest.approx(np.mean(policy_losses), rel=1e-5)
    assert float(loss.parts["value_loss"].detach()) == pytest.approx(np.mean(value_losses), rel=1e-5)
    assert float(loss.total.detach()) == pytest.approx(np.mean(policy_losses) + np.mean(value_losses), rel=1e-5)


def test_a_row_without_legal_moves_gives_a_number_and_not_nan(workplace):
    made = objective(workplace / "run")
    batch = made.batch(0, Shard(0, 1))
    batch.observation[0, 18:27] = 0.0
    loss = made.loss(batch)
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert all(torch.isfinite(parameter.grad).all() for parameter in made.net.parameters())


def test_rows_are_drawn_from_the_whole_window_and_held_out_episodes_never(workplace):
    made = objective(workplace / "run", data={"held_out_fraction": 0.2}, targets={"symmetry": "none"})
    rows = made.feed.training.last
    with sqlite3.connect("data/replay.db") as database:
        stored = database.execute("SELECT count(*) FROM transitions").fetchone()[0]
    assert rows + made.feed.held_out.last == stored
    assert made.feed.held_out.last > 0
    held_out = {made.feed.held_out.gather(np.array([row])).episode[0] for row in range(made.feed.held_out.last)}
    trained = {made.feed.training.gather(np.array([row])).episode[0] for row in range(rows)}
    assert not held_out & trained
    seen = np.zeros((rows, made.info.obs_size), bool)
    every = made.feed.training.gather(np.arange(rows)).observation
    drawn_rows = np.concatenate([made.batch(step, Shard(0, 1)).observation.numpy() for step in range(400)])
    distinct = {row.tobytes() for row in drawn_rows}
    assert {row.tobytes() for row in every} == distinct, "3,200 draws of some 400 rows reach oldest and newest"
    assert seen.shape[0] == rows


def test_the_parts_of_a_batch_are_the_batch(workplace):
    made = objective(workplace / "run")
    whole = made.batch(3, Shard(0, 1))
    parts = [made.batch(3, Shard(index, 4)) for index in range(4)]
    for name in ("observation", "policy", "value"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


def test_a_game_that_only_the_database_describes_has_a_net_and_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    info = GameInfo("gobang", "Gobang", 5, 5, 25, 77, 50)
    random = np.random.default_rng(0)
    with Replay.open("data/replay.db", create=True) as replay:
        replay.upsert_metadata(info)
    with sqlite3.connect("data/replay.db") as database:
        for episode in range(20):
            for step in range(5):
                observation = np.zeros(77, "<f4")
                observation[50:75] = 1.0
                observation[75 + step % 2] = 1.0
                observation[random.integers(0, 50)] = 1.0
                policy = np.full(25, 1 / 25, "<f4").tobytes()
                last = step == 4
                database.execute(
                    "INSERT INTO transitions (id, env_id, episode_id, step_number, state, action, next_state,"
                    " observation, next_observation, reward, done, timestamp, policy_probs, mcts_value, game_outcome)"
                    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    [
                        f"x-ep-{episode}-1-step-{step}", "gobang", f"x-ep-{episode}-1", step, b"s", b"\x03\0\0\0", b"t",
                        observation.tobytes(), observation.tobytes(), 1.0 if last else 0.0, int(last), 1, policy, 0.1,
                        (-1.0) ** (4 - step),
                    ],
                )  # fmt: skip
    assert train("--env-id", "gobang", "--steps", "3", "--batch-size", "8", "--checkpoint-interval", "3") == 0
    session = onnxruntime.InferenceSession("data/models/latest.onnx", providers=["CPUExecutionProvider"])
    logits, value = session.run(None, {"observation": np.zeros((2, 77), np.float32)})
    assert logits.shape == (2, 25)
    assert value.shape == (2, 1)


def test_a_game_that_nothing_describes_is_told_by_name(workplace, capsys):
    assert train("--env-id", "conect4") == 1
    assert "does not describe the game 'conect4'" in capsys.readouterr().err


def test_the_reference_nets_have_the_sizes_of_the_contract():
    for env_id, kind, width, depth, low, high in (
        ("tictactoe", "mlp", 128, 2, 25_000, 40_000),
        ("connect4", "tower", 128, 4, 1.1e6, 1.3e6),
        ("othello", "tower", 256, 6, 6.9e6, 7.3e6),
    ):
        config = net_config(AlphaZeroRecipe(), find_game(env_id))
        assert (config.kind, config.width, config.depth) == (kind, width, depth)
        from clew.models.policy_value import PolicyValueNet

        assert low < sum(parameter.numel() for parameter in PolicyValueNet(config).parameters()) < high


def newest_run(folder: str = "runs") -> Path:
    return max(
        (path.parent for path in Path(folder).glob("*/run_manifest.json")), key=lambda path: path.stat().st_mtime
    )


def bits(run: Path, step: int) -> dict[str, bytes]:
    folder = run / "checkpoints" / f"step_{step:08d}"
    return {
        f"{name}/{key}": value.tobytes()
        for name in ("model", "optimizer")
        for key, value in load_file(folder / f"{name}.safetensors").items()
    } | {"metrics": (run / "metrics.jsonl").read_bytes()}


@pytest.mark.parametrize("kind", ["", "--average-decay 0.9 --kind tower --depth 1"])
def test_a_resumed_run_on_the_same_database_goes_on_to_the_same_bits(workplace, kind):
    flags = f"--steps 30 --batch-size 16 --checkpoint-interval 10 --eval-interval 10 {kind}"
    assert train(flags, "--runs-dir whole --model-dir m1 --stats s1.json") == 0
    whole = bits(newest_run("whole"), 30)
    assert train(flags, "--runs-dir broken --model-dir m2 --stats s2.json") == 0
    run = newest_run("broken")
    # Newer rows have come meanwhile: the marks of the run say that they were not there at those steps.
    fill(Path("data/replay.db"), games=10, seed=9, actor="late")
    assert main(["resume", str(run), "--checkpoint", "10"]) == 0
    again = bits(run, 30)
    assert again.keys() == whole.keys()
    for name, value in whole.items():
        assert again[name] == value, name


def test_two_processes_have_the_losses_of_one(workplace):
    """The perceptron to the digit; the tower normalises each process's part by itself, so it only has to go through."""
    flags = "--threads 1 --compile no --precision float32 --steps 6 --batch-size 8 --log-every 1 --eval-games 2"
    flags += " --eval-interval 6 --checkpoint-interval 6"
    for kind, exact in (("mlp", True), ("tower", False)):
        runs = {}
        for name in ("one", "two"):
            where = f"--runs-dir {kind}-{name} --model-dir {kind}-{name} --stats {kind}-{name}.json"
            arguments = f"train alphazero --kind {kind} --width 8 --depth 1 {flags} {where}".split()
            if name == "one":
                assert main(arguments) == 0
            else:
                both = two_clews(*arguments)
                assert [ended.returncode for ended in both] == [0, 0], both
            runs[name] = losses(newest_run(f"{kind}-{name}"))
        assert len(runs["one"]) == len(runs["two"]) == 6
        if exact:
            assert runs["two"] == pytest.approx(runs["one"], abs=1e-5)


def test_model_files_are_the_contract_s_and_one_always_stays(workplace):
    assert train("--steps 40 --batch-size 8 --checkpoint-interval 10 --max-checkpoints 1 --start-step 100") == 0
    names = sorted(path.name for path in Path("data/models").iterdir())
    assert [name for name in names if name.startswith("model_step")] == ["model_step_000140.onnx"]
    assert "latest.onnx" in names
    assert (Path("data/models/latest.onnx").stat().st_mode & 0o444) == 0o444
    assert Path("data/models/latest.onnx").read_bytes() == Path("data/models/model_step_000140.onnx").read_bytes()


def test_the_net_that_is_published_is_the_average_where_one_is_kept(workplace):
    flags = "--steps 20 --batch-size 8 --checkpoint-interval 20 --average-decay 0.95 --kind tower --depth 1"
    assert train(flags) == 0
    folder = newest_run() / "checkpoints/step_00000020"
    averaged = load_file(folder / "model.safetensors")
    trained = {
        name.removeprefix("trained/"): value
        for name, value in load_file(folder / "optimizer.safetensors").items()
        if name.startswith("trained/")
    }
    assert trained.keys() == {name for name in averaged if not name.endswith("num_batches_tracked")}
    made = objective(workplace / "run", net={"kind": "tower", "depth": 1})
    observations = made.sample_observations()
    session = onnxruntime.InferenceSession("data/models/latest.onnx")
    published = session.run(None, {session.get_inputs()[0].name: observations})[0]
    differences = []
    for weights in (averaged, averaged | trained):
        made.net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        made.net.eval()
        with torch.inference_mode():
            logits, _ = made.net(torch.from_numpy(observations))
        differences.append(np.abs(logits.numpy() - published).max())
    assert differences[0] < 1e-4 < differences[1]


def test_statistics_have_every_key_that_a_page_reads(workplace):
    assert train("--steps 20 --batch-size 8 --checkpoint-interval 10 --eval-interval 10 --stats-interval 5") == 0
    stats = json.loads(Path("data/stats.json").read_text())
    assert set(stats) == {
        "step", "total_steps", "total_loss", "policy_loss", "value_loss", "learning_rate", "samples_seen",
        "replay_buffer_size", "last_checkpoint", "timestamp", "env_id", "history", "last_eval", "eval_history",
        "best_model",
    }  # fmt: skip
    assert (stats["step"], stats["total_steps"], stats["samples_seen"], stats["env_id"]) == (20, 20, 160, "tictactoe")
    assert [point["step"] for point in stats["history"]] == [5, 10, 15, 20]
    assert set(stats["history"][0]) == {"step", "total_loss", "value_loss", "policy_loss", "learning_rate", "grad_norm"}
    assert stats["last_checkpoint"] == "data/models/model_step_000020.onnx"
    assert len(stats["eval_history"]) == 2
    assert stats["eval_history"][-1] == stats["last_eval"]
    assert set(stats["last_eval"]) == {
        "step", "win_rate", "draw_rate", "loss_rate", "games_played", "avg_game_length", "opponent",
        "opponent_iteration", "became_new_best", "current_iteration", "timestamp",
    }  # fmt: skip
    crowned = any(record["became_new_best"] for record in stats["eval_history"])
    assert crowned == Path("data/models/best.onnx").is_file() == (stats["best_model"] is not None)


def test_history_is_thinned_with_age_and_keeps_its_ends():
    history = [{"step": step} for step in range(5000)]
    kept = [point["step"] for point in History(history).points()]
    assert kept[0] == 0
    assert kept[-100:] == list(range(4900, 5000))
    assert len(kept) < 700
    gaps = np.diff(kept)
    assert (gaps[:-100] >= 2).mean() > 0.9
    assert len(History(history[:90]).points()) == 90


def test_it_gives_up_waiting_with_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train("--max-wait", "0.2", "--wait-interval", "0.05") == 2
    assert "There is no replay database" in capsys.readouterr().err
    fill(tmp_path / "data/replay.db", games=1)
    assert train("--max-wait", "0.2", "--wait-interval", "0.05", "--batch-size", "64") == 2
    said = capsys.readouterr().err
    assert "No new row of tictactoe came to data/replay.db within 0.2 s" in said


def test_it_waits_for_a_database_that_an_actor_makes_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    later = threading.Timer(0.5, fill, [tmp_path / "data/replay.db"])
    later.start()
    assert train("--max-wait", "20", "--wait-interval", "0.1", "--steps", "2", "--batch-size", "8") == 0
    later.join()


def test_a_limit_on_reuse_holds_the_learner_back(workplace, capsys):
    with sqlite3.connect("data/replay.db") as database:
        rows = database.execute("SELECT count(*) FROM transitions").fetchone()[0]
    assert train("--max-reuse", "1", "--batch-size", "16", "--max-wait", "0.2", "--steps", "10000") == 2
    capsys.readouterr()
    logged = [json.loads(line) for line in (newest_run() / "metrics.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in logged) * 16 <= rows


def test_clear_replay_begins_with_new_rows_alone_and_a_resume_clears_nothing(workplace, capsys):
    assert train("--clear-replay", "--max-wait", "0.2", "--steps", "4", "--batch-size", "8") == 2
    with Replay.open("data/replay.db") as replay:
        assert replay.count("tictactoe") == 0
    fill(Path("data/replay.db"), games=20, seed=4, actor="new")
    with Replay.open("data/replay.db") as replay:
        before = replay.count("tictactoe")
    assert main(["resume"]) == 0
    with Replay.open("data/replay.db") as replay:
        assert replay.count("tictactoe") == before


def test_cleanup_leaves_the_window(workplace):
    flags = "--steps 10 --batch-size 8 --log-interval 5 --replay-window 50 --replay-cleanup-interval 5"
    assert train(flags) == 0
    with Replay.open("data/replay.db") as replay:
        assert 50 <= replay.count("tictactoe") < 65


def test_a_database_that_was_moved_is_named_when_its_run_goes_on(workplace, capsys):
    assert train("--steps 20 --batch-size 8 --checkpoint-interval 10 --eval-games 0") == 0
    Path("data/replay.db").rename("elsewhere.db")
    run = str(newest_run())
    assert main(["resume", run, "--checkpoint", "10", "--data-dir", "data"]) == 2
    assert "is of alphazero, whose recipe has no data_dir" in capsys.readouterr().err
    assert main(["resume", run, "--checkpoint", "10", "--db", "elsewhere.db"]) == 0
    assert "finished at step 20" in capsys.readouterr().err


def test_the_rows_are_there_until_the_run_that_clears_them_is(workplace, monkeypatch):
    """What fails while the run's folder is made leaves the rows; what fails behind it leaves a run that clears them."""
    from clew.objectives.alphazero import hooks
    from clew.training import launch

    def count() -> int:
        with Replay.open("data/replay.db") as replay:
            return replay.count("tictactoe")

    before = count()
    flags = "--clear-replay --steps 4 --batch-size 8 --max-wait 0.2"

    def fail(*arguments, **settings):
        raise RuntimeError("a disk that is full")

    with monkeypatch.context() as broken:
        broken.setattr(launch, "create_run", fail)
        assert train(flags) == 1
    assert count() == before
    with monkeypatch.context() as broken:
        broken.setattr(hooks.TakingIn, "on_begin", fail)
        assert train(flags) == 1
    assert count() == before
    assert main(["resume", "--checkpoint", "latest"]) == 2
    assert count() == 0
