"""Values of terms in one pool of int32, and the primitives on them; compiled.

A number or a truth value on E examples is E entries; a list is E lengths and then the elements of all examples. A
body of a lambda is its values at its probes, then its code: [length, whether it reads the task's inputs, actions in
postfix order]. Where the language says error, a lane holds `ERROR`, and the lazy words (`if`, `and`, `or`) let it pass
only where they would compute it: so a body may err at a probe that no list ever brings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.programs.primitives import LARGEST, LONGEST, PRIMITIVES

ERROR = -(2**31)
"""No value of the language: what a lane holds that erred."""
KIND_PRIMITIVE, KIND_LITERAL, KIND_INPUT, KIND_PARAMETER = 0, 1, 2, 3

Pool = NDArray[np.int32]

wide = cast("Callable[[Any], int]", np.int64)
"""One type for what compiled functions are called with: numba compiles one anew for each mixture of types."""

_ORDER = list(PRIMITIVES)
ADD, SUB, MUL, DIV, MOD, NEG, ABS, MIN, MAX, IF = (_ORDER.index(name) for name in _ORDER[:10])
EQ, LT, LE, EVEN, AND, OR, NOT = (_ORDER.index(name) for name in _ORDER[10:17])
HEAD, LAST, AT, LENGTH, SUM, PRODUCT, MINIMUM, MAXIMUM, COUNT, FOLD = (_ORDER.index(name) for name in _ORDER[17:27])
IS_EMPTY, CONTAINS, ALL, ANY = (_ORDER.index(name) for name in _ORDER[27:31])
MAP, FILTER, ZIP, SCAN, TAKE, DROP, SORT, REVERSE, UNIQUE, APPEND, CONS, RANGE = (
    _ORDER.index(name) for name in _ORDER[31:]
)

_HASH_1, _HASH_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _HALF, _LOW = np.uint64(29), np.uint64(32), np.uint64(32), np.uint64(0xFFFFFFFF)


@njit(cache=True, error_model="numpy", nogil=True)
def operate(op: int, pool: Pool, a: int, b: int, c: int, out: int, n: int) -> None:
    """Write a primitive of arithmetic, comparison or logic of the lanes at `a`, `b`, `c` to the `n` lanes at `out`."""
    if op == ADD:
        for i in range(n):
            u, v = np.int64(pool[a + i]), np.int64(pool[b + i])
            w = u + v
            bad = (u == ERROR) | (v == ERROR) | (w > LARGEST) | (w < -LARGEST)
            pool[out + i] = ERROR if bad else w
    elif op == SUB:
        for i in range(n):
            u, v = np.int64(pool[a + i]), np.int64(pool[b + i])
            w = u - v
            bad = (u == ERROR) | (v == ERROR) | (w > LARGEST) | (w < -LARGEST)
            pool[out + i] = ERROR if bad else w
    elif op == MUL:
        for i in range(n):
            u, v = np.int64(pool[a + i]), np.int64(pool[b + i])
            w = u * v
            bad = (u == ERROR) | (v == ERROR) | (w > LARGEST) | (w < -LARGEST)
            pool[out + i] = ERROR if bad else w
    elif op in (DIV, MOD):
        for i in range(n):
            u, v = np.int64(pool[a + i]), np.int64(pool[b + i])
            if u == ERROR or v == ERROR or v == 0:
                pool[out + i] = ERROR
            elif op == DIV:
                pool[out + i] = u // v
            else:
                pool[out + i] = u % v
    elif op == NEG:
        for i in range(n):
            u = np.int64(pool[a + i])
            pool[out + i] = ERROR if u == ERROR else -u
    elif op == ABS:
        for i in range(n):
            u = np.int64(pool[a + i])
            pool[out + i] = ERROR if u == ERROR else abs(u)
    elif op == MIN:
        for i in range(n):
            u, v = pool[a + i], pool[b + i]
            pool[out + i] = min(u, v)  # an error is the smallest of all
    elif op == MAX:
        for i in range(n):
            u, v = pool[a + i], pool[b + i]
            pool[out + i] = ERROR if (u == ERROR) | (v == ERROR) else max(u, v)
    elif op == IF:
        for i in range(n):
            u, v, w = pool[a + i], pool[b + i], pool[c + i]
            pool[out + i] = ERROR if u == ERROR else (v if u == 1 else w)
    elif op == EQ:
        for i in range(n):
            u, v = pool[a + i], pool[b + i]
            pool[out + i] = ERROR if (u == ERROR) | (v == ERROR) else (1 if u == v else 0)
    elif op == LT:
        for i in range(n):
            u, v = pool[a + i], pool[b + i]
            pool[out + i] = ERROR if (u == ERROR) | (v == ERROR) else (1 if u < v else 0)
    elif op == LE:
        for i in range(n):
            u, v = pool[a + i], pool[b + i]
            pool[out + i] = ERROR if (u == ERROR) | (v == ERROR) else (1 if u <= v else 0)
    elif op == EVEN:
        for i in range(n):
            u = pool[a + i]
            pool[out + i] = ERROR if u == ERROR else 1 - (u & 1)
    elif op == AND:
        for i in range(n):
            u, v = pool[a + i], pool[b + i]
            pool[out + i] = u if u != 1 else v
    elif op == OR:
        for i in range(n):
            u, v = pool[a + i], pool[b + i]
            pool[out + i] = u if u != 0 else v
    elif op == NOT:
        for i in range(n):
            u = pool[a + i]
            pool[out + i] = ERROR if u == ERROR else 1 - u


@njit(cache=True, error_model="numpy", nogil=True)
def run_body(
    pool: Pool, acts: NDArray[np.int32], code: int, n: int, x: int, y: int, examples: int, rows: int, stride: int
) -> int:
    """Run the code at `code` for `n` lanes whose parameters are at `x` and `y`; return where the results are.

    `examples` is where the lanes' examples stand, for the task's inputs. `rows`: scratch of so many lanes `stride`
    apart, its first row the stack of places.
    """
    length = pool[code]
    depth = 0
    for k in range(length):
        action = pool[code + 2 + k]
        kind, argument = acts[action, 0], acts[action, 1]
        if kind == KIND_PARAMETER:
            pool[rows + depth] = x if argument == 0 else y
            depth += 1
            continue
        if kind == KIND_PRIMITIVE:
            arity = acts[action, 2]
            depth -= arity
            out = rows + (depth + 1) * stride
            a = wide(pool[rows + depth])
            b = wide(pool[rows + depth + 1]) if arity > 1 else wide(0)
            c = wide(pool[rows + depth + 2]) if arity > 2 else wide(0)
            operate(wide(argument), pool, a, b, c, out, n)
        else:
            out = rows + (depth + 1) * stride
            if kind == KIND_LITERAL:
                for i in range(n):
                    pool[out + i] = argument
            else:
                place = acts[action, 2]
                for i in range(n):
                    pool[out + i] = pool[place + pool[examples + i]]
        pool[rows + depth] = out
        depth += 1
    return int(pool[rows])


@njit(cache=True, error_model="numpy", nogil=True)
def _lanes_of(pool: Pool, list_: int, count: int, examples: int) -> int:
    """Write which example each element of the list belongs to; return how many elements there are."""
    n = wide(0)
    for e in range(count):
        for _ in range(pool[list_ + e]):
            pool[examples + n] = e
            n += 1
    return n


@njit(cache=True, error_model="numpy", nogil=True)
def _total(pool: Pool, list_: int, count: int) -> int:
    n = wide(0)
    for e in range(count):
        n += pool[list_ + e]
    return n


@njit(cache=True, error_model="numpy", nogil=True)
def with_body(
    op: int,
    pool: Pool,
    acts: NDArray[np.int32],
    code: int,
    a: int,
    b: int,
    out: int,
    count: int,
    rows: int,
    stride: int,
) -> int:
    """Write the value of a primitive that takes a lambda to `out`; return its entries, or -1 for an error.

    `a` and `b`: where the other arguments' values are (list; start and list; two lists). The row before `rows` holds
    lanes' examples, the two before it gathered parameters.
    """
    examples, xs, ys = rows - stride, rows - 2 * stride, rows - 3 * stride
    reads = pool[code + 1]
    if op in (MAP, FILTER, COUNT, ALL, ANY):
        n = _lanes_of(pool, a, count, examples) if reads else _total(pool, a, count)
        got = run_body(pool, acts, code, n, a + count, a + count, examples, rows, stride)
        if op == MAP:
            for e in range(count):
                pool[out + e] = pool[a + e]
            for i in range(n):
                v = pool[got + i]
                if v == ERROR:
                    return -1
                pool[out + count + i] = v
            return count + n
        at = 0
        write = out + count
        for e in range(count):
            passing = 0
            short = False
            for i in range(at, at + pool[a + e]):
                v = pool[got + i]
                if v == ERROR:
                    return -1
                if v == 1:
                    passing += 1
                    if op == FILTER:
                        pool[write] = pool[a + count + i]
                        write += 1
                    elif op == ANY:
                        short = True
                elif op == ALL:
                    short = True
                if short:
                    break  # what comes after is not computed
            length = pool[a + e]
            at += length
            if op == ALL:
                pool[out + e] = 1 if passing == length else 0
            elif op == ANY:
                pool[out + e] = 1 if passing > 0 else 0
            else:
                pool[out + e] = passing
        return write - out if op == FILTER else count
    if op == ZIP:
        n = wide(0)
        at_a, at_b = a + count, b + count
        for e in range(count):
            length = min(pool[a + e], pool[b + e])
            pool[out + e] = length
            for i in range(length):
                pool[xs + n] = pool[at_a + i]
                pool[ys + n] = pool[at_b + i]
                pool[examples + n] = e
                n += 1
            at_a += pool[a + e]
            at_b += pool[b + e]
        got = run_body(pool, acts, code, n, xs, ys, examples, rows, stride)
        for i in range(n):
            v = pool[got + i]
            if v == ERROR:
                return -1
            pool[out + count + i] = v
        return count + n
    # fold and scan: a lane an example, a step an element
    list_ = b if op == FOLD else a
    longest = 0
    for e in range(count):
        pool[examples + e] = e
        longest = max(longest, pool[list_ + e])
        if op == FOLD:
            pool[out + e] = pool[a + e]
        else:
            pool[out + e] = pool[list_ + e]
    begin = 0
    if op == SCAN:
        begin = 1
        at = count
        for e in range(count):
            if pool[list_ + e] > 0:
                pool[out + at] = pool[list_ + at]
            at += pool[list_ + e]
    for step in range(begin, longest):
        at = count
        for e in range(count):
            if pool[list_ + e] > step:
                pool[ys + e] = pool[list_ + at + step]
                pool[xs + e] = pool[out + e] if op == FOLD else pool[out + at + step - 1]
            else:
                pool[ys + e] = 0
                pool[xs + e] = 0
            at += pool[list_ + e]
        got = run_body(pool, acts, code, count, xs, ys, examples, rows, stride)
        at = count
        for e in range(count):
            if pool[list_ + e] > step:
                v = pool[got + e]
                if v == ERROR:
                    return -1
                if op == FOLD:
                    pool[out + e] = v
                else:
                    pool[out + at + step] = v
            at += pool[list_ + e]
    return count if op == FOLD else count + _total(pool, list_, count)


@njit(cache=True, error_model="numpy", nogil=True)
def of_list(op: int, pool: Pool, a: int, b: int, out: int, count: int) -> int:
    """Write the value of a primitive on lists, without a lambda, to `out`; return its entries, or -1 for an error."""
    at = a + count
    if op in (HEAD, LAST):
        for e in range(count):
            length = pool[a + e]
            if length == 0:
                return -1
            pool[out + e] = pool[at] if op == HEAD else pool[at + length - 1]
            at += length
        return count
    if op in (LENGTH, IS_EMPTY):
        for e in range(count):
            length = pool[a + e]
            pool[out + e] = length if op == LENGTH else (1 if length == 0 else 0)
        return count
    if op in (SUM, PRODUCT):
        for e in range(count):
            total = np.int64(0) if op == SUM else np.int64(1)
            for i in range(pool[a + e]):
                v = np.int64(pool[at + i])
                total = total + v if op == SUM else total * v
                if total > LARGEST or total < -LARGEST:
                    return -1
            pool[out + e] = total
            at += pool[a + e]
        return count
    if op in (MINIMUM, MAXIMUM):
        for e in range(count):
            length = pool[a + e]
            if length == 0:
                return -1
            best = pool[at]
            for i in range(1, length):
                v = pool[at + i]
                best = (min(best, v)) if op == MINIMUM else max(best, v)
            pool[out + e] = best
            at += length
        return count
    if op == AT:
        at = b + count
        for e in range(count):
            place, length = pool[a + e], pool[b + e]
            if place < 0 or place >= length:
                return -1
            pool[out + e] = pool[at + place]
            at += length
        return count
    if op == CONTAINS:
        at = b + count
        for e in range(count):
            length = pool[b + e]
            found = 0
            for i in range(length):
                if pool[at + i] == pool[a + e]:
                    found = 1
            pool[out + e] = found
            at += length
        return count
    write = out + count
    if op in (TAKE, DROP):
        at = b + count
        for e in range(count):
            length = pool[b + e]
            n = min(max(pool[a + e], 0), length)
            first, last = (0, n) if op == TAKE else (n, length)
            for i in range(first, last):
                pool[write] = pool[at + i]
                write += 1
            pool[out + e] = last - first
            at += length
        return write - out
    if op == REVERSE:
        for e in range(count):
            length = pool[a + e]
            pool[out + e] = length
            for i in range(length):
                pool[write + i] = pool[at + length - 1 - i]
            at += length
            write += length
        return write - out
    if op == SORT:
        for e in range(count):
            length = pool[a + e]
            pool[out + e] = length
            for i in range(length):  # by insertion: examples' lists are short
                v = pool[at + i]
                j = i
                while j > 0 and pool[write + j - 1] > v:
                    pool[write + j] = pool[write + j - 1]
                    j -= 1
                pool[write + j] = v
            at += length
            write += length
        return write - out
    if op == UNIQUE:
        for e in range(count):
            begin = write
            for i in range(pool[a + e]):
                v = pool[at + i]
                fresh = True
                for j in range(begin, write):
                    if pool[j] == v:
                        fresh = False
                        break
                if fresh:
                    pool[write] = v
                    write += 1
            pool[out + e] = write - begin
            at += pool[a + e]
        return write - out
    if op == APPEND:
        at_b = b + count
        for e in range(count):
            n, m = pool[a + e], pool[b + e]
            if n + m > LONGEST:
                return -1
            for i in range(n):
                pool[write + i] = pool[at + i]
            write += n
            for i in range(m):
                pool[write + i] = pool[at_b + i]
            write += m
            at += n
            at_b += m
            pool[out + e] = n + m
        return write - out
    if op == CONS:
        at = b + count
        for e in range(count):
            length = pool[b + e]
            if length + 1 > LONGEST:
                return -1
            pool[write] = pool[a + e]
            for i in range(length):
                pool[write + 1 + i] = pool[at + i]
            write += length + 1
            at += length
            pool[out + e] = length + 1
        return write - out
    # RANGE
    for e in range(count):
        n = max(pool[a + e], 0)
        if n > LONGEST:
            return -1
        for i in range(n):
            pool[write + i] = i
        write += n
        pool[out + e] = n
    return write - out


@njit(cache=True, error_model="numpy", nogil=True)
def hash_of(pool: Pool, at: int, n: int, seed: int) -> tuple[np.uint64, np.uint64]:
    """128 bits of the `n` entries at `at`, of a nonterminal's number `seed`."""
    first = (np.uint64(seed) + np.uint64(1)) * _HASH_1
    second = (np.uint64(n) + np.uint64(7)) * _HASH_2
    i = 0
    while i + 1 < n:
        word = (np.uint64(pool[at + i]) & _LOW) | (np.uint64(pool[at + i + 1]) << _HALF)
        first = (first ^ word) * _MIX_1
        first ^= first >> _SHIFT_1
        second = (second ^ word) * _MIX_2
        second ^= second >> _SHIFT_2
        i += 2
    if i < n:
        word = np.uint64(pool[at + i]) & _LOW
        first = (first ^ word) * _MIX_1
        second = (second ^ word) * _MIX_2
    first ^= first >> _SHIFT_2
    second ^= second >> _SHIFT_1
    return first * _HASH_1, second * _HASH_2
