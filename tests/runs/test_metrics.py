"""What a run says of itself: lines that a resumed run writes alike, and figures for who looks on."""

from __future__ import annotations

import json

import pytest

from clew.core.errors import CheckpointError, ClewError
from clew.core.evidence import Evidence
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.folder import create_run
from clew.runs.recorder import Recorder


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path, NextTokenRecipe(), Evidence("proof files", "data", "e" * 64))


def recorder(run):
    return Recorder(run, planned_steps=10, items="tokens", shows=False)


def row(step):
    return {"step": step, "loss": 1.0 / step, "learning_rate": 0.1, "grad_norm": 2.0}


def lines(run, name="metrics.jsonl"):
    return [json.loads(line) for line in (run.folder / name).read_text().splitlines()]


def test_metrics_hold_no_clock_and_timing_does(run):
    writer = recorder(run)
    writer.step(row(1), 100)
    writer.evaluation(1, {"bits": 3.0}, improved=True)
    writer.step(row(2), 200)
    writer.close()
    assert lines(run) == [row(1), {"step": 1, "evaluation": {"bits": 3.0}, "improved": True}, row(2)]
    first, second = lines(run, "timing.jsonl")
    assert first.keys() == {"step", "elapsed", "tokens_per_second"}
    assert first["tokens_per_second"] is None
    assert second["tokens_per_second"] > 0


def test_going_back_cuts_what_came_after_and_keeps_the_rest_in_mind(run):
    writer = recorder(run)
    writer.step(row(1), 100)
    writer.evaluation(1, {"bits": 3.0}, improved=True)
    offset = writer.offset()
    assert offset == (run.folder / "metrics.jsonl").stat().st_size
    writer.step(row(2), 200)
    writer.close()
    again = recorder(run)
    again.rewind(offset)
    again.step(row(3), 200)
    again.close()
    assert [each["step"] for each in lines(run)] == [1, 1, 3]
    stats = json.loads((run.folder / "stats.json").read_text())
    assert [each["step"] for each in stats["history"]] == [1, 3]
    assert stats["last_evaluation"]["evaluation"] == {"bits": 3.0}


def test_metrics_that_are_shorter_than_the_checkpoint_says_are_refused(run):
    writer = recorder(run)
    writer.step(row(1), 100)
    offset = writer.offset()
    writer.close()
    (run.folder / "metrics.jsonl").write_text("")
    with pytest.raises(CheckpointError, match=rf"has 0 bytes, fewer than the {offset} it had"):
        recorder(run).rewind(offset)


def test_metrics_that_were_edited_are_named_with_their_line(run):
    writer = recorder(run)
    writer.step(row(1), 100)
    writer.step(row(2), 200)
    offset = writer.offset()
    writer.close()
    path = run.folder / "metrics.jsonl"
    path.write_text(path.read_text().replace('{"step": 2', '{"step" 2 '))
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl:2: not a line of metrics"):
        recorder(run).rewind(offset)


@pytest.mark.parametrize("line", ["[" * 100_000, "null", "{}", "9" * 5000, '{"step": 2, "elapsed": -Infinity}'])
def test_elapsed_time_goes_on_over_a_line_that_is_none(run, line):
    (run.folder / "timing.jsonl").write_text('{"step": 1, "elapsed": 7.0}\n' + line + "\n")
    writer = recorder(run)
    assert 7.0 <= writer.elapsed < 8.0
    writer.close()


def test_elapsed_time_goes_on_over_a_torn_line(run):
    (run.folder / "timing.jsonl").write_text('{"step": 1, "elapsed": 100.5}\n{"step": 2, "elap')
    writer = recorder(run)
    assert 100.5 <= writer.elapsed < 110
    writer.step(row(3), 300)
    writer.close()
    assert [each["step"] for each in lines(run, "timing.jsonl")] == [1, 3]


@pytest.mark.parametrize("steps", [300, 399, 400, 799, 800, 801, 2500])
def test_the_history_for_a_page_is_thinned_and_never_loses_its_newest(run, steps, monkeypatch):
    writer = recorder(run)
    with monkeypatch.context() as quiet:
        quiet.setattr(writer, "_write_stats", lambda: None)
        for step in range(1, steps):
            writer.step(row(step), step)
    writer.step(row(steps), steps)
    writer.close()
    stats = json.loads((run.folder / "stats.json").read_text())
    kept = [each["step"] for each in stats["history"]]
    assert kept == sorted(kept)
    assert kept[0] < 100
    assert kept[-1] == stats["step"] == steps
    assert min(steps, 200) <= len(kept) < 800
    assert len(lines(run)) == steps


def test_who_looks_on_sees_the_last_evaluation_too(run):
    writer = recorder(run)
    writer.step(row(1), 100)
    writer.evaluation(1, {"bits": 3.0}, improved=True)
    writer.close()
    stats = json.loads((run.folder / "stats.json").read_text())
    assert (stats["step"], stats["loss"], stats["last_evaluation"]["evaluation"]) == (1, 1.0, {"bits": 3.0})


def test_a_disk_that_fills_while_metrics_are_written_is_said_once(run, monkeypatch):
    import errno

    writer = recorder(run)

    class Full:
        name = str(run.folder / "metrics.jsonl")

        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        flush = close = lambda self, *arguments: self.write("")

    monkeypatch.setattr(writer, "_metrics", Full())
    with pytest.raises(ClewError, match=r"Could not write .*metrics\.jsonl\. The disk is full"):
        writer.step(row(1), 1)
    writer.close()
