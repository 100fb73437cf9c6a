"""The page docs/server.md, command by command, against a server that listens; the model and the training are small."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from live_server import LiveServer
from small_sft import write_base_recipe

PAGE = Path(__file__).parents[2] / "docs" / "server.md"
SMALL = {
    '"count": 2000': '"count": 40',
    '"limit": 2000': '"limit": 40',
    '"count": 100': '"count": 4',
    '"steps": 700, "seed": 0': '"steps": 4, "seed": 0, "recipe": {"training": {"batch_size": 4, "compile": '
    '"no", "evaluate_every": 4, "checkpoint_every": 4}, "model": {"max_length": 128}}',
}
"""What is made small, so that the walk takes seconds."""


def blocks_of(page: Path) -> list[str]:
    """The curl and sh blocks of the page, in order."""
    return re.findall(r"```(?:curl|sh)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def walked(tmp_path):
    """What each command of the page printed, by the command."""
    cache = tmp_path / "cache"
    env = {"CLEW_BASE_RECIPE": str(write_base_recipe(tmp_path)), "CLEW_CACHE": str(cache), "XDG_CACHE_HOME": str(cache)}
    clew = tmp_path / "bin" / "clew"
    clew.parent.mkdir()
    clew.write_text(f'#!/bin/sh\nexec {sys.executable} -m clew.cli.main "$@"\n', encoding="utf-8")
    clew.chmod(0o755)
    with LiveServer(tmp_path, env=env) as server:
        lines = [line for block in blocks_of(PAGE) for line in block.splitlines() if line.strip()]
        script = ["set -eu"]
        for number, line in enumerate(lines):
            for long, short in SMALL.items():
                line = line.replace(long, short)
            script.append(f"echo '@@ {number}'")
            script.append(line.replace("http://127.0.0.1:8000", server.url))
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{clew.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        parts = re.split(r"@@ (\d+)\n", done.stdout)[1:]
        said = {lines[int(number)]: text for number, text in zip(parts[::2], parts[1::2], strict=True)}
        yield server, said, tmp_path


def said_by(said: dict[str, str], part: str) -> str:
    """What the first command with `part` in it printed."""
    return next(text for line, text in said.items() if part in line)


def test_the_page_leads_from_nothing_to_a_verdict(walked):
    server, said, folder = walked
    assert json.loads(said_by(said, "high-card-duel/generate"))["preview"][0]["my_card"] == "TS"
    assert json.loads(said_by(said, "datasets/build"))["trace_count"] == 40
    assert json.loads(said_by(said, "datasets/ingest"))["ingested_count"] == 40
    events = said_by(said, "$RUN/logs")
    assert '"status": "completed"' in events.rpartition("event: end")[2]
    rows = json.loads(said_by(said, "$RUN/metrics"))["data"]
    assert rows[-1]["step"] == 4
    files = {each["path"]: each for each in json.loads(said_by(said, "$RUN/artifacts"))["data"]}
    assert {"run_manifest.json", "metrics.jsonl", "eval_before.jsonl", "eval_after.jsonl", "delta_report.md"} <= set(
        files
    )
    assert any(path.startswith("checkpoint-final/") for path in files)
    assert files["eval_after.jsonl"]["size"] == (folder / "eval_after.jsonl").stat().st_size
    manifest = json.loads(next((folder / "runs").glob("*/run_manifest.json")).read_text(encoding="utf-8"))
    built = json.loads(said_by(said, "datasets/build"))
    assert (manifest["dataset_key"], manifest["build_id"]) == (built["dataset_key"], built["build_id"])
    assert "4 " in said_by(said, "delta_report.md")
    assert (folder / "report.md").read_text(encoding="utf-8")
    board = json.loads(said_by(said, "tunix/evaluations"))["data"]
    assert [each["examples"] for each in board] == [4]
    # The same model on the same questions: what the run's own evaluation found is found again.
    after = [json.loads(line) for line in (folder / "eval_after.jsonl").read_text(encoding="utf-8").splitlines()]
    assert board[0]["mean_score"] == pytest.approx(sum(row["score"] for row in after) / len(after))
    verdict = json.loads(said_by(said, "regression/check"))
    assert (verdict["verdict"], verdict["change"]["change"]) == ("pass", 0.0)
    assert server.end() == 0
