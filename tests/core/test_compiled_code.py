"""Code that was compiled from other sources is forgotten, so that no search keeps the rules of yesterday."""

from __future__ import annotations

from clew.core.compiled import forget_stale_code


def test_changed_sources_drop_what_was_compiled_and_unchanged_ones_keep_it(tmp_path):
    room = tmp_path / "games"
    cache = room / "search" / "__pycache__"
    cache.mkdir(parents=True)
    (room / "rules.py").write_text("one")
    index = cache / "puct.select.nbi"
    for text, stays in (("one", False), ("one", True), ("two", False), ("two", True)):
        (room / "rules.py").write_text(text)
        index.write_bytes(b"compiled")
        forget_stale_code(room)
        assert index.exists() is stays


def test_a_room_that_cannot_be_written_is_left_as_it_is(tmp_path):
    (tmp_path / "rules.py").write_text("one")
    (tmp_path / "__pycache__").write_text("no folder")
    forget_stale_code(tmp_path)
