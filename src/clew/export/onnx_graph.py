"""ONNX graphs written node by node. Operators of opset 17 only: any ONNX Runtime since 1.12 loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8


class Graph:
    """Nodes and initializers of an ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], str] = {}

    def constant(self, value: Any, dtype: Any, name: str | None = None) -> str:
        """Add an initializer and return its name; equal unnamed constants share one."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        identity = (array.tobytes(), array.dtype.str, array.shape)
        if name is None and identity in self._constants:
            return self._constants[identity]
        name = name or f"constant_{len(self._constants)}"
        self._constants[identity] = name
        # numpy's ascontiguousarray makes a scalar one-dimensional, so the shape is that of the value.
        self.initializers.append(numpy_helper.from_array(array.reshape(np.shape(value)), name))
        return name

    def ints(self, *values: int) -> str:
        """A one-dimensional int64 constant."""
        return self.constant(list(values), np.int64)

    def add(self, operator: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or a list of names where it has several."""
        base = name or f"{operator.lower()}_{len(self.nodes)}"
        names = [base] if outputs == 1 else [f"{base}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=base, **attributes))
        return names[0] if outputs == 1 else names

    def to_model(
        self,
        name: str,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
        metadata: Mapping[str, str] | None = None,
    ) -> onnx.ModelProto:
        """The finished model with `metadata` in it, checked by ONNX."""
        proto = helper.make_model(
            helper.make_graph(self.nodes, name, inputs, outputs, self.initializers),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="clew",
        )
        helper.set_model_props(proto, dict(metadata or {}))
        onnx.checker.check_model(proto)
        return proto
