"""`clew doctor`: what is there, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

from clew.cli.main import main
from clew.cli.runs import doctor


def findings(capsys, *arguments):
    capsys.readouterr()
    code = main(["doctor", *map(str, arguments), "--json"])
    return code, {each["subject"]: each for each in json.loads(capsys.readouterr().out)}


def test_a_whole_machine_has_nothing_missing(tmp_path, capsys):
    code, found = findings(capsys, "--runs-dir", tmp_path)
    assert code == 0
    assert found.keys() >= {"python", "machine", "torch", "onnxruntime", "cpu", "compiler", "disk"}
    assert all(each["level"] in ("ok", "note") for each in found.values())
    assert all(each["mend"] for each in found.values() if each["level"] == "note")


@pytest.mark.parametrize(
    ("package", "level", "mend", "code"),
    [
        ("matplotlib", "note", "pip install 'clew[train]'", 0),
        ("transformers", "note", "pip install 'clew[hf]'", 0),
        ("tokenizers", "missing", "pip install --force-reinstall clew", 1),
    ],
)
def test_a_package_that_is_missing_comes_with_what_installs_it(
    monkeypatch, tmp_path, capsys, package, level, mend, code
):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else real(name))
    given, found = findings(capsys, "--runs-dir", tmp_path)
    assert given == code
    assert (found[package]["level"], found[package]["mend"]) == (level, mend)


def test_a_missing_compiler_is_a_note(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    code, found = findings(capsys, "--runs-dir", tmp_path)
    assert code == 0
    assert (found["compiler"]["level"], found["compiler"]["mend"]) == ("note", "install g++ or clang++")


def test_a_disk_that_cannot_be_written_or_is_full_is_missing(monkeypatch, tmp_path, capsys):
    code, found = findings(capsys, "--runs-dir", "/proc/runs")
    assert (code, found["disk"]["level"]) == (1, "missing")
    assert "cannot be written" in found["disk"]["text"]
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    code, found = findings(capsys, "--runs-dir", tmp_path)
    assert (code, found["disk"]["level"], found["disk"]["mend"]) == (1, "missing", "free some space")


def test_a_runs_folder_below_a_file_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, found = findings(capsys, "--runs-dir", tmp_path / "file" / "runs")
    assert (code, found["disk"]["level"]) == (1, "missing")


def test_without_json_a_person_can_read_it(tmp_path, capsys):
    assert main(["doctor", "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok       python        3.") for line in lines)
