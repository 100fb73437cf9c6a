"""Records by their address: how compiled code reaches memory without looking at an array's header."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

Record = Any
"""A record, by reference, as compiled functions pass it."""


def reach(dtype: np.dtype[Any]) -> Any:
    """A compiled function `at(address, index)`: record number `index` of `dtype` in memory that begins at `address`.

    Whoever passes addresses keeps the arrays alive.
    """
    record = numba.from_dtype(dtype)
    size = dtype.itemsize

    @intrinsic
    def at(typing_context: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            base, place = arguments
            wide = context.cast(builder, place, signature.args[1], numba.types.int64)
            offset = builder.mul(wide, context.get_constant(numba.types.int64, size), flags=["nsw"])
            return builder.inttoptr(builder.add(base, offset), context.get_value_type(record))

        return record(numba.types.int64, index), generate

    return at
