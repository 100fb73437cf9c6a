"""Two folders that change names in one step, and a folder that one process at a time writes into."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_AT_FDCWD = -100
_EXCHANGE = 2
"""RENAME_EXCHANGE of Linux; RENAME_SWAP of macOS is the same number."""


def swap(one: Path, other: Path) -> bool:
    """Exchange what stands under two paths of one file system, so that neither name is ever missing.

    False, with nothing changed, where the system or the file system cannot.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            code = library.renamex_np(os.fsencode(one), os.fsencode(other), ctypes.c_uint(_EXCHANGE))
        else:
            paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
            code = library.renameat2(*paths, ctypes.c_uint(_EXCHANGE))
    except (OSError, AttributeError, TypeError):
        return False
    return bool(code == 0)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process, waiting while another one does. Leaves no file; ends with the process.

    Where a file system has no locks, nothing is held.
    """
    descriptor = None
    try:
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
