"""A release holds the newest whole checkpoint of each trainer, byte for byte, with the recipe it was trained by."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess

import pytest

from clew.cli.main import main
from clew.core.errors import ClewError
from clew.recipes import base
from clew.recipes.next_token import NextTokenRecipe
from clew.runs import releasable, release
from clew.runs.release import make
from clew.runs.released import diff, verify
from small_releases import tree, write_bundle, write_checkpoint, write_run


@pytest.fixture
def root(tmp_path):
    """Three trainers: a run itself, a folder of two runs, and a bundle."""
    folder = tmp_path / "checkpoints"
    write_run(folder / "supervised", 10, 20)
    write_run(folder / "rl" / "first", 5)
    write_run(folder / "rl" / "second", 3, 6, **{"training.learning_rate": 0.02})
    write_bundle(folder / "guide")
    return folder


def entries(made):
    return {entry["name"]: entry for entry in made.manifest["entries"]}


def test_the_newest_checkpoint_of_each_trainer_is_copied_with_its_recipe(root, tmp_path):
    made = make(root, tmp_path / "exports", seed=5)
    assert re.fullmatch(r"export_\d{8}_\d{6}", made.folder.name)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["checkpoint_count"] == 3
    assert (manifest["root"], manifest["seed"]) == (str(root), 5)
    assert set(entries(made)) == {"guide", "rl", "supervised"}
    sources = {
        "supervised": root / "supervised/checkpoints/step_00000020/model.safetensors",
        "rl": root / "rl/second/checkpoints/step_00000006/model.safetensors",
        "guide": root / "guide/model.onnx",
    }
    for name, source in sources.items():
        entry = entries(made)[name]
        copy = made.folder / entry["export_path"]
        assert entry["source_path"] == str(source)
        assert copy.read_bytes() == source.read_bytes()
        assert entry["size"] == source.stat().st_size
        # sha256sum is the independent source.
        told = subprocess.run(["sha256sum", copy], capture_output=True, text=True, check=True).stdout.split()[0]
        assert entry["sha256"] == told
    for name in ("optimizer.safetensors", "state.json"):
        newest = root / "rl/second/checkpoints/step_00000006"
        assert (made.folder / "rl" / name).read_bytes() == (newest / name).read_bytes()


def test_the_config_of_an_entry_is_the_recipe_of_its_run_and_not_a_default(root, tmp_path):
    made = make(root, tmp_path / "exports")
    config = entries(made)["rl"]["config"]
    copy = made.folder / config["path"]
    assert copy.read_bytes() == (root / "rl/second/recipe.yaml").read_bytes()
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == config["sha256"]
    recipe = base.validate(NextTokenRecipe, base.read_yaml(copy), "the copy")
    assert recipe.training.learning_rate == 0.02
    assert base.sha256(recipe) == entries(made)["rl"]["recipe_sha256"]
    assert config["sha256"] != entries(made)["supervised"]["config"]["sha256"]
    told = base.read_yaml(made.folder / entries(made)["guide"]["config"]["path"])
    assert told == {"name": "guide", "training": {"max_steps": 7}}


def test_latest_json_points_at_the_newest_of_two_releases_of_one_second(root, tmp_path, monkeypatch):
    class Stopped(release.datetime):
        @classmethod
        def now(cls, zone):
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=zone)

    monkeypatch.setattr(release, "datetime", Stopped)
    names = [make(root, tmp_path / "exports").folder.name for _ in range(3)]
    assert names == ["export_20260102_030405", "export_20260102_030405_2", "export_20260102_030405_3"]
    assert json.loads((tmp_path / "exports/latest.json").read_text())["export"] == names[-1]
    assert all(verify(tmp_path / "exports" / name).good for name in names)
    assert verify(tmp_path / "exports").folder.name == names[-1]


@pytest.mark.parametrize("what", ["missing", "empty", "no checkpoint", "only a file"])
def test_a_root_without_checkpoints_exits_1_and_touches_nothing(tmp_path, capsys, what):
    first, folder = tmp_path / "first", tmp_path / "checkpoints"
    write_run(first / "supervised", 1)
    make(first, tmp_path / "exports")
    before = tree(tmp_path / "exports")
    if what != "missing":
        folder.mkdir()
    if what == "no checkpoint":
        write_run(folder / "supervised")
    if what == "only a file":
        (folder / "notes.txt").write_text("nothing here")
    assert main(["release", "--root", str(folder), "--output", str(tmp_path / "exports")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clew: error: There is no ")
    assert "Traceback" not in said
    assert tree(tmp_path / "exports") == before
    assert main(["release", "--root", str(folder), "--output", str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", ["cut short", "no optimizer", "no state", "a bit"])
def test_of_a_damaged_newest_checkpoint_the_last_whole_one_is_taken_and_that_is_said(root, tmp_path, damage, capsys):
    newest = root / "supervised/checkpoints/step_00000020"
    model = newest / "model.safetensors"
    if damage == "cut short":
        model.write_bytes(model.read_bytes()[:50])
    elif damage == "a bit":
        model.write_bytes(bytes([model.read_bytes()[0] ^ 1]) + model.read_bytes()[1:])
    else:
        (newest / ("optimizer.safetensors" if damage == "no optimizer" else "state.json")).unlink()
    assert main(["release", "--root", str(root), "--output", str(tmp_path / "exports"), "--json"]) == 0
    out, err = capsys.readouterr()
    manifest = json.loads(out.splitlines()[-1])
    entry = next(entry for entry in manifest["entries"] if entry["name"] == "supervised")
    assert entry["step"] == 10
    assert f"{newest} is not whole and is passed over for an older one" in err
    assert any("step_00000020" in note for note in manifest["notes"])


def test_a_trainer_none_of_whose_checkpoints_is_whole_stops_the_release(root, tmp_path):
    for path in root.glob("supervised/checkpoints/*/model.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(ClewError, match=r"None of the checkpoints in .*supervised.* is whole"):
        make(root, tmp_path / "exports")
    assert not (tmp_path / "exports").exists()


def test_a_checkpoint_that_is_being_written_is_not_taken(root, tmp_path):
    started = root / "supervised/checkpoints/.step_00000030.abc.tmp"
    shutil.copytree(root / "supervised/checkpoints/step_00000020", started)
    made = make(root, tmp_path / "exports")
    assert entries(made)["supervised"]["step"] == 20


def test_a_checkpoint_past_the_pointer_is_of_an_abandoned_training(root, tmp_path):
    pointer = root / "supervised/checkpoints/latest.json"
    pointer.write_text(json.dumps({"folder": "step_00000010", "step": 10}))
    assert entries(make(root, tmp_path / "exports"))["supervised"]["step"] == 10


def test_a_recipe_that_was_edited_after_the_run_began_is_not_released_as_the_one_used(root, tmp_path):
    recipe = root / "supervised/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seed: ", "seed: 9"))
    with pytest.raises(ClewError, match=r"was edited after the run began"):
        make(root, tmp_path / "exports")


def test_an_altered_bundle_is_refused(root, tmp_path):
    (root / "guide/model.onnx").write_bytes(b"other")
    with pytest.raises(ClewError, match=r"model\.onnx is missing or was altered"):
        make(root, tmp_path / "exports")


def test_a_bundle_inside_a_run_is_released_beside_its_checkpoint(root, tmp_path):
    write_bundle(root / "supervised" / "checkpoint-final")
    assert {"supervised", "supervised-bundle"} <= set(entries(make(root, tmp_path / "exports")))


def test_what_a_language_model_cannot_be_used_without_goes_with_its_checkpoint(root, tmp_path):
    (root / "supervised/tokenizer.json").write_text("{}")
    made = make(root, tmp_path / "exports")
    assert (made.folder / "supervised/tokenizer.json").read_text() == "{}"
    assert "supervised/tokenizer.json" in entries(made)["supervised"]["files"]


def test_the_newest_of_several_bundles_is_taken(tmp_path):
    for day in ("03", "07", "05"):
        write_bundle(tmp_path / "root/nets" / f"net-{day}", created_at=f"2026-01-{day}T00:00:00+00:00")
    entry = entries(make(tmp_path / "root"))["nets"]
    assert entry["source_path"] == str(tmp_path / "root/nets/net-07/model.onnx")
    assert (tmp_path / "exports/latest.json").is_file()


def test_a_folder_of_checkpoints_without_a_run_is_released_without_a_recipe_and_that_is_said(tmp_path):
    for step in (4, 12, 8):
        write_checkpoint(tmp_path / "root/loose", step)
    (tmp_path / "root/loose/latest.json").unlink()
    made = make(tmp_path / "root", tmp_path / "exports")
    assert entries(made)["loose"]["config"] is None
    assert entries(made)["loose"]["step"] == 12
    assert "lies in no run" in made.notes[0]


def test_exports_inside_the_root_are_not_released_again(root):
    make(root, root / "exports")
    second = make(root, root / "exports")
    third = make(root, root)
    assert set(entries(second)) == set(entries(third)) - {"exports"} == {"guide", "rl", "supervised"}


def test_a_checkpoint_that_a_training_removes_meanwhile_is_followed_by_the_next(root, tmp_path, monkeypatch):
    opened = releasable.opened
    newest = root / "supervised/checkpoints/step_00000020"

    def vanishing(path):
        if path == newest / "optimizer.safetensors" and newest.exists():
            write_checkpoint(newest.parent, 30)
            shutil.rmtree(newest)
        return opened(path)

    monkeypatch.setattr(release, "opened", vanishing)
    made = make(root, tmp_path / "exports")
    assert entries(made)["supervised"]["step"] == 30
    assert [path.name for path in (tmp_path / "exports").iterdir() if path.name.startswith(".")] == []


def test_copies_are_read_again_and_a_disk_that_lies_is_noticed(root, tmp_path, monkeypatch):
    def lying(read, written, length):
        written.write(read.read()[:-1] + b"?")

    monkeypatch.setattr(release.shutil, "copyfileobj", lying)
    with pytest.raises(ClewError, match=r"changed while it was copied, or the disk returns other bytes"):
        make(root, tmp_path / "exports")
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_foreign_latest_json_is_not_replaced(root, tmp_path):
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports/latest.json").write_text('{"mine": 1}')
    with pytest.raises(ClewError, match=r"is not the pointer of a release"):
        make(root, tmp_path / "exports")
    assert tree(tmp_path / "exports") == {"latest.json": b'{"mine": 1}'}


def damaged(export, what):
    """Damage an export in one way; a word of the sentence that is to be said."""
    weights = export / "rl/model.safetensors"
    manifest = json.loads((export / "manifest.json").read_text())
    if what == "missing":
        weights.unlink()
        return "rl/model.safetensors is missing"
    if what == "altered":
        weights.write_bytes(weights.read_bytes()[:-1] + bytes([weights.read_bytes()[-1] ^ 1]))
        return "rl/model.safetensors was altered"
    if what == "shorter":
        weights.write_bytes(b"")
        return "it has 0 bytes, and had 200"
    if what == "extra":
        (export / "rl/more").mkdir()
        return "rl/more is extra"
    if what == "link":
        shutil.copy(weights, export.parent / "aside")
        weights.unlink()
        weights.symlink_to(export.parent / "aside")
        return "rl/model.safetensors is no file of its own"
    if what == "recipe":
        (export / "rl/recipe.yaml").write_text("name: other\n")
        return "rl/recipe.yaml was altered"
    if what == "count":
        manifest["checkpoint_count"] = 7
    if what == "hash":
        manifest["entries"][0]["sha256"] = "0" * 64
    if what == "root":
        manifest["root"] = "elsewhere"
    (export / "manifest.json").write_text(json.dumps(manifest))
    return "manifest.json was altered"


@pytest.mark.parametrize("what", ["missing", "altered", "shorter", "extra", "link", "recipe", "count", "hash", "root"])
def test_verify_names_what_is_missing_altered_or_extra(root, tmp_path, capsys, what):
    made = make(root, tmp_path / "exports")
    assert main(["release", "verify", str(made.folder)]) == 0
    assert "whole" in capsys.readouterr().out
    sentence = damaged(made.folder, what)
    assert main(["release", "verify", str(tmp_path / "exports"), "--json"]) == 1
    out = capsys.readouterr().out
    assert sentence in out
    assert json.loads(out.splitlines()[-1])["good"] is False


def test_a_release_that_was_moved_to_another_place_still_verifies(root, tmp_path):
    made = make(root, tmp_path / "exports")
    shutil.copytree(made.folder, tmp_path / "elsewhere" / "named otherwise")
    shutil.rmtree(root)
    assert verify(tmp_path / "elsewhere" / "named otherwise").good


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "rl/../../x", "", "rl//x"])
def test_a_manifest_that_points_out_of_the_export_is_refused(root, tmp_path, place):
    made = make(root, tmp_path / "exports")
    manifest = json.loads((made.folder / "manifest.json").read_text())
    manifest["entries"][0]["export_path"] = place
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ClewError, match=r"is no place in the export"):
        verify(made.folder)


def test_a_folder_that_is_no_release_is_a_sentence(tmp_path, capsys):
    assert main(["release", "verify", str(tmp_path)]) == 2
    assert "is no release" in capsys.readouterr().err


def test_diff_tells_recipe_fields_sizes_and_hashes(root, tmp_path, capsys):
    first = make(root, tmp_path / "exports")
    write_run(root / "rl" / "third", 9, size=300, **{"training.learning_rate": 0.5, "seed": 3})
    shutil.rmtree(root / "guide")
    write_bundle(root / "other")
    second = make(root, tmp_path / "exports")
    found = diff(first.folder, second.folder)
    assert (found.added, found.removed, found.same) == (["other"], ["guide"], ["supervised"])
    changed = found.changed["rl"]
    assert changed["recipe"] == {"name": ["second", "third"], "seed": [42, 3], "training.learning_rate": [0.02, 0.5]}
    assert changed["fields"]["step"] == [6, 9]
    one, other = changed["files"]["model.safetensors"]
    assert (one["size"], other["size"]) == (200, 300)
    assert one["sha256"] != other["sha256"]
    assert main(["release", "diff", str(first.folder), str(tmp_path / "exports"), "--json"]) == 0
    out = capsys.readouterr().out
    assert "1 added, 1 removed, 1 changed, 1 the same" in out
    assert "recipe training.learning_rate: 0.02 -> 0.5" in out
    assert json.loads(out.splitlines()[-1])["changed"]["rl"] == json.loads(json.dumps(changed))


def test_a_release_of_one_run_is_named_after_its_folder(root, tmp_path):
    assert set(entries(make(root / "rl/second", tmp_path / "exports"))) == {"second"}
