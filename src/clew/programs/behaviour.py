"""What a program does, as one hash: its results on a fixed set of arguments. Two tasks are the same where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import permutations

import numpy as np

from clew.core.randomness import generator
from clew.programs import machine
from clew.programs.interpret import Arguments, Program, compile_program
from clew.programs.primitives import Type
from clew.programs.syntax import Expr, Inputs
from clew.programs.task import Task, shipped_tasks

PROBES = 48
"""Arguments that a program is run on."""
_STEPS = 20_000
_FAILED = -(2**62)
_RANK = {Type.LIST: 0, Type.INT: 1, Type.BOOL: 2}


@lru_cache(maxsize=256)
def probes(types: tuple[Type, ...]) -> Arguments:
    """The arguments for inputs of these types; always the same."""
    random = generator(0, "behaviour", *(type_.value for type_ in types))
    cases = []
    for case in range(PROBES):
        reach = (3, 10, 30)[case % 3]
        row: list[object] = []
        for type_ in types:
            if type_ is Type.LIST:
                low = -reach if case % 2 else 0
                row.append(tuple(random.integers(low, reach + 1, random.integers(0, 10)).tolist()))
            elif type_ is Type.INT:
                row.append(int(random.integers(-2, 8) if case % 4 else random.integers(-reach, reach + 1)))
            else:
                row.append(bool(random.integers(2)))
        cases.append(row)
    return Arguments(types, cases)


def behaviour(program: Expr, inputs: Inputs) -> str:
    """A hash of what the program does: 16 hexadecimal digits. Errors are one kind of result.

    Programs with the same hash give the same results on every probe. Neither names nor order of the inputs count: of
    the orders that put lists first, then numbers, the one with the least hash is taken.
    """
    types = tuple(type_ for _, type_ in inputs)
    ordered = tuple(sorted(types, key=_RANK.__getitem__))
    compiled = compile_program(program, inputs)
    ways = {order for order in permutations(range(len(types))) if tuple(types[at] for at in order) == ordered}
    return min(_hash(compiled, ordered, order) for order in ways)


def _hash(compiled: Program, ordered: tuple[Type, ...], order: tuple[int, ...]) -> str:
    """The hash where the probes' input number k is given to the input `order[k]` of the program."""
    packed = probes(ordered)
    places = np.argsort(order) if order else np.zeros(0, np.int64)
    results = np.empty((len(packed), 4), np.int64)
    given = np.ascontiguousarray(packed.values[:, places])
    lists = packed.lists if compiled.output is Type.LIST else packed.lists[:0]
    heap = packed.heap(compiled.room)
    machine.run_cases(compiled.code, given, heap, packed.used, compiled.sizes, _STEPS, results, lists)
    failed = results[:, machine.ERROR] != machine.FINE
    values = np.where(failed, _FAILED, results[:, machine.VALUE])
    digest = hashlib.blake2b(digest_size=8)
    digest.update(",".join([*(type_.value for type_ in ordered), compiled.output.value]).encode())
    digest.update(values.tobytes())
    if compiled.output is Type.LIST:
        for case in np.flatnonzero(~failed).tolist():
            digest.update(lists[case, : values[case]].tobytes())
    return digest.hexdigest()


def computes(tasks: Iterable[Task]) -> frozenset[str]:
    """What tasks compute; those without a reference program are passed over."""
    return frozenset(behaviour(task.reference, task.inputs) for task in tasks if task.reference is not None)


@cache
def shipped() -> frozenset[str]:
    """What the tasks that ship with Clew compute: nothing is trained on that."""
    return computes(shipped_tasks())
