"""Compiled code of another version of these files is not used.

numba keeps what it compiled beside a file and compiles anew when that file changes, but not when a file does whose
functions it took in. A search with the rules of yesterday in it would be wrong and say nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

_ROOM = Path(__file__).parent
_MARK = _ROOM / "__pycache__" / "sources.sha256"


def forget_stale_code() -> None:
    """Remove what numba compiled of these files when they were others. A folder that is not ours to write is left."""
    digest = hashlib.sha256()
    for path in sorted(_ROOM.rglob("*.py")):
        digest.update(path.read_bytes())
    found = digest.hexdigest()
    with contextlib.suppress(OSError):
        if _MARK.is_file() and _MARK.read_text() == found:
            return
        for index in _ROOM.rglob("__pycache__/*.nbi"):
            index.unlink(missing_ok=True)
        _MARK.parent.mkdir(exist_ok=True)
        temporary = _MARK.with_suffix(f".{os.getpid()}")
        temporary.write_text(found)
        temporary.replace(_MARK)
