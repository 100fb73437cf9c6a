"""Simple nets as ONNX files: traced by torch, filled with weights, compared with torch, then renamed into place.

A graph is traced with the weights as inputs. So nothing that the tracer simplifies hangs on their values, the graph
fits every net of the architecture, and a publish after the first only puts weights into it: tracing takes seconds, and
a learner publishes every few. The file holds each weight as the net holds it, in float32; batch normalisation is folded
by the runtime that loads it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper, version_converter
from torch import Tensor, nn
from torch.func import functional_call

from clew.bundle.seal import DOMAIN, sealed
from clew.bundle.session import open_session, run_session
from clew.core import files
from clew.core.errors import BundleError
from clew.export.onnx_graph import IR_VERSION, OPSET

Arrays = Mapping[str, NDArray[np.float32]]
"""Inputs or outputs of a net by name, each [positions, ...]."""
Arrange = Callable[..., tuple[Tensor, ...]]
"""Makes the outputs of a file, each [batch, ...], of what the net returns."""

TOLERANCE = 1e-4
"""Largest difference of an output between torch and ONNX Runtime that is published; relative to the size of outputs
beyond 10, since float32 has seven digits."""
TIE = 1e-5
"""Two outputs this close, relative as above, are equal in float32 after so many layers: either may be the greatest."""
_TRACED_OPSET = 18
"""The oldest that the tracer knows; its graph is converted to `OPSET`."""


@dataclass(frozen=True)
class Parity:
    """What ONNX Runtime gives against what torch gives, both in float32, on the same inputs."""

    positions: int
    max_abs_difference: dict[str, float]
    """By output."""
    equal_argmax: dict[str, float]
    """By output that chooses: the share of positions with the same greatest number, ties counted as equal."""

    def as_json(self) -> dict[str, int | float]:
        """Figures by name, for the metadata of a file and for a manifest."""
        return {
            "positions": self.positions,
            **{f"max_abs_{name}_difference": value for name, value in self.max_abs_difference.items()},
            **{f"equal_{name}_argmax": value for name, value in self.equal_argmax.items()},
        }


@dataclass(frozen=True)
class Traced:
    """The graph of an architecture, without weights."""

    graph: onnx.ModelProto
    weights: tuple[str, ...]
    """Names of the parameters and buffers that it takes."""
    arrange: Arrange

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs, in order."""
        return [value.name for value in self.graph.graph.output]

    def with_weights(self, module: nn.Module) -> onnx.ModelProto:
        """The graph with the weights of `module`, a net of this architecture.

        Raises `BundleError` for a weight that is no number.
        """
        held = _tensors(module)
        model = onnx.ModelProto()
        model.CopyFrom(self.graph)
        for name in self.weights:
            array = np.ascontiguousarray(_plain(held[name]).cpu().numpy())
            if not np.isfinite(array).all():
                raise BundleError(f"The weight '{name}' of the net is not finite: it holds NaN or infinity.")
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        return model


def trace(
    module: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str], *, name: str, arrange: Arrange
) -> Traced:
    """Trace `module` in evaluation mode, called with the tensors of `example` in order, each [2 or more, ...].

    The inputs of the graph have the names in `example`, its `outputs` are what `arrange` makes of what the module
    returns, and the first dimension of all is free: "batch". Seconds of work.
    """
    weights = {key: _plain(tensor) for key, tensor in _tensors(module).items()}
    batch = torch.export.Dim("batch")
    was_training = module.training
    module.eval()
    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                _Open(module, arrange),
                (weights, *example.values()),
                dynamo=True,
                opset_version=_TRACED_OPSET,
                input_names=[*weights, *example],
                output_names=list(outputs),
                dynamic_shapes=(dict.fromkeys(weights), tuple({0: batch} for _ in example)),
                verbose=False,
            )
            assert program is not None
            traced = program.model_proto
            converted = version_converter.convert_version(traced, OPSET)
    finally:
        module.train(was_training)
    return _template(converted, weights, list(example), name, arrange)


def publish(
    traced: Traced,
    module: nn.Module,
    path: Path,
    inputs: Arrays,
    *,
    choices: Mapping[str, NDArray[np.bool_]],
    metadata: Mapping[str, str],
) -> Parity:
    """Write `module` to `path` as ONNX, sealed, whole and verified on `inputs`, or not at all.

    `metadata` and the figures go into the file. An output named in `choices` chooses among the last dimension where the
    mask, of its shape, is set: host and torch must choose alike. Raises `BundleError` with figures where they do not.
    """
    try:
        graph = traced.with_weights(module).SerializeToString()
        parity = compare(traced, module, graph, inputs, choices=choices, path=path)
    except BundleError as error:
        raise BundleError(f"{path} was not published: {error} What was there before stays in place.") from error
    notes = onnx.ModelProto()
    helper.set_model_props(notes, {**metadata, "parity": json.dumps(parity.as_json())})
    # Two messages behind each other are one: the bytes that were compared are the bytes that are published.
    files.write_bytes(path, sealed(graph + notes.SerializeToString()))
    return parity


