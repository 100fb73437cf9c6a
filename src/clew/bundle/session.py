"""ONNX Runtime sessions: opened, described and run in one place, with sentences for what is wrong with a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from clew.core.errors import BundleError

Signature = dict[str, tuple[str, list[int | str | None]]]
"""Name of an input or output -> its type as ONNX Runtime spells it ("tensor(float)"), and its shape: a number where
the size is fixed, a name or None where it is not."""


def open_session(
    path: Path, content: bytes | None = None, *, threads: int = 1, spin: bool = True, advice: str = ""
) -> onnxruntime.InferenceSession:
    """Open the model in `path` (or its `content`, read before) for `threads` CPU threads (0: all cores).

    Without `spin`, idle threads leave their cores to other processes between two calls; with it a call begins sooner.
    Raises `BundleError` naming the file, what ONNX Runtime says, and `advice`, a sentence on what to do.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is said below, in our words
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            str(path) if content is None else content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
        raise BundleError(
            f"ONNX Runtime cannot load {path}: it is cut short (truncated), or no ONNX model that this version "
            f"({onnxruntime.__version__}) knows. It says: {_reason(error)}. {advice}".rstrip()
        ) from error


def signature(session: onnxruntime.InferenceSession, path: Path) -> tuple[Signature, Signature]:
    """The inputs and the outputs of the model in `path`. Raises `BundleError` for a name that is no UTF-8."""
    try:
        inputs, outputs = (
            {value.name: (str(value.type), list(value.shape)) for value in values}
            for values in (session.get_inputs(), session.get_outputs())
        )
    except UnicodeDecodeError as error:
        raise BundleError(
            f"{path} names an input, an output or a size of one in bytes that are no UTF-8: it is damaged, or no "
            "program of ours wrote it. Export or copy it again."
        ) from error
    return inputs, outputs


def metadata(session: onnxruntime.InferenceSession, path: Path) -> dict[str, str]:
    """What the writer of the model in `path` noted in it. Raises `BundleError` for a note that is no UTF-8."""
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} holds notes that are no UTF-8: it is damaged. Export or copy it again.") from error


def run_session(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], feed: Mapping[str, NDArray[Any]], path: Path
) -> list[NDArray[Any]]:
    """Run the model in `path`; return `outputs`. Raises `BundleError` where ONNX Runtime refuses."""
    try:
        return list(session.run(list(outputs), dict(feed)))
    except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
        sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.items())
        raise BundleError(
            f"The model {path} could not be run on {sizes[:200]}. ONNX Runtime says: {_reason(error)}. Export it again."
        ) from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    # Before what it says, ONNX Runtime names its own source file and the signature of the function there.
    return re.sub(r" : /\S+ .*?\)(?: const)? (?=[A-Z])", ": ", text, count=1)[:500].rstrip(". ")
