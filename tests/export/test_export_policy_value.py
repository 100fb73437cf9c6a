"""A checkpoint of a policy/value net as a bundle: verified, with its origin and hashes, loadable as it stands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from clew.bundle.policy_value import PolicyValueModel
from clew.core import files
from clew.core.errors import BundleError, CheckpointError, UsageError
from clew.export import policy_value
from clew.export.onnx_policy_value import evaluate_in_torch
from clew.export.policy_value import export_policy_value
from clew.export.source import Source, find_source, verdict
from clew.games.replay.window import Window
from clew.games.rules import find_game
from clew.games.self_play import SelfPlay
from clew.recipes.alphazero import Actor, AlphaZeroRecipe
from clew.runs.folder import Evidence, Run, create_run
from clew.training.checkpoint import save_checkpoint
from small_nets import observations, small_net

DESCRIBED = {"family": "policy_value", **asdict(small_net().config), "env_id": "tictactoe"}
RECIPE = {"name": "player", "outputs": {"start_step": 100}, "training": {"checkpoint_every": 10}}


def saved(folder: Path, described: object = DESCRIBED, net: torch.nn.Module | None = None) -> Path:
    """A checkpoint of step 20."""
    weights = (net or small_net()).state_dict()
    return save_checkpoint(folder, step=20, model=weights, optimizer={}, state={"model": described}, best=True, keep=1)


@pytest.fixture
def run(tmp_path) -> Run:
    made = create_run(tmp_path / "runs", AlphaZeroRecipe.model_validate(RECIPE), Evidence("replay", "r.db", "e" * 64))
    saved(made.checkpoints)
    return made


def export(run: Run, folder: Path) -> dict:
    return export_policy_value(find_source(str(run.folder)), folder)


def test_an_export_gives_what_the_net_gives_and_says_where_it_comes_from(run, tmp_path):
    manifest = export(run, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bundle.json", "model.onnx"]
    assert files.read_json(tmp_path / "out/bundle.json", what="a manifest") == manifest
    model = PolicyValueModel(tmp_path / "out")
    model.check_fits("tictactoe", obs_size=29, num_actions=9)
    for ours, theirs in zip(
        model.evaluate(observations()), evaluate_in_torch(small_net(), observations()), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert manifest["files"] == {"model.onnx": files.sha256_of_file(tmp_path / "out/model.onnx")}
    assert (manifest["family"], manifest["run_id"], manifest["checkpoint"]["step"]) == ("games", run.run_id, 20)
    assert manifest["model"] == DESCRIBED
    assert "equal policy logits argmax 1" in verdict(manifest["parity"])
    told = {name: model.metadata[name] for name in ("env_id", "run", "recipe_sha256", "step", "iteration")}
    assert told == {
        "env_id": "tictactoe",
        "run": run.folder.name,
        "recipe_sha256": run.manifest["recipe_sha256"],
        "step": "120",
        "iteration": "2",
    }


def test_a_checkpoint_that_was_copied_out_of_its_run_is_exported(tmp_path):
    source = find_source(str(saved(tmp_path / "c")))
    manifest = export_policy_value(source, tmp_path / "out")
    assert manifest["run_id"] is None
    assert PolicyValueModel(tmp_path / "out" / "model.onnx").metadata["step"] == "20"


def test_it_is_compared_on_positions_that_the_run_trained_on(run, tmp_path, monkeypatch):
    game = find_game("tictactoe")
    play = SelfPlay(game, Actor(lanes=8, simulations=2), actor="a", began=0, seed=0)
    rows = []
    while len(rows) < 50:
        rows += [row for episode in play.step(None, timestamp=0) for row in episode]
    info = policy_value.GameInfo(**{name: getattr(game, name) for name in policy_value.GameInfo.__dataclass_fields__})
    window = Window.open(run.folder / "replay" / "training", info)
    window.extend(rows)
    held = {row.tobytes() for row in window.gather(np.arange(window.last)).observation}
    window.close()
    seen = []
    publish = policy_value.publish_policy_value
    monkeypatch.setattr(
        policy_value,
        "publish_policy_value",
        lambda net, path, batch, told: seen.append(batch) or publish(net, path, batch, told),
    )
    export(run, tmp_path / "out")
    assert {row.tobytes() for row in seen[0]} <= held
    (run.folder / "replay/training/rows.bin").write_bytes(b"damaged")
    export(run, tmp_path / "again")
    assert not {row.tobytes() for row in seen[1]} <= held


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"family": "gpt"}, "of the family 'gpt'"),
        ({"kind": "cnn"}, "its 'kind' is cnn"),
        ({"width": -1}, "its 'width' is -1"),
        ({"width": True}, "its 'width' is True"),
        ({"depth": 10**6}, "no network has such sizes"),
        ({"obs_size": 0}, "no network has such sizes"),
        ({"legal_mask_offset": 25}, "no network has such sizes"),
        ({"board_width": 2**31 - 1, "board_height": 2**31 - 1, "legal_mask_offset": 0}, "has shape|no network"),
        ({"kind": "tower", "board_width": 0}, "no network has such sizes|lacks"),
        ({"width": 32}, "has shape"),
    ],
)
def test_a_checkpoint_that_describes_another_net_is_refused(tmp_path, changes, sentence):
    path = saved(tmp_path / "c", DESCRIBED | changes)
    with pytest.raises(CheckpointError, match=sentence):
        export_policy_value(find_source(str(path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_state_that_names_no_model_is_refused(tmp_path):
    for described in (None, [], {"family": "policy_value"}):
        path = saved(tmp_path / "c", described)
        with pytest.raises(CheckpointError, match=r"does not (say|describe)"):
            export_policy_value(Source("a", path, {"step": 20}), tmp_path / "out")


def test_a_net_that_diverged_is_not_published(tmp_path):
    net = small_net()
    with torch.no_grad():
        net.body.value.bias.fill_(float("nan"))
    path = saved(tmp_path / "c", net=net)
    with pytest.raises(BundleError, match=r"out/model\.onnx was not published: The weight 'body\.value\.bias'"):
        export_policy_value(find_source(str(path)), tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["c"]


def test_another_format_is_refused_by_its_name(run, tmp_path):
    with pytest.raises(UsageError, match="exported as onnx, not as 'huggingface'"):
        export_policy_value(find_source(str(run.folder)), tmp_path / "out", "huggingface")
