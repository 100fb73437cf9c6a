"""An output replaces an earlier output of its kind and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from clew.core import files, plots
from clew.core.errors import ClewError, UsageError

REPORT = files.json_output("a report", "figures", "seed")
LINES = files.json_lines_output("a table of positions", "board")
PAGE = files.text_output("a page", "# Report")


def test_a_free_name_an_empty_file_and_an_earlier_output_may_be_written(tmp_path):
    path = tmp_path / "report.json"
    files.check_output(path, REPORT)
    path.touch()
    files.write_json(path, {"figures": 1, "seed": 2}, replaces=REPORT)
    files.write_json(path, {"figures": 3, "seed": 4, "more": 5}, replaces=REPORT)
    assert files.read_json(path, what="a report")["figures"] == 3
    files.write_text(tmp_path / "page.md", "# Report on a\n", replaces=PAGE)
    files.write_text(tmp_path / "page.md", "# Report on b\n", replaces=PAGE)
    files.write_text(tmp_path / "rows.jsonl", '{"board": 1}\n{"board": 2}\n', replaces=LINES)
    files.write_text(tmp_path / "rows.jsonl", '{"board": 3}\n', replaces=LINES)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (REPORT, b"SQLite format 3\0"),
        (REPORT, b'{"figures": 1}'),
        (REPORT, b"[" * 5000),
        (REPORT, b'{"seed": ' + b"9" * 5000 + b"}"),
        (LINES, b"board\n"),
        (PAGE, b"# Notes of mine\n"),
        (files.PNG, b"my thesis"),
    ],
)
def test_anything_else_stays_as_it_is(tmp_path, kind, content):
    path = tmp_path / "mine"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"mine is there and is not .* Choose another name"):
        files.check_output(path, kind)
    with pytest.raises(UsageError, match="not replaced"):
        files.write_bytes(path, b"new", replaces=kind)
    assert path.read_bytes() == content


def test_a_picture_replaces_a_picture(tmp_path):
    path = tmp_path / "curve.png"
    for _ in range(2):
        files.check_output(path, files.PNG)
        figure, ((axes,),) = plots.figure(size=(1, 1))
        axes.plot([0, 1])
        plots.save_png(figure, path)
    path.write_text("no picture")
    with pytest.raises(UsageError, match="is not a picture"):
        plots.save_png(figure, path)


@pytest.mark.parametrize(
    "write", [files.write_json, lambda path, value: files.write_json(path, value, replaces=REPORT)]
)
def test_a_device_a_pipe_and_a_folder_are_never_replaced(tmp_path, write):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for path in (pipe, link, tmp_path):
        before = path.lstat()
        with pytest.raises(UsageError):
            write(path, {"figures": 1, "seed": 2})
        assert path.lstat().st_ino == before.st_ino
        assert stat.S_IFMT(path.lstat().st_mode) == stat.S_IFMT(before.st_mode)


def test_a_path_that_is_too_long_gets_a_sentence(tmp_path):
    long = tmp_path / ("x" * 300)
    assert not files.is_file(long)
    assert not files.is_folder(long)
    with pytest.raises(ClewError, match="too long"):
        files.write_json(long, {})
    with pytest.raises(ClewError, match="too long"):
        files.read_json(long, what="a report")


@pytest.mark.parametrize(
    "content",
    ["[" * 3000 + "]" * 3000, "[" * 300_000, '{"a": ' + "7" * 5000 + "}", "\xff", "[NaN]", "[-Infinity]", "[1e999]"],
)
def test_json_that_python_cannot_hold_gets_a_sentence(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ClewError, match=r"a.json is not a report: it"):
        files.read_json(path, what="a report")


def test_a_path_that_is_no_utf8_can_be_written_hashed_and_printed(tmp_path):
    name = os.fsdecode(b"proofs \xff")
    files.write_json(tmp_path / "a.json", {"path": name})
    assert files.read_json(tmp_path / "a.json", what="a report") == {"path": name}
    assert len(files.sha256_of(name)) == 64
    assert files.printable(Path(name)) == r"proofs \xff"
