"""The compiled loop of the bottom-up search: every term of one level of cost, from the terms below it.

Terms of one production and one inside cost stand side by side (a *span*). For each context, spans hang in chains by
what they cost there: their inside cost and the production's weight in that context. A level takes the productions in
an order in which every child that a term needs is there already (`costs.py` says why), so one pass builds all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.programs.primitives import LONGEST
from clew.programs.search.values import ERROR, KIND_INPUT, hash_of, of_list, operate, wide, with_body

BODIES = 3
"""Nonterminals from this place on stand in the body of a lambda."""
# columns of `terms`
ACTION, PLACE, FIRST, SECOND, THIRD, VALUE, ENTRIES = range(7)
COLUMNS = 7
# columns of `productions`
(
    P_PLACE,
    P_ACTION,
    P_OUTSIDE,
    P_ARITY,
    P_CONTEXT,
    P_CONTEXT_2,
    P_CONTEXT_3,
    P_OP,
    P_SHAPE,
    P_COMMUTES,
    P_VALUE,
    P_ENTRIES,
) = range(12)
PRODUCTION_COLUMNS = 12
# shapes of a production: how its value is made
SHAPE_TERMINAL, SHAPE_LANES, SHAPE_LIST, SHAPE_BODY = range(4)
# columns of `spans`
S_NEXT, S_FROM, S_TO, S_ACTION, S_INSIDE = range(5)
# counters
C_TERMS, C_TOP, C_SPANS, C_BITS, C_NODES, C_RUNS, C_FOUND, C_ERRORS = range(8)
# fixed
F_EXAMPLES, F_GOAL, F_TARGET, F_TARGET_ENTRIES, F_ROWS, F_STRIDE, F_MOST_NODES, F_MOST_CODE, F_LEVELS = range(9)
F_LANES = 9
"""Where the number of lanes of the nonterminals stands, one after another."""
# outcomes of a level
GOES_ON, FOUND, OUT_OF_NODES, OUT_OF_MEMORY, STOPPED = range(5)


class Store(NamedTuple):
    """The arrays of a search, allocated up front."""

    pool: NDArray[np.int32]
    terms: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    table: NDArray[np.int64]
    heads: NDArray[np.int32]
    """[contexts, levels]: the first span of a chain, -1 for none."""
    least: NDArray[np.int32]
    """[contexts]: the least cost of any span that hangs there."""
    spans: NDArray[np.int32]
    counters: NDArray[np.int64]


class Plan(NamedTuple):
    """What a search reads and never writes."""

    productions: NDArray[np.int32]
    acts: NDArray[np.int32]
    weights: NDArray[np.int32]
    """[contexts, actions], -1 where illegal."""
    fits: NDArray[np.int32]
    """[contexts]: their nonterminal, -1 where no program of the goal reaches the context."""
    fixed: NDArray[np.int64]


@njit(cache=True, error_model="numpy", nogil=True)
def _grow(table: NDArray[np.int64], hashes: NDArray[np.uint64], terms: int, bits: int) -> None:
    """Fill the first 2**bits slots of the table anew."""
    mask = (np.int64(1) << bits) - 1
    table[: mask + 1] = 0
    for term in range(terms):
        slot = np.int64(hashes[term, 0] & np.uint64(mask))
        while table[slot] != 0:
            slot = (slot + 1) & mask
        table[slot] = _entry(hashes[term, 1], term)


@njit(cache=True, error_model="numpy", nogil=True)
def _entry(second: np.uint64, term: int) -> int:
    """What a slot holds: 31 bits of the hash, so that few strangers are looked at, and the term's number plus one."""
    return int((np.int64(second >> np.uint64(33)) << 32) | np.int64(term + 1))


@njit(cache=True, error_model="numpy", nogil=True)
def _value(
    production: NDArray[np.int32],
    first: int,
    second: int,
    third: int,
    out: int,
    pool: NDArray[np.int32],
    terms: NDArray[np.int32],
    acts: NDArray[np.int32],
    fixed: NDArray[np.int64],
) -> int:
    """Write a candidate's value to the pool at `out`; return its entries, -1 for one that errs."""
    shape, op, count = production[P_SHAPE], wide(production[P_OP]), fixed[F_EXAMPLES]
    a = wide(terms[first, VALUE])
    b = wide(terms[second, VALUE])
    c = wide(terms[third, VALUE])
    if shape == SHAPE_LANES:
        place = production[P_PLACE]
        lanes = fixed[F_LANES + place]
        operate(op, pool, a, b, c, out, lanes)
        if place < BODIES:
            for e in range(count):
                if pool[out + e] == ERROR:
                    return -1
            return int(count)
        for i in range(lanes):
            if pool[out + i] != ERROR:
                return int(lanes)
        return -1
    if shape == SHAPE_LIST:
        return of_list(op, pool, a, b, out, count)
    code = a + terms[first, ENTRIES]
    return with_body(op, pool, acts, code, b, c, out, count, fixed[F_ROWS], fixed[F_STRIDE])


