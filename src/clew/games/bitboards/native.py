"""Rules that are not ours, called from compiled code: two functions by their addresses.

What the compiled functions call a game is a number: of a shipped one 0, 1 or 2, of any other the address of its
`TABLE`. So nothing in the search knows how the rules came to be, and compiled code is kept on disk for all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from clew.games.bitboards.memory import reach

TABLE = np.dtype(
    [
        ("legal", np.uint64),  # address of: (table, first, second, status) -> bits of the legal actions
        ("play", np.uint64),  # address of: (table, first, second, status, action, address of a WORDS) -> nothing
        ("error", np.int64),  # 0: none; else what went wrong first, and the call that it went wrong in
        ("first", np.uint64),
        ("second", np.uint64),
        ("status", np.uint64),
        ("action", np.int64),
    ],
    align=True,
)
"""What compiled code knows of a game whose rules are not ours."""

WORDS = np.dtype([("first", np.uint64), ("second", np.uint64), ("status", np.uint64)], align=True)
"""A state that a function of the table writes."""

LEGAL_FAILED, PLAY_FAILED = 1, 2
"""Values of a table's `error`."""

table_at, words_at = reach(TABLE), reach(WORDS)


def _function(builder: Any, table: Any, place: int, function_type: Any) -> Any:
    llvm: Any = cgutils
    word = llvm.ir.IntType(64)
    base = builder.inttoptr(table, word.as_pointer())
    address = builder.load(builder.gep(base, [word(place)]))
    return builder.inttoptr(address, function_type.as_pointer())


def _own_legal(typing_context: Any, table: Any, first: Any, second: Any, status: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm: Any = cgutils
        word = llvm.ir.IntType(64)
        function = _function(builder, arguments[0], 0, llvm.ir.FunctionType(word, [word] * 4))
        return builder.call(function, arguments)

    return types.uint64(types.int64, types.uint64, types.uint64, types.uint64), generate


def _own_play(typing_context: Any, table: Any, first: Any, second: Any, status: Any, action: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm: Any = cgutils
        word = llvm.ir.IntType(64)
        function = _function(builder, arguments[0], 1, llvm.ir.FunctionType(llvm.ir.VoidType(), [word] * 6))
        # On the stack, so that two threads do not write to the same place.
        out = llvm.alloca_once(builder, word, size=word(3))
        builder.call(function, [*arguments, builder.ptrtoint(out, word)])
        words = [builder.load(builder.gep(out, [word(place)])) for place in range(3)]
        return context.make_tuple(builder, signature.return_type, words)

    a_tuple: Any = types.UniTuple
    returned = a_tuple(types.uint64, 3)
    return returned(types.int64, types.uint64, types.uint64, types.uint64, types.int64), generate


own_legal: Any = intrinsic(_own_legal)
"""own_legal(table, first, second, status): bits of the legal actions of an ongoing state."""

own_play: Any = intrinsic(_own_play)
"""own_play(table, first, second, status, action): the three words of the state after a legal action."""
