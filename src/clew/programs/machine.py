"""The machine that programs run on: a stack, slots for inputs and parameters, and lists in one array. Compiled.

A row of code is `operation, argument, slot, loop, body`. A list is one word: where it begins in the heap, times 65,536,
plus its length. A lambda gives a number or a truth value, so that what its body put on the heap is free when it ends:
the heap needs room for one list for each node of the program, however often a body runs.

Steps are counted as `interpret` says, and looked at before each operation and at an error: a program is over its limit
where the whole of what it has begun costs more, and then counts one step more than the limit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.programs.primitives import LARGEST, LONGEST, PRIMITIVES

Words = npt.NDArray[np.int64]

_NUMBER = {name: number for number, name in enumerate(PRIMITIVES)}
ADD, SUB, MUL, DIV, MOD = (_NUMBER[name] for name in ("add", "sub", "mul", "div", "mod"))
NEG, ABS, MIN, MAX, IF = (_NUMBER[name] for name in ("neg", "abs", "min", "max", "if"))
EQ, LT, LE, EVEN, AND, OR, NOT = (_NUMBER[name] for name in ("eq", "lt", "le", "even", "and", "or", "not"))
HEAD, LAST, AT, LENGTH, SUM = (_NUMBER[name] for name in ("head", "last", "at", "length", "sum"))
PRODUCT, MINIMUM, MAXIMUM = (_NUMBER[name] for name in ("product", "minimum", "maximum"))
COUNT, FOLD, ALL, ANY, MAP = (_NUMBER[name] for name in ("count", "fold", "all", "any", "map"))
FILTER, ZIP, SCAN = (_NUMBER[name] for name in ("filter", "zip", "scan"))
IS_EMPTY, CONTAINS = (_NUMBER[name] for name in ("is_empty", "contains"))
TAKE, DROP, SORT, REVERSE, UNIQUE = (_NUMBER[name] for name in ("take", "drop", "sort", "reverse", "unique"))
APPEND, CONS, RANGE = (_NUMBER[name] for name in ("append", "cons", "range"))
LITERAL, LOAD, JUMP, NEXT = 100, 101, 102, 103
"""Operations that are no primitive. NEXT ends a lambda's body: its argument is the primitive that runs it."""

FINE, EMPTY, POSITION, ZERO, TOO_LARGE, TOO_LONG, TOO_MANY_STEPS = range(7)
"""What stopped a program."""

VALUE, STEPS, ERROR, WHERE = range(4)
"""Columns of a result: the value (a number, 0 or 1, a list's word), steps, what stopped it, the row of code it was."""

ROOM = 16
_LENGTH = (1 << ROOM) - 1


@njit(cache=True)
def _sort(heap: Words, start: int, length: int) -> None:
    """Shell's sort with Ciura's gaps (2001): short lists, in place."""
    for gap in (132, 57, 23, 10, 4, 1):
        for place in range(gap, length):
            value = heap[start + place]
            hole = place
            while hole >= gap and heap[start + hole - gap] > value:
                heap[start + hole] = heap[start + hole - gap]
                hole -= gap
            heap[start + hole] = value


@njit(cache=True)
def digits(number: int) -> int:
    """Binary digits of a number that is not negative."""
    found = 0
    while number > 0:
        number >>= 1
        found += 1
    return found


