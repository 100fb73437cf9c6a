"""Code that was compiled from other sources is forgotten, so that no search keeps the rules of yesterday."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from clew.games import compiled


def test_changed_sources_drop_what_was_compiled_and_unchanged_ones_keep_it(tmp_path, monkeypatch):
    room = tmp_path / "games"
    cache = room / "search" / "__pycache__"
    cache.mkdir(parents=True)
    (room / "rules.py").write_text("one")
    monkeypatch.setattr(compiled, "_ROOM", room)
    monkeypatch.setattr(compiled, "_MARK", room / "__pycache__" / "sources.sha256")
    index = cache / "puct.select.nbi"
    for text, stays in (("one", False), ("one", True), ("two", False), ("two", True)):
        (room / "rules.py").write_text(text)
        index.write_bytes(b"compiled")
        compiled.forget_stale_code()
        assert index.exists() is stays


def test_a_room_that_cannot_be_written_is_left_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "rules.py").write_text("one")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(compiled, "_ROOM", tmp_path)
    monkeypatch.setattr(compiled, "_MARK", tmp_path / "file" / "sources.sha256")
    compiled.forget_stale_code()


def test_rules_load_without_torch_and_onnx_runtime():
    """An actor's rooms are light: what takes seconds to import is not among them."""
    code = "import sys, clew.games.self_play; print([name for name in ('torch', 'onnxruntime') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.cwd(), check=True)
    assert ran.stdout.strip() == "[]"