@njit(cache=True, error_model="numpy", nogil=True)
def _write_code(
    production: NDArray[np.int32],
    children: tuple[int, int, int],
    at: int,
    pool: NDArray[np.int32],
    terms: NDArray[np.int32],
    most: int,
    reads_input: int,
) -> int:
    """Write a body's code to the pool at `at`; return its entries, -1 where it would be too long."""
    reads = reads_input
    length = 0
    for k in range(production[P_ARITY]):
        code = terms[children[k], VALUE] + terms[children[k], ENTRIES]
        reads |= pool[code + 1]
        more = pool[code]
        if length + more + 1 > most:
            return -1
        for i in range(more):
            pool[at + 2 + length + i] = pool[code + 2 + i]
        length += more
    pool[at + 2 + length] = production[P_ACTION]
    pool[at] = length + 1
    pool[at + 1] = reads
    return length + 3


@njit(cache=True, error_model="numpy", nogil=True)
def run_level(level: int, store: Store, plan: Plan, stop: NDArray[np.int64]) -> int:
    """Build every term of this level; return why it ended. Where FOUND, the last term in the store is the program."""
    pool, terms, hashes, table = store.pool, store.terms, store.hashes, store.table
    heads, least, spans, counters = store.heads, store.least, store.spans, store.counters
    productions, acts, weights, fits, fixed = plan.productions, plan.acts, plan.weights, plan.fits, plan.fixed
    count, goal, target, target_entries = fixed[F_EXAMPLES], fixed[F_GOAL], fixed[F_TARGET], fixed[F_TARGET_ENTRIES]
    most_nodes, most_code = fixed[F_MOST_NODES], fixed[F_MOST_CODE]
    number, top, bits = counters[C_TERMS], counters[C_TOP], counters[C_BITS]
    nodes, runs, errors = counters[C_NODES], counters[C_RUNS], counters[C_ERRORS]
    mask = (np.int64(1) << bits) - 1
    room = len(pool) - (count * (LONGEST + 1) + 2 * most_code + 1024)
    most_terms = len(terms) - 2
    outcome = GOES_ON
    for p in range(len(productions)):
        production = productions[p]
        inside = level - production[P_OUTSIDE]
        if inside < 0:
            continue
        arity, place, shape = production[P_ARITY], production[P_PLACE], production[P_SHAPE]
        if arity == 0 and inside != 0:
            continue
        begin = number
        c0, c1, c2 = production[P_CONTEXT], production[P_CONTEXT_2], production[P_CONTEXT_3]
        rest_1 = least[c1] if arity > 1 else 0
        rest_2 = least[c2] if arity > 2 else 0
        low_0 = least[c0] if arity > 0 else 0
        high_0 = inside - rest_1 - rest_2
        if arity < 2:
            low_0 = max(low_0, inside)
        for e0 in range(low_0, high_0 + 1):
            if outcome != GOES_ON:
                break
            s0 = heads[c0, e0] if arity > 0 else 0
            while s0 >= 0 and outcome == GOES_ON:
                left = inside - e0
                low_1 = rest_1
                high_1 = left - rest_2
                if arity < 3:
                    low_1 = max(low_1, left)
                for e1 in range(low_1, high_1 + 1):
                    if outcome != GOES_ON:
                        break
                    s1 = heads[c1, e1] if arity > 1 else 0
                    while s1 >= 0 and outcome == GOES_ON:
                        e2 = left - e1
                        s2 = heads[c2, e2] if arity > 2 else 0
                        half = False
                        if production[P_COMMUTES]:
                            # The mirrored pair has the same value: the dearer of the two is left out.
                            mirrored = (
                                spans[s0, S_INSIDE]
                                + weights[c1, spans[s0, S_ACTION]]
                                + spans[s1, S_INSIDE]
                                + weights[c0, spans[s1, S_ACTION]]
                            )
                            if mirrored < inside:
                                s1 = spans[s1, S_NEXT]
                                continue
                            half = mirrored == inside
                        while s2 >= 0 and outcome == GOES_ON:
                            from_0, to_0 = (spans[s0, S_FROM], spans[s0, S_TO]) if arity > 0 else (0, 1)
                            from_1, to_1 = (spans[s1, S_FROM], spans[s1, S_TO]) if arity > 1 else (0, 1)
                            from_2, to_2 = (spans[s2, S_FROM], spans[s2, S_TO]) if arity > 2 else (0, 1)
                            for t0 in range(from_0, to_0):
                                if outcome != GOES_ON:
                                    break
                                for t1 in range(max(from_1, t0) if half else from_1, to_1):
                                    if outcome != GOES_ON:
                                        break
                                    for t2 in range(from_2, to_2):
                                        if nodes >= most_nodes:
                                            outcome = OUT_OF_NODES
                                            break
                                        if stop[0] != 0:
                                            outcome = STOPPED
                                            break
                                        if top > room or number >= most_terms:
                                            outcome = OUT_OF_MEMORY
                                            break
                                        nodes += 1
                                        if shape == SHAPE_TERMINAL:
                                            entries = production[P_ENTRIES]
                                            for i in range(entries):
                                                pool[top + i] = pool[production[P_VALUE] + i]
                                        else:
                                            entries = _value(production, t0, t1, t2, top, pool, terms, acts, fixed)
                                        if place == goal:
                                            runs += 1
                                        if entries < 0:
                                            errors += 1
                                            continue
                                        if place == goal and entries == target_entries:
                                            same = True
                                            for i in range(entries):
                                                if pool[top + i] != pool[target + i]:
                                                    same = False
                                                    break
                                            if same:
                                                outcome = FOUND
                                        one, two = hash_of(pool, top, entries, place)
                                        slot = np.int64(one & np.uint64(mask))
                                        entry = _entry(two, number)
                                        known = False
                                        while table[slot] != 0:
                                            if (table[slot] ^ entry) >> 32 == 0:
                                                other = (table[slot] & 0xFFFFFFFF) - 1
                                                if hashes[other, 0] == one and hashes[other, 1] == two:
                                                    known = True
                                                    break
                                            slot = (slot + 1) & mask
                                        if known and outcome != FOUND:
                                            continue
                                        size = entries
                                        if place >= BODIES:
                                            wrote = _write_code(
                                                production,
                                                (t0, t1, t2),
                                                top + entries,
                                                pool,
                                                terms,
                                                most_code,
                                                1 if arity == 0 and acts[production[P_ACTION], 0] == KIND_INPUT else 0,
                                            )
                                            if wrote < 0:
                                                errors += 1
                                                continue
                                            size += wrote
                                        terms[number, ACTION] = production[P_ACTION]
                                        terms[number, PLACE] = place
                                        terms[number, FIRST] = t0
                                        terms[number, SECOND] = t1
                                        terms[number, THIRD] = t2
                                        terms[number, VALUE] = top
                                        terms[number, ENTRIES] = entries
                                        hashes[number, 0] = one
                                        hashes[number, 1] = two
                                        table[slot] = entry
                                        number += 1
                                        top += size
                                        if outcome == FOUND:
                                            break
                                        if 2 * number > mask:
                                            bits += 2
                                            mask = (np.int64(1) << bits) - 1
                                            if mask + 1 > len(table):
                                                outcome = OUT_OF_MEMORY
                                                bits -= 2
                                                break
                                            _grow(table, hashes, number, bits)
                            s2 = spans[s2, S_NEXT] if arity > 2 else -1
                        s1 = spans[s1, S_NEXT] if arity > 1 else -1
                s0 = spans[s0, S_NEXT] if arity > 0 else -1
        if number > begin:
            action = production[P_ACTION]
            span = counters[C_SPANS]
            for context in range(len(fits)):
                if fits[context] == place and weights[context, action] >= 0:
                    cost = inside + weights[context, action]
                    if cost < heads.shape[1] and span < len(spans):
                        spans[span, S_NEXT] = heads[context, cost]
                        spans[span, S_FROM] = begin
                        spans[span, S_TO] = number
                        spans[span, S_ACTION] = action
                        spans[span, S_INSIDE] = inside
                        heads[context, cost] = span
                        least[context] = min(least[context], cost)
                        span += 1
            counters[C_SPANS] = span
        if outcome != GOES_ON:
            break
    counters[C_TERMS], counters[C_TOP], counters[C_BITS] = number, top, bits
    counters[C_NODES], counters[C_RUNS], counters[C_ERRORS] = nodes, runs, errors
    return outcome