@njit(cache=True)
def _run(
    code: Words, heap: Words, top: int, stack: Words, slots: Words, loops: Words, limit: int
) -> tuple[int, int, int, int]:
    """Run a program whose inputs stand in `slots`; the heap is free from `top` on. Returns a result's four columns."""
    rows = len(code)
    pc, at, sp, steps = 0, 0, 0, 0
    error = FINE
    while pc < rows:
        if steps > limit:
            break
        at = pc
        operation, argument = code[pc, 0], code[pc, 1]
        pc += 1
        if operation == LITERAL:
            stack[sp] = argument
            sp += 1
            continue
        if operation == LOAD:
            stack[sp] = slots[argument]
            sp += 1
            continue
        if operation == JUMP:
            pc = argument
            continue
        if operation == NEXT:
            # loops[depth]: source, second source, length, position, where results go, how many there are, heap's top
            loop = loops[code[at, 3]]
            slot = code[at, 2]
            sp -= 1
            found = stack[sp]
            position = loop[3]
            top = loop[6]
            over = False
            if argument in (MAP, ZIP):
                heap[loop[4] + position] = found
            elif argument == FILTER:
                if found:
                    heap[loop[4] + loop[5]] = heap[loop[0] + position]
                    loop[5] += 1
            elif argument == COUNT:
                loop[5] += found
            elif argument == FOLD:
                loop[5] = found
            elif argument == SCAN:
                heap[loop[4] + position] = found
            elif argument == ALL:
                loop[5] = found
                over = found == 0
            else:
                loop[5] = found
                over = found != 0
            position += 1
            loop[3] = position
            if position < loop[2] and not over:
                steps += 1
                if argument == ZIP:
                    slots[slot] = heap[loop[0] + position]
                    slots[slot + 1] = heap[loop[1] + position]
                elif argument in (FOLD, SCAN):
                    slots[slot] = found
                    slots[slot + 1] = heap[loop[0] + position]
                else:
                    slots[slot] = heap[loop[0] + position]
                pc = code[at, 4]
                continue
            if argument in (MAP, ZIP, SCAN):
                stack[sp] = loop[4] << ROOM | loop[2]
            elif argument == FILTER:
                stack[sp] = loop[4] << ROOM | loop[5]
            else:
                stack[sp] = loop[5]
            sp += 1
            continue

        steps += 1
        if operation <= MAX and operation != NEG and operation != ABS:
            sp -= 1
            second = stack[sp]
            first = stack[sp - 1]
            if operation == ADD:
                first += second
            elif operation == SUB:
                first -= second
            elif operation == MUL:
                first *= second
            elif operation == MIN:
                first = min(first, second)
            elif operation == MAX:
                first = max(first, second)
            elif second == 0:
                error = ZERO
                break
            elif operation == DIV:
                first //= second
            else:
                first %= second
            if first > LARGEST or first < -LARGEST:
                error = TOO_LARGE
                break
            stack[sp - 1] = first
        elif operation == NEG:
            stack[sp - 1] = -stack[sp - 1]
        elif operation == ABS:
            stack[sp - 1] = abs(stack[sp - 1])
        elif operation == IF:
            sp -= 1
            if stack[sp] == 0:
                pc = argument
        elif operation == EQ:
            sp -= 1
            stack[sp - 1] = 1 if stack[sp - 1] == stack[sp] else 0
        elif operation == LT:
            sp -= 1
            stack[sp - 1] = 1 if stack[sp - 1] < stack[sp] else 0
        elif operation == LE:
            sp -= 1
            stack[sp - 1] = 1 if stack[sp - 1] <= stack[sp] else 0
        elif operation == EVEN:
            stack[sp - 1] = 1 - (stack[sp - 1] & 1)
        elif operation == AND:
            if stack[sp - 1] == 0:
                pc = argument
            else:
                sp -= 1
        elif operation == OR:
            if stack[sp - 1] != 0:
                pc = argument
            else:
                sp -= 1
        elif operation == NOT:
            stack[sp - 1] = 1 - stack[sp - 1]
        elif operation == RANGE:
            length = max(stack[sp - 1], 0)
            if length > LONGEST:
                error = TOO_LONG
                break
            steps += length
            for place in range(length):
                heap[top + place] = place
            stack[sp - 1] = top << ROOM | length
            top += length
        else:
            # the rest takes a list as its last argument
            sp -= 1
            start = stack[sp] >> ROOM
            length = stack[sp] & _LENGTH
            if operation == LENGTH:
                stack[sp] = length
            elif operation == IS_EMPTY:
                stack[sp] = 1 if length == 0 else 0
            elif operation in (HEAD, LAST):
                if length == 0:
                    error = EMPTY
                    break
                stack[sp] = heap[start] if operation == HEAD else heap[start + length - 1]
            elif operation == AT:
                sp -= 1
                if stack[sp] < 0 or stack[sp] >= length:
                    error = POSITION
                    break
                stack[sp] = heap[start + stack[sp]]
            elif operation in (SUM, PRODUCT):
                steps += length
                gathered = 0 if operation == SUM else 1
                for place in range(start, start + length):
                    gathered = gathered + heap[place] if operation == SUM else gathered * heap[place]
                    if gathered > LARGEST or gathered < -LARGEST:
                        error = TOO_LARGE
                        break
                if error != FINE:
                    break
                stack[sp] = gathered
            elif operation in (MINIMUM, MAXIMUM):
                steps += length
                if length == 0:
                    error = EMPTY
                    break
                best = heap[start]
                for place in range(start + 1, start + length):
                    if (heap[place] < best) == (operation == MINIMUM) and heap[place] != best:
                        best = heap[place]
                stack[sp] = best
            elif operation == CONTAINS:
                steps += length
                sp -= 1
                wanted = stack[sp]
                stack[sp] = 0
                for place in range(start, start + length):
                    if heap[place] == wanted:
                        stack[sp] = 1
            elif operation in (TAKE, DROP):
                sp -= 1
                cut = min(max(stack[sp], 0), length)
                if operation == DROP:
                    start += cut
                    cut = length - cut
                # Lists do not change, so a part of one is its own beginning and length; the cost is that of a copy.
                steps += cut
                stack[sp] = start << ROOM | cut
            elif operation == SORT:
                steps += length * digits(length)
                for place in range(length):
                    heap[top + place] = heap[start + place]
                _sort(heap, top, length)
                stack[sp] = top << ROOM | length
                top += length
            elif operation == REVERSE:
                steps += length
                for place in range(length):
                    heap[top + place] = heap[start + length - 1 - place]
                stack[sp] = top << ROOM | length
                top += length
            elif operation == UNIQUE:
                steps += length
                kept = 0
                for place in range(start, start + length):
                    new = True
                    for earlier in range(top, top + kept):
                        if heap[earlier] == heap[place]:
                            new = False
                            break
                    if new:
                        heap[top + kept] = heap[place]
                        kept += 1
                stack[sp] = top << ROOM | kept
                top += kept
            elif operation == APPEND:
                sp -= 1
                before = stack[sp] & _LENGTH
                if before + length > LONGEST:
                    error = TOO_LONG
                    break
                steps += before + length
                for place in range(before):
                    heap[top + place] = heap[(stack[sp] >> ROOM) + place]
                for place in range(length):
                    heap[top + before + place] = heap[start + place]
                stack[sp] = top << ROOM | (before + length)
                top += before + length
            elif operation == CONS:
                sp -= 1
                if length + 1 > LONGEST:
                    error = TOO_LONG
                    break
                steps += length + 1
                heap[top] = stack[sp]
                for place in range(length):
                    heap[top + 1 + place] = heap[start + place]
                stack[sp] = top << ROOM | (length + 1)
                top += length + 1
            else:
                # a primitive with a lambda: its first round, or its result where there is no element
                loop = loops[code[at, 3]]
                slot = code[at, 2]
                loop[0] = start
                position = 0
                gathered = 0
                if operation == ZIP:
                    sp -= 1
                    loop[0], loop[1] = stack[sp] >> ROOM, start
                    length = min(length, stack[sp] & _LENGTH)
                elif operation == FOLD:
                    sp -= 1
                    gathered = stack[sp]
                elif operation == ALL:
                    gathered = 1
                loop[2] = length
                loop[4] = top
                loop[5] = gathered
                if operation in (MAP, FILTER, ZIP, SCAN):
                    top += length
                loop[6] = top
                if operation == SCAN and length > 0:
                    steps += 1
                    position = 1
                    gathered = heap[start]
                    heap[loop[4]] = gathered
                loop[3] = position
                if position < length:
                    steps += 1
                    slots[slot] = heap[loop[0] + position]
                    if operation == ZIP:
                        slots[slot + 1] = heap[loop[1] + position]
                    elif operation in (FOLD, SCAN):
                        slots[slot] = gathered
                        slots[slot + 1] = heap[start + position]
                else:
                    if operation in (MAP, ZIP, SCAN, FILTER):
                        stack[sp] = loop[4] << ROOM | (0 if operation == FILTER else length)
                    else:
                        stack[sp] = gathered
                    pc = argument
                    sp += 1
                continue
            sp += 1
    if steps > limit:
        error = TOO_MANY_STEPS
        steps = limit + 1
    return stack[0], steps, error, at


@njit(cache=True)
def run_cases(
    code: Words,
    inputs: Words,
    heap: Words,
    used: int,
    sizes: tuple[int, int, int],
    limit: int,
    results: Words,
    lists: Words,
) -> None:
    """Run one program on many cases.

    `inputs` is [cases, inputs]: numbers, and words of lists that stand in the first `used` words of the heap. `sizes`:
    how many words of stack, how many slots, how many loops the program needs. Fills `results` [cases, 4], and, where
    it has rows, `lists` [cases, LONGEST] with the elements of results that are lists.
    """
    stack = np.empty(sizes[0], np.int64)
    slots = np.empty(sizes[1], np.int64)
    loops = np.empty((sizes[2], 7), np.int64)
    for case in range(len(inputs)):
        slots[: inputs.shape[1]] = inputs[case]
        value, steps, error, where = _run(code, heap, used, stack, slots, loops, limit)
        results[case, VALUE] = value
        results[case, STEPS] = steps
        results[case, ERROR] = error
        results[case, WHERE] = where
        if len(lists) > 0 and error == FINE:
            start, length = value >> ROOM, value & _LENGTH
            results[case, VALUE] = length
            for place in range(length):
                lists[case, place] = heap[start + place]