def compare(
    traced: Traced,
    module: nn.Module,
    content: bytes,
    inputs: Arrays,
    *,
    choices: Mapping[str, NDArray[np.bool_]],
    path: Path,
) -> Parity:
    """Run `content` in ONNX Runtime beside `module` in torch. Raises `BundleError` with the figures where they differ.

    `path` is what an error calls the file.
    """
    session = open_session(path, content, threads=torch.get_num_threads(), spin=False)
    found = dict(zip(traced.outputs, run_session(session, traced.outputs, inputs, path), strict=True))
    expected = dict(zip(traced.outputs, _in_torch(traced, module, inputs), strict=True))
    differences, equal, faults = {}, {}, []
    for name, right in expected.items():
        if not np.isfinite(right).all():
            raise BundleError(f"The net gives numbers that are not finite in '{name}'.")
        scale = max(1.0, float(np.abs(right).max()) / 10)
        differences[name] = float(np.abs(found[name] - right).max())
        # Not `>`: a NaN must fail.
        if not differences[name] <= TOLERANCE * scale:
            faults.append(
                f"ONNX Runtime differs from torch by {differences[name]:.1e} in '{name}' (allowed: "
                f"{TOLERANCE * scale:.0e})"
            )
        if name in choices:
            agreeing = _chosen_alike(found[name], right, choices[name], TIE * scale)
            equal[name] = float(agreeing.mean())
            if not agreeing.all():
                faults.append(
                    f"ONNX Runtime and torch choose differently by '{name}' in {int((~agreeing).sum())} of "
                    f"{agreeing.size} cases"
                )
    if faults:
        raise BundleError("; ".join(faults) + ".")
    return Parity(len(next(iter(inputs.values()))), differences, equal)


def _chosen_alike(
    found: NDArray[np.float32], right: NDArray[np.float32], allowed: NDArray[np.bool_], tie: float
) -> NDArray[np.bool_]:
    """Where both have the same greatest number among those allowed (all, where none is), or two that are a tie."""
    allowed = allowed | ~allowed.any(axis=-1, keepdims=True)
    ours, theirs = (np.where(allowed, each, -np.inf).argmax(axis=-1)[..., None] for each in (found, right))
    gap = np.take_along_axis(right, theirs, axis=-1) - np.take_along_axis(right, ours, axis=-1)
    alike: NDArray[np.bool_] = ((ours == theirs) | (gap <= tie))[..., 0]
    return alike


def _in_torch(traced: Traced, module: nn.Module, inputs: Arrays) -> list[NDArray[np.float32]]:
    """The outputs of the file by torch; without TF32, whose ten bits are no float32."""
    device = next(module.parameters()).device
    with evaluating(module), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        outputs = traced.arrange(module(*(torch.from_numpy(each).to(device) for each in inputs.values())))
    return [output.float().cpu().numpy() for output in outputs]


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """`module` in evaluation mode, and no gradients."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)


class _Open(nn.Module):
    """A net whose weights are an argument."""

    def __init__(self, module: nn.Module, arrange: Arrange) -> None:
        super().__init__()
        self._module = [module]  # in a list, or its weights would be this module's too
        self._arrange = arrange

    def forward(self, weights: dict[str, Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._arrange(functional_call(self._module[0], weights, inputs))


def _template(
    converted: onnx.ModelProto, weights: Mapping[str, Tensor], inputs: list[str], name: str, arrange: Arrange
) -> Traced:
    """The graph without its weights, without what the tracer noted in it."""
    graph = converted.graph
    read = {each for node in graph.node for each in node.input}
    model = helper.make_model(
        helper.make_graph(
            [_plain_node(node) for node in graph.node],
            name,
            [_plain_value(value) for value in graph.input if value.name in inputs],
            [_plain_value(value) for value in graph.output],
            graph.initializer,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="clew",
        domain=DOMAIN,
    )
    return Traced(model, tuple(key for key in weights if key in read), arrange)


def _plain_node(node: onnx.NodeProto) -> onnx.NodeProto:
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    plain.ClearField("metadata_props")
    plain.ClearField("doc_string")
    return plain


def _plain_value(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    return helper.make_value_info(value.name, value.type)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the tracer says of packages that nobody asked for off the terminal."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
