"""Compiled code of another version of a room's files is not used.

numba keeps what it compiled beside a file and compiles anew when that file changes, but not when a file does whose
functions it took in. A search with the rules of yesterday in it would be wrong and say nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path


def forget_stale_code(room: Path) -> None:
    """Remove what numba compiled of a room's files when they were others. A room that is not ours to write is left."""
    mark = room / "__pycache__" / "sources.sha256"
    digest = hashlib.sha256()
    for path in sorted(room.rglob("*.py")):
        digest.update(path.read_bytes())
    found = digest.hexdigest()
    with contextlib.suppress(OSError):
        if mark.is_file() and mark.read_text() == found:
            return
        for index in room.rglob("__pycache__/*.nbi"):
            index.unlink(missing_ok=True)
        mark.parent.mkdir(exist_ok=True)
        temporary = mark.with_suffix(f".{os.getpid()}")
        temporary.write_text(found)
        temporary.replace(mark)
