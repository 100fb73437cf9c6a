"""`clew traces` and `clew dataset`, from a file of traces to an export and back."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from clew.cli.main import main
from small_traces import trace


@pytest.fixture
def db(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A database with ten traces, the last of them number 9."""
    file = tmp_path / "in.jsonl"
    file.write_text("".join(trace(number).model_dump_json() + "\n" for number in range(10)), encoding="utf-8")
    place = str(tmp_path / "traces.db")
    assert main(["traces", "import", str(file), "--db", place]) == 0
    assert "10 traces imported" in capsys.readouterr().out
    return place


@pytest.fixture
def clew(db: str, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--db", db, "--json"]) == code
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_traces_are_listed_shown_compared_and_scored(clew: Any, db: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = clew("traces", "list", "--limit", "2")
    assert (listed["count"], [each["prompt"] for each in listed["traces"]]) == (10, ["9 + 29 = ?", "8 + 29 = ?"])
    base, other = (each["id"] for each in listed["traces"])
    both = clew("traces", "compare", base, other)
    assert (both["base"], both["other"]) == tuple(listed["traces"])
    assert clew("traces", "score", base, "--expected", "38")["score"] == 1
    assert clew("traces", "score", base, "--expected", "37", code=1)["score"] == 0
    assert [each["score"] for each in clew("traces", "show", base)["scores"]] == [1, 0]
    assert main(["traces", "show", base, "--db", db]) == 0
    shown = capsys.readouterr().out
    assert "9 + 29 = ?\n1. [carry] 9 + 9\n2. [sum] then 20: 38\nAnswer: 38\n" in shown
    assert "score    1 by answer" in shown


def test_a_dataset_is_built_exported_verified_and_compared(clew: Any, tmp_path: Path) -> None:
    built = clew("dataset", "build", "sums", "1", "--filters", "level=0", "category=sum")
    assert (built["dataset_key"], built["trace_count"], built["new"]) == ("sums-1", 4, True)
    assert Path(built["manifest_path"]) == tmp_path / "traces.db-datasets" / "sums-1" / "manifest.json"
    assert not clew("dataset", "build", "sums", "1", "--filters", "level=0", "category=sum")["new"]
    clew(
        "dataset",
        "build",
        "sums",
        "2",
        "--selection-strategy",
        "random",
        "--seed",
        "3",
        "--parent-dataset-id",
        "sums-1",
    )
    assert [each["dataset_key"] for each in clew("dataset", "list")["datasets"]] == ["sums-2", "sums-1"]
    assert clew("dataset", "show", "sums-2")["parent_dataset_id"] == "sums-1"
    assert len(clew("dataset", "diff", "sums-1", "sums-2")["added"]) == 6
    assert clew("dataset", "verify", "sums-1")["good"]
    out = tmp_path / "sums.jsonl"
    sealed = clew("dataset", "export", "sums-1", "-o", str(out), "--format", "tunix_sft")
    assert json.loads((tmp_path / "sums.manifest.json").read_text(encoding="utf-8"))["sha256"] == sealed["sha256"]
    assert [json.loads(line)["final_answer"] for line in out.read_text(encoding="utf-8").splitlines()] == [
        "38", "35", "32", "29",
    ]  # fmt: skip
    Path(built["manifest_path"]).write_text("{}", encoding="utf-8")
    assert not clew("dataset", "verify", "sums-1", code=1)["good"]


def test_an_export_without_a_file_goes_to_stdout_and_is_imported_again(
    db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["dataset", "build", "sums", "1", "--db", db]) == 0
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", printed)
    assert main(["dataset", "export", "sums-1", "--db", db, "--format", "training_example"]) == 0
    content = printed.buffer
    assert isinstance(content, io.BytesIO)
    rows = content.getvalue()
    assert rows.count(b"\n") == 10
    (tmp_path / "again.jsonl").write_bytes(rows)
    assert main(["traces", "import", str(tmp_path / "again.jsonl"), "--db", str(tmp_path / "new.db")]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["traces", "show", "nobody"], 1, "There is no trace 'nobody'"),
        (["traces", "score", "nobody"], 1, "There is no trace"),
        (["traces", "compare", "a", "b"], 1, "There is no trace 'a'"),
        (["dataset", "export", "x-1"], 1, "There is no dataset 'x-1'"),
        (["dataset", "build", "x", "1", "--selection-strategy", "random"], 2, "A random selection needs a seed"),
        (["dataset", "build", "x/y", "1"], 2, "dataset_name: a name has no slash"),
        (["dataset", "build", "x", "1", "--filters", "level"], 2, "not of the form KEY=VALUE"),
        (["dataset", "build", "x", "1", "--filters", "level=9"], 1, "none of the 10 traces"),
        (["dataset", "build", "x", "1", "--provenance", "[1]"], 2, "--provenance is no JSON object"),
        (["dataset", "frobnicate"], 2, "There is no command 'clew dataset frobnicate'"),
    ],
)
def test_wrong_calls_get_a_sentence(
    db: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main([*arguments, "--db", db] if arguments[1] != "frobnicate" else arguments) == code
    assert said in capsys.readouterr().err


def test_a_file_with_a_bad_line_imports_nothing_unless_it_may_be_skipped(
    db: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], clew: Any
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(trace(1).model_dump_json() + '\n{"prompt": 7}\n', encoding="utf-8")
    assert main(["traces", "import", str(file), "--db", db]) == 1
    assert f"{file}:2:" in capsys.readouterr().err
    assert clew("traces", "list")["count"] == 10
    assert clew("traces", "import", str(file), "--skip-bad")["bad"] == 1
    assert clew("traces", "list")["count"] == 11


def test_a_database_that_is_not_there_is_not_made_by_looking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["traces", "list", "--db", str(tmp_path / "none.db")]) == 1
    assert "There is no trace store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, place = tmp_path / "in.jsonl", str(tmp_path / "t.db")
    file.write_text(trace(0, prompt="a\x1b[2Jb\x07").model_dump_json(), encoding="utf-8")
    assert main(["traces", "import", str(file), "--db", place, "--json"]) == 0
    (trace_id,) = json.loads(capsys.readouterr().out.splitlines()[-1])["trace_ids"]
    for command in (["list"], ["show", trace_id], ["compare", trace_id, trace_id]):
        assert main(["traces", *command, "--db", place]) == 0
        assert "\x1b" not in capsys.readouterr().out
