"""Wrong input, through the command itself: an exit code, a sentence, and the last good checkpoint still loads."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from clew.cli.main import main
from clew.runs.checkpoints import find_checkpoint
from clew.training.checkpoint import read_checkpoint
from small_runs import clew, clew_command, environment, flags, only_run, outcome, start_clew, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("evidence") / "corpus")


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """A finished run of twelve steps with checkpoints of steps 6, 8 and 12. Copied before it is changed."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", "next_token", *flags(data_dir=corpus, runs_dir=folder)]) == 0
    return only_run(folder)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run in which the last checkpoint was never made."""
    copy = tmp_path / "runs" / finished.name
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "checkpoints" / "step_00000012")
    for name in ("latest", "best"):
        step = {"latest": 8, "best": 6}[name]
        (copy / "checkpoints" / f"{name}.json").write_text(json.dumps({"folder": f"step_{step:08d}", "step": step}))
    return copy


def train(corpus, runs_dir, **changed):
    return ["train", "next_token", *flags(data_dir=corpus, runs_dir=runs_dir, **changed)]


def refused(arguments, capfd, *, code=1) -> str:
    """Run `clew` here; it must fail with `code` and one sentence on stderr, which is returned."""
    capfd.readouterr()
    assert main([str(argument) for argument in arguments]) == code
    said = capfd.readouterr()
    return the_sentence(said.out, said.err)


def the_sentence(out: str, err: str) -> str:
    assert "Traceback" not in out + err
    assert "Clew itself failed" not in err, err
    errors = [line for line in err.splitlines() if line.startswith("clew: ")]
    assert len(errors) == 1, err
    assert err.splitlines()[-1] == errors[0]
    assert errors[0].endswith((".", "?"))
    return errors[0]


def step_of(line) -> int:
    """The step that a line of the screen tells of, which shows only some; 0 for another line."""
    found = re.match(r"step (\d+)/", line)
    return int(found[1]) if found else 0


def loads(run, which="latest") -> int:
    """The step of the checkpoint that `which` names, read and verified."""
    return int(read_checkpoint(find_checkpoint(run / "checkpoints", which)).state["step"])


def test_the_undamaged_copy_resumes_to_the_same_bytes(run, finished):
    assert main(["resume", str(run)]) == 0
    assert outcome(run) == outcome(finished)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_a_truncated_checkpoint(run, finished, capfd, name):
    file = run / "checkpoints" / "step_00000008" / name
    file.write_bytes(file.read_bytes()[:-7])
    said = refused(["resume", run], capfd)
    assert f"{file} is truncated or was altered" in said
    assert "--checkpoint STEP; there are 6" in said
    assert loads(run, "6") == 6
    assert main(["resume", str(run), "--checkpoint", "6"]) == 0
    assert outcome(run) == outcome(finished)


def test_a_truncated_state(run, capfd):
    file = run / "checkpoints" / "step_00000008" / "state.json"
    file.write_bytes(file.read_bytes()[:-20])
    assert f"{file} is not the state of a checkpoint" in refused(["resume", run], capfd)
    assert loads(run, "best") == 6


def test_a_checkpoint_of_another_run(run, corpus, tmp_path, capfd):
    assert main(train(corpus, tmp_path / "other", seed=7)) == 0
    theirs = only_run(tmp_path / "other") / "checkpoints" / "step_00000008"
    shutil.rmtree(run / "checkpoints" / "step_00000008")
    shutil.copytree(theirs, run / "checkpoints" / "step_00000008")
    assert "belongs to another run" in refused(["resume", run], capfd)
    assert loads(run, "best") == 6


def test_a_folder_of_foreign_weights(run, capfd):
    shutil.rmtree(run / "checkpoints" / "step_00000008")
    (run / "checkpoints" / "step_00000008").mkdir()
    (run / "checkpoints" / "step_00000008" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    assert "is not a checkpoint: it has no state.json" in refused(["resume", run], capfd)
    assert loads(run, "6") == 6


def test_weights_of_another_size_to_start_from(run, corpus, tmp_path, capfd):
    said = refused(train(corpus, tmp_path / "new", start_from=run, d_model=24, n_heads=2), capfd)
    assert "has shape [256, 16], but the recipe's model has [256, 24]" in said


def test_an_edited_recipe(run, capfd):
    path = run / "recipe.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert f"{path} was edited after the run began" in refused(["resume", run], capfd)
    path.write_text(whole.replace("batch_size:", "bach_size:"))
    assert "unknown key 'training.bach_size'. Did you mean 'batch_size'?" in refused(["resume", run], capfd, code=2)
    path.write_text(whole)
    assert main(["resume", str(run)]) == 0


def test_a_changed_corpus(run, corpus, tmp_path, capfd):
    changed = tmp_path / "changed"
    shutil.copytree(corpus, changed)
    said = refused(["resume", run, "--data-dir", tmp_path / "nowhere"], capfd)
    assert "nowhere" in said
    (changed / "proof_00004.txt").write_text((changed / "proof_00005.txt").read_text())
    assert "changed since run" in refused(["resume", run, "--data-dir", changed], capfd)
    assert loads(run) == 8
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    assert main(["resume", str(run), "--data-dir", str(moved)]) == 0


def test_a_tokenizer_of_another_vocabulary_on_resume(run, corpus, tmp_path, capfd):
    assert main(train(corpus, tmp_path / "bpe", tokenizer="bpe", vocab_size=300, max_steps=1)) == 0
    other = only_run(tmp_path / "bpe") / "tokenizer.json"
    mine = (run / "tokenizer.json").read_bytes()
    (run / "tokenizer.json").write_bytes(other.read_bytes())
    said = refused(["resume", run], capfd)
    assert "another vocabulary" in said
    (run / "tokenizer.json").write_bytes(mine)
    assert main(["resume", str(run)]) == 0


def test_weights_of_another_tokenizer_to_start_from(corpus, tmp_path, capfd):
    """Two vocabularies of one size: the weights would fit, and every token would mean another."""
    two = write_corpus(tmp_path / "corpus", count=40)
    sizes = {"tokenizer": "bpe", "vocab_size": 280, "max_steps": 2}
    assert main(train(corpus, tmp_path / "one", **sizes)) == 0
    source = only_run(tmp_path / "one")
    said = refused(train(two, tmp_path / "two", start_from=source, seed=3, **sizes), capfd)
    assert "was trained with another tokenizer" in said
    given = sizes | {"tokenizer": source / "tokenizer.json"}
    assert f"--tokenizer {source / 'tokenizer.json'}" in said
    assert main(train(two, tmp_path / "three", start_from=source, **given)) == 0
    assert json.loads((only_run(tmp_path / "three") / "run_manifest.json").read_text())["parent"]


@pytest.mark.parametrize("limit", [12_000, 40_000])
def test_a_disk_that_is_full(run, finished, limit):
    """Files cannot grow past a limit: as a quota does it, in the middle of weights or of the optimiser's state."""
    sizes = sorted(path.stat().st_size for path in (run / "checkpoints" / "step_00000008").iterdir())
    assert sizes[0] < 12_000 < sizes[1] < 40_000 < sizes[2]
    ended = clew("resume", run, file_limit=limit)
    assert ended.returncode == 1, ended.stderr
    assert "The file would grow past the size limit" in the_sentence(ended.stdout, ended.stderr)
    assert loads(run) == 8
    assert not list(run.rglob("*.tmp"))
    assert main(["resume", str(run)]) == 0
    assert outcome(run) == outcome(finished)


