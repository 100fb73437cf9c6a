"""Two instructions that numba has no name for: counting bits, and asking for memory before it is needed."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _count_bits(typing_context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm: Any = cgutils
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        number, pointer = llvm.int32_t, llvm.voidptr_t
        instruction = llvm.get_or_insert_function(
            builder.module, llvm.ir.FunctionType(llvm.ir.VoidType(), [pointer] + 3 * [number]), "llvm.prefetch.p0"
        )
        address = builder.bitcast(builder.gep(data, [arguments[1]]), pointer)
        # For reading; to be kept in every cache; data, not instructions.
        builder.call(instruction, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


count_bits: Any = intrinsic(_count_bits)
"""count_bits(word): number of bits set in a uint64, as int64."""

prefetch: Any = intrinsic(_prefetch)
"""prefetch(array, index): ask for the cache line of `array[index]`, so that other work goes on while it comes."""
