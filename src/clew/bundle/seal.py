"""A seal at the end of an ONNX file: the hash of every byte before it, so that a file altered by a bit is refused.

The seal is one more entry of the file's metadata, `content_sha256`, and stands last: what it covers is what precedes
it, and any reader of ONNX sees it as an entry like the others. No parser of ONNX is needed to check it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import onnxruntime

from clew.core.errors import BundleError

KEY = "content_sha256"
DOMAIN = "clew.sealed"
"""What `domain` says in a file that was sealed: one that says so and ends in no seal was altered at its end."""

_DIGEST = 64
# An entry of ModelProto.metadata_props (field 14): its length, then key (field 1) and value (field 2), each with one.
_ENTRY = b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x12" + bytes([_DIGEST])
_HEAD = bytes([14 << 3 | 2, len(_ENTRY) + _DIGEST]) + _ENTRY
_SEAL = re.compile(re.escape(_HEAD) + rb"([0-9a-f]{%d})\Z" % _DIGEST)


def sealed(content: bytes) -> bytes:
    """`content`, the bytes of an ONNX file of `DOMAIN`, with the seal behind it."""
    return content + _HEAD + hashlib.sha256(content).hexdigest().encode()


def check_seal(content: bytes, path: Path) -> bool:
    """Whether `content` of `path` ends in a seal. Raises `BundleError` where it is the seal of other bytes."""
    found = _SEAL.search(content, max(0, len(content) - len(_HEAD) - _DIGEST))
    if found is None:
        return False
    if hashlib.sha256(memoryview(content)[: found.start()]).hexdigest().encode() != found[1]:
        raise _altered(path)
    return True


def check_needs_no_seal(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Raise `BundleError` where a file that ends in no seal says that it was written with one."""
    try:
        told = session.get_modelmeta()
        lost = KEY in told.custom_metadata_map or told.domain == DOMAIN
    except UnicodeDecodeError:
        lost = True
    if lost:
        raise _altered(path)


def _altered(path: Path) -> BundleError:
    return BundleError(
        f"{path} was altered after it was written: the hash in it is not that of its content. Copy or export it again."
    )