def test_a_small_disk_that_fills_up(corpus, tmp_path):
    """A true full disk, where this user may mount one; what it does is compared with the limit above elsewhere."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        # Without the right to mount, the kernel's own always-full device says the same to a write.
        with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            full.write(b"x")
        return
    try:
        ended = clew(*train(corpus, disk / "runs", keep_checkpoints=50, checkpoint_every=1, max_steps=40))
        assert ended.returncode == 1, ended.stderr
        assert os.strerror(errno.ENOSPC) not in ended.stderr
        assert "The disk is full: free some space" in the_sentence(ended.stdout, ended.stderr)
        run = only_run(disk / "runs")
        assert loads(run) >= 1
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_cannot_be_written(corpus, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    said = refused(train(corpus, tmp_path / "file" / "runs"), capfd)
    assert str(tmp_path / "file") in said


@pytest.mark.parametrize("wrong", ["one file", "empty", "missing", "broken"])
def test_a_corpus_that_is_none(tmp_path, capfd, wrong):
    folder = tmp_path / "corpus"
    if wrong == "one file":
        write_corpus(folder, count=1)
    elif wrong == "empty":
        folder.mkdir()
    elif wrong == "broken":
        write_corpus(folder)
        (folder / "proof_00003.txt").write_text("@G\n    a = b\n@P\n")
    said = refused(train(folder, tmp_path / "runs"), capfd)
    assert str(folder) in said
    assert not (tmp_path / "runs").exists(), "it stops before it makes anything"


def test_a_loss_that_diverges(corpus, tmp_path, capfd):
    changed = {"learning_rate": 1e20, "min_learning_rate": 1e20, "clip": 0, "schedule": "constant"}
    said = refused(train(corpus, tmp_path, evaluate_every=100, checkpoint_every=1, **changed), capfd)
    assert "training has diverged" in said
    assert "--learning-rate" in said
    run = only_run(tmp_path)
    assert loads(run) >= 1
    assert json.loads((run / "run_manifest.json").read_text())["status"] == "failed"


def test_ctrl_c(corpus, tmp_path):
    changed = {"max_steps": 100_000, "evaluate_every": 100_000, "checkpoint_every": 100_000}
    process = start_clew(*train(corpus, tmp_path, **changed), stderr=subprocess.PIPE)
    for line in process.stderr:
        if step_of(line) >= 3:
            break
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "the checkpoint of this step is saved. Continue with: clew resume" in said.splitlines()[-1]
    run = only_run(tmp_path)
    assert loads(run) >= 3
    assert json.loads((run / "run_manifest.json").read_text())["status"] == "interrupted"


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("seconds", [0.4, 0.7])
def test_ctrl_c_before_training_began(corpus, tmp_path, seconds):
    process = subprocess.Popen(
        clew_command(*train(corpus, tmp_path)), env=environment(), stderr=subprocess.PIPE, text=True
    )
    # By its own clock and not by the wall's: on a busy machine it would not have got to its first line.
    while processor_seconds(process.pid) < seconds:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "There is no command 'clew trian'. Did you mean 'train'?"),
        (["train", "tactic"], "There is no recipe 'tactic'. Did you mean 'tactics'?"),
        (["train", "next_token", "--bach-size", "3"], "Did you mean --batch-size?"),
        (["train", "next_token", "--device", "warp"], "There is no device 'warp'"),
        (["train", "next_token", "--batch-size", "0"], "--batch-size is 0: input should be greater than or equal to 1"),
        (["train", "next_token", "--learning-rate", "fast"], "could not convert string to float: 'fast'"),
        (["train", "next_token", "--schedule", "cosinus"], "invalid choice 'cosinus'"),
        (["resume", "--chekpoint", "3"], "Did you mean --checkpoint?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_call_that_is_wrong(capfd, arguments, said):
    assert said in refused(arguments, capfd, code=2)


def test_a_batch_that_cannot_be_split(corpus, tmp_path, capfd):
    said = refused(train(corpus, tmp_path, accumulation=3), capfd, code=2)
    assert "batch size 4 cannot be split over 1 processes and 3 micro-batches: make it a multiple of 3" in said


def test_a_checkpoint_that_is_not_there(run, capfd):
    assert "Steps that are there: 6, 8." in refused(["resume", run, "--checkpoint", "7"], capfd)


def test_a_second_process_on_the_same_run(corpus, tmp_path, capfd):
    changed = {"max_steps": 100_000, "evaluate_every": 100_000, "checkpoint_every": 100_000}
    with start_clew(*train(corpus, tmp_path, **changed), stderr=subprocess.PIPE) as first:
        for line in first.stderr:
            if step_of(line) >= 2:
                break
        said = refused(["resume", only_run(tmp_path)], capfd)
        assert "Another process is training" in said
        assert first.poll() is None, "the first one goes on"
        first.kill()


def test_resuming_a_finished_run(finished, capfd):
    before = {path: path.stat().st_mtime_ns for path in (finished / "checkpoints").rglob("*")}
    capfd.readouterr()
    assert main(["resume", str(finished), "--json"]) == 0
    said = capfd.readouterr()
    assert "is finished already, at step 12: there is nothing to resume" in said.err
    assert "step 12/12" not in said.err
    assert json.loads(said.out)["status"] == "finished"
    assert {path: path.stat().st_mtime_ns for path in (finished / "checkpoints").rglob("*")} == before
