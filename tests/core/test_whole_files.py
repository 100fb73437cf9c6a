"""Files are written whole or not at all, with the modes that the umask allows."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clew.core import files
from clew.core.errors import ClewError


def modes(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def run_python(program: str, *arguments: object, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, **settings
    )


def test_what_was_written_is_read_back_and_nothing_else_is_left(tmp_path):
    files.write_json(tmp_path / "new" / "a.json", {"b": [1, "≥"]})
    assert files.read_json(tmp_path / "new" / "a.json", what="a test") == {"b": [1, "≥"]}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_write_that_fails_midway_leaves_the_old_content(tmp_path, monkeypatch, call):
    path = tmp_path / "a.json"
    files.write_json(path, "old")

    def refuse(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        real = os.fdopen

        class Broken:
            def __init__(self, file):
                self.file = file

            def __enter__(self):
                return self

            def __exit__(self, *error):
                self.file.close()

            def write(self, content):
                self.file.write(content[:3])
                refuse()

        monkeypatch.setattr(os, "fdopen", lambda *arguments, **named: Broken(real(*arguments, **named)))
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    else:
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ClewError, match=r"Could not write .*a\.json\. The disk is full"):
        files.write_json(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert json.loads(path.read_text()) == "old"


def test_a_process_killed_while_it_writes_leaves_old_or_new_and_never_a_part(tmp_path):
    path = tmp_path / "a.json"
    program = """
import itertools, sys
from pathlib import Path
from clew.core import files
for number in itertools.count():
    files.write_json(Path(sys.argv[1]), [number] * 20000)
    print(number, flush=True)
"""
    for delay in (0.003, 0.011, 0.017):
        writer = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        content = json.loads(path.read_text())
        assert content == [content[0]] * 20000
    files.remove_leftovers(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_file_past_the_size_limit_is_refused_in_a_sentence(tmp_path):
    program = """
import resource, sys
from pathlib import Path
from clew.core import files
from clew.core.errors import ClewError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    files.write_bytes(Path(sys.argv[1]), b"x" * 5000)
except ClewError as error:
    sys.exit(str(error))
"""
    path = tmp_path / "big"
    path.write_bytes(b"old")
    said = run_python(program, path)
    assert (
        said.stderr
        == f"Could not write {path}. The file would grow past the size limit of this process: raise it (ulimit -f).\n"
    )
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("big", b"old")]


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, "0o644", "0o755"), (0o007, "0o660", "0o770")])
def test_modes_honour_the_umask(tmp_path, umask, file_mode, folder_mode):
    program = """
import sys
from pathlib import Path
from clew.core import files
here = Path(sys.argv[1])
files.write_text(here / "file", "x")
with files.whole_folder(here / "folder") as temporary:
    (temporary / "inner").write_text("x")
"""
    run_python(program, tmp_path, umask=umask, check=True)
    found = [modes(tmp_path / name) for name in ("file", "folder", "folder/inner")]
    assert found == [file_mode, folder_mode, file_mode]


def test_a_folder_appears_whole(tmp_path):
    with files.whole_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_whose_making_fails_does_not_appear(tmp_path):
    def make():
        with files.whole_folder(tmp_path / "out") as temporary:
            (temporary / "a").write_text("1")
            raise KeyError("broken")

    with pytest.raises(KeyError):
        make()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_replaced_only_when_that_is_asked_for(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")
    with pytest.raises(ClewError, match="already exists"), files.whole_folder(tmp_path / "out"):
        pass
    with files.whole_folder(tmp_path / "out", replace=True) as temporary:
        (temporary / "new").write_text("2")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_a_removed_folder_is_never_seen_in_part(tmp_path, monkeypatch):
    folder = tmp_path / "step"
    folder.mkdir()
    (folder / "a").write_text("1")

    def killed(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        files.remove_folder(folder)
    assert not folder.exists()
    monkeypatch.undo()
    files.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_go_and_everything_else_stays(tmp_path):
    (tmp_path / ".a.json.x1.tmp").write_text("half")
    (tmp_path / ".step.x2.tmp").mkdir()
    (tmp_path / ".lock").write_text("")
    (tmp_path / "a.tmp").write_text("the user's")
    files.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a.tmp"]


def test_a_path_below_a_file_is_named_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClewError, match=r"Could not write .*/file/a\. .*check the path|.*exists already"):
        files.write_text(tmp_path / "file" / "a", "x")


def test_json_that_is_none_names_the_file_and_what_it_should_be(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ClewError, match=r"a\.json is not a run manifest: it is not valid JSON"):
        files.read_json(tmp_path / "a.json", what="a run manifest")


def test_canonical_json_has_one_spelling():
    assert files.canonical_json({"b": 1, "a": [1.5, "≥", None]}) == '{"a":[1.5,"≥",null],"b":1}'
    # The digest of the three bytes "abc" is in FIPS 180-2, appendix B.1.
    assert files.sha256_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_files_hash_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of_file(tmp_path / "a") == files.sha256_of(b"abc")
