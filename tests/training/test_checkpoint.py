"""Checkpoints: whole, verified, pruned, and pointed at only when they are on the disk."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from clew.core import files
from clew.core.errors import CheckpointError, ClewError
from clew.runs.checkpoints import drop_later, find_checkpoint
from clew.training import checkpoint
from clew.training.checkpoint import read_checkpoint, save_checkpoint

MODEL = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(4, dtype=torch.int64)}
OPTIMIZER = {"a/exp_avg": torch.full((2, 3), 0.1), "a/step": torch.tensor(3.0)}


def save(folder, step, *, best=False, keep=3):
    return save_checkpoint(
        folder, step=step, model=MODEL, optimizer=OPTIMIZER, state={"note": step}, best=best, keep=keep
    )


def steps(folder):
    return sorted(int(path.name[5:]) for path in folder.glob("step_*"))


def pointed(folder):
    return {
        name: json.loads((folder / f"{name}.json").read_text())["step"]
        for name in ("latest", "best")
        if (folder / f"{name}.json").is_file()
    }


def test_what_was_saved_is_read_back_to_the_bit(tmp_path):
    found = read_checkpoint(save(tmp_path, 7))
    for theirs, ours in ((found.model, MODEL), (found.optimizer, OPTIMIZER)):
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[name], ours[name]) and theirs[name].dtype == ours[name].dtype for name in ours)
    assert (found.state["step"], found.state["note"]) == (7, 7)


def test_the_same_tensors_give_the_same_bytes_in_any_order(tmp_path):
    one = save(tmp_path, 1)
    other = save_checkpoint(
        tmp_path, step=2, model=dict(reversed(MODEL.items())), optimizer=OPTIMIZER, state={}, best=False, keep=3
    )
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    for step in range(1, 7):
        save(tmp_path, step, best=step == 2, keep=2)
    assert steps(tmp_path) == [2, 5, 6]
    assert pointed(tmp_path) == {"latest": 6, "best": 2}


def test_keeping_one_leaves_one_when_it_is_the_best(tmp_path):
    for step in range(1, 5):
        save(tmp_path, step, best=True, keep=1)
    assert steps(tmp_path) == [4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.json", "latest.json", "step_00000004"]


def test_a_checkpoint_is_found_by_pointer_or_step(tmp_path):
    save(tmp_path, 4, best=True)
    save(tmp_path, 8)
    found = [find_checkpoint(tmp_path, which).name for which in ("latest", "best", "4", "step_00000008")]
    assert found == ["step_00000008", "step_00000004", "step_00000004", "step_00000008"]


def test_a_checkpoint_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(CheckpointError, match="holds no latest checkpoint yet"):
        find_checkpoint(tmp_path)
    save(tmp_path, 4)
    save(tmp_path, 8)
    (tmp_path / "step_copy").mkdir()
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*step_00000005\. Steps that are there: 4, 8\."):
        find_checkpoint(tmp_path, "5")


@pytest.mark.parametrize("content", ['{"folder": "../elsewhere"}', '{"folder": 3}', "[]"])
def test_a_pointer_to_nowhere_is_named(tmp_path, content):
    save(tmp_path, 4)
    (tmp_path / "latest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"latest\.json names no checkpoint folder"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "altered", "removed"])
def test_a_damaged_file_is_named_with_the_checkpoint_that_may_serve(tmp_path, name, damage):
    save(tmp_path, 4)
    file = save(tmp_path, 8) / name
    content = file.read_bytes()
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    said = rf"lacks {name}" if damage == "removed" else rf"{name} is truncated or was altered"
    with pytest.raises(CheckpointError, match=rf"{said}.* Resume from another one with --checkpoint STEP; there are 4"):
        read_checkpoint(find_checkpoint(tmp_path))
    assert read_checkpoint(find_checkpoint(tmp_path, "4")).state["step"] == 4


def test_a_damaged_optimizer_does_not_hinder_who_needs_the_weights_alone(tmp_path):
    path = save(tmp_path, 4)
    (path / "optimizer.safetensors").unlink()
    assert read_checkpoint(path, with_optimizer=False).model.keys() == MODEL.keys()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not the state of a checkpoint: it is not valid JSON"),
        ("{}", "is not the state of a Clew checkpoint of format 1"),
        ('{"format": 99, "sha256": {}}', "is not the state of a Clew checkpoint of format 1"),
        (None, "is not a checkpoint: it has no state.json"),
    ],
)
def test_a_foreign_folder_is_named(tmp_path, content, said):
    path = save(tmp_path, 4)
    (path / "state.json").unlink()
    if content is not None:
        (path / "state.json").write_text(content)
    with pytest.raises(ClewError, match=said):
        read_checkpoint(path)


def test_a_foreign_file_under_a_true_hash_is_named(tmp_path):
    path = save(tmp_path, 4)
    (path / "model.safetensors").write_bytes(b"no tensors at all")
    state = json.loads((path / "state.json").read_text())
    state["sha256"]["model.safetensors"] = files.sha256_of_file(path / "model.safetensors")
    (path / "state.json").write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        read_checkpoint(path)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_has_diverged_is_no_place_to_go_on_from(tmp_path, number):
    path = save(tmp_path, 7)
    checkpoint.check_finite(MODEL | OPTIMIZER, path)
    with pytest.raises(CheckpointError, match="'a/exp_avg' holds NaN or infinity"):
        checkpoint.check_finite(MODEL | {"a/exp_avg": torch.tensor([1.0, number])}, path)


def test_another_models_weights_are_told_by_the_first_that_differs(tmp_path):
    other = {name: torch.zeros(5, 3) if name == "a" else tensor for name, tensor in MODEL.items()}
    with pytest.raises(CheckpointError, match=r"'a' has shape \[2, 3\], but the recipe's model has \[5, 3\]"):
        checkpoint.check_same_model(MODEL, other, tmp_path)
    with pytest.raises(CheckpointError, match="lacks the weight 'c'"):
        checkpoint.check_same_model(MODEL, MODEL | {"c": MODEL["a"]}, tmp_path)
    with pytest.raises(CheckpointError, match="has the weight 'b', which the recipe's model lacks"):
        checkpoint.check_same_model(MODEL, {"a": MODEL["a"]}, tmp_path)


@pytest.mark.parametrize("moment", ["model", "state", "folder", "latest", "best"])
def test_a_kill_at_any_moment_of_saving_leaves_a_checkpoint_that_loads(tmp_path, monkeypatch, moment):
    save(tmp_path, 4, best=True)
    real_json, real_save, real_rename = files.write_json, checkpoint.save_file, type(tmp_path).rename

    def kill_json(path, value):
        if path.name == f"{moment}.json":
            raise KeyboardInterrupt
        real_json(path, value)

    def kill_rename(path, target):
        if moment == "folder" and target.name == "step_00000008":
            raise KeyboardInterrupt
        return real_rename(path, target)

    def kill_save(tensors, path):
        if moment == "model":
            raise KeyboardInterrupt
        real_save(tensors, path)

    # A kill runs no clean-up.
    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **named: None)
    monkeypatch.setattr(files, "write_json", kill_json)
    monkeypatch.setattr(type(tmp_path), "rename", kill_rename)
    monkeypatch.setattr(checkpoint, "save_file", kill_save)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 8, best=True)
    monkeypatch.undo()

    newest = read_checkpoint(find_checkpoint(tmp_path)).state["step"]
    assert newest == (8 if moment == "best" else 4)
    assert read_checkpoint(find_checkpoint(tmp_path, "best")).state["step"] == 4
    # What a resumed run does before it goes on, and then the same checkpoint again.
    drop_later(tmp_path, newest, best_step=newest)
    assert pointed(tmp_path) == {"latest": newest, "best": newest}
    assert steps(tmp_path) == ([4, 8] if newest == 8 else [4])
    save(tmp_path, 8, best=True)
    assert pointed(tmp_path) == {"latest": 8, "best": 8}
    files.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.json",
        "latest.json",
        "step_00000004",
        "step_00000008",
    ]


def test_going_back_drops_what_came_later_and_points_at_what_was_best_then(tmp_path):
    for step in (4, 8, 12):
        save(tmp_path, step, best=True)
    drop_later(tmp_path, 8, best_step=4)
    assert steps(tmp_path) == [4, 8]
    assert pointed(tmp_path) == {"latest": 8, "best": 4}


def test_going_back_to_when_the_best_is_pruned_points_at_none(tmp_path):
    for step in (4, 8, 12):
        save(tmp_path, step, best=step != 8, keep=2)
    assert steps(tmp_path) == [8, 12]
    drop_later(tmp_path, 8, best_step=4)
    assert pointed(tmp_path) == {"latest": 8}


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "latest.json"])
def test_a_full_disk_leaves_the_last_checkpoint_and_no_half_of_a_new_one(tmp_path, monkeypatch, name):
    import errno

    save(tmp_path, 4, best=True)
    real_save, real_bytes = checkpoint.save_file, files.write_bytes

    def full_save(tensors, path):
        if path.name == name:
            path.write_bytes(b"half")
            raise checkpoint.SafetensorError("I/O error: No space left on device (os error 28)")
        real_save(tensors, path)

    def full_bytes(path, content, **settings):
        with files.sentences_for(path, "write"):
            if path.name == name:
                raise OSError(errno.ENOSPC, "No space left on device")
        real_bytes(path, content, **settings)

    monkeypatch.setattr(checkpoint, "save_file", full_save)
    monkeypatch.setattr(files, "write_bytes", full_bytes)
    with pytest.raises(ClewError, match="The disk is full: free some space"):
        save(tmp_path, 8)
    monkeypatch.undo()
    assert pointed(tmp_path) == {"latest": 4, "best": 4}
    assert read_checkpoint(find_checkpoint(tmp_path)).state["step"] == 4
    assert not list(tmp_path.rglob("*.tmp"))
