"""Property signatures: which of a fixed list of properties hold between a task's inputs and its outputs.

After Odena and Sutton (2020), "Learning to represent programs with property signatures": a property is a truth value of
one example's inputs and output; over the examples of a task it holds for all, for none, or for some. Ours compare the
output with what short programs make of the inputs (the *bases*: the list sorted, its even elements, its running sums,
its maximum): equal, a rearrangement, a part, a beginning. Roles, not places, are compared: A and B are the first two
lists among the inputs, n and m the first two numbers (a truth value counts as 0 or 1).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.programs.primitives import LONGEST

Numbers = NDArray[np.int64]
Truths = NDArray[np.int8]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


MAPS = _words(
    "neg A|abs A|A + 1|A - 1|A + 2|A + 3|A + 10|A * 2|A * 3|A * 10|A * A|A / 2|A / 3|A % 2|A % 3|A % 10|"
    "A + n|A - n|n - A|A * n|min A n|max A n|min A 0|max A 0|1 - A|A % n"
)
FILTERS = (
    "even A",
    "odd A",
    "0 < A",
    "A < 0",
    "n < A",
    "A < n",
    "3 | A",
    "1 < A",
    "not n A",
    "2 < A",
    "A < 3",
    "n | A",
)
ZIPS = ("A + B", "A - B", "B - A", "A * B", "min A B", "max A B", "A + A'", "A - A'", "A * A'", "min A A'", "max A A'")
SCANS = ("scan + A", "scan - A", "scan * A", "scan min A", "scan max A")
ORDERS = _words(
    "A|sort A|reverse A|reverse (sort A)|unique A|unique (sort A)|drop 1 A|init A|take n A|drop n A|B|"
    "append A B|append B A|sort B|reverse B|range n|range (length A)|sort (A B)|n A|A A'|take 2 A|"
    "drop 2 A|take 3 A"
)
LIST_BASES = ORDERS + MAPS + FILTERS + ZIPS + SCANS
"""Lists that a result is compared with; A' is A reversed."""

LIST_RELATIONS = ("is", "rearranges", "is part of", "keeps the order of", "begins")
"""Of a list to a base."""

REDUCTIONS = ("sums", "is the maximum of", "is the minimum of", "is the length of", "is first of", "is last of")
"""Of a number to a base."""

INT_BASES = _words(
    "0|1|2|n|m|length A|sum A|maximum A|minimum A|first A|last A|second A|product A|unique A|n at A|"
    "length B|sum B|maximum B|minimum B|first B|last B|dot A B|median A|count n A|count even A|"
    "maximum - minimum"
)
"""Numbers that a number is compared with."""

NUMBER_RELATIONS = ("is", "is below", "is a multiple of", "is as far always from", "is as many times always")
"""Of a number to a number; the last two look at all examples together."""

PREDICATES = ("even", "0 < it", "it < 0", "n < it", "it < n", "n", "0", "1", "3 | it", "1 < it", "2 < it", "it < 10")
"""Of a number: whether all of A have it, whether any has, whether the first, the last, the sum, the length has."""

TRUTHS = (
    *(f"{which} {predicate}" for predicate in PREDICATES for which in ("all A", "any A")),
    *(f"{which} {predicate}" for predicate in PREDICATES for which in ("first A", "last A", "sum A", "length A")),
    *(f"{which} {predicate}" for predicate in PREDICATES for which in ("maximum A", "minimum A", "n")),
    *_words(
        "A empty|B empty|A sorted|A falls|A repeats|A palindrome|n < m|m < n|first A < last A|"
        "first A is last A|sum A < sum B|length A < length B|A is B|maximum A < maximum B|"
        "first A < first B|first A in B|last A < last B|m in A|sum A is sum B|length A is length B"
    ),
)
"""Truth values that a truth value is compared with."""

SHAPES = (
    *_words(
        "as long as A|shorter than A|empty|one element|sorted|falls|no repeats|all in A|all in B|A all in it|"
        "n in it|length n|as long as B|as long as A and B|longer by one than A|ends A|ends sort A|"
        "moves with A|moves against A|starts as A|ends as A|first is last of A|one number from A|"
        "one factor from A|begins with n|ends reverse A"
    ),
    *(f"all {predicate}" for predicate in PREDICATES),
)
"""Properties of a list result, alone and with A, B and n."""

TRUE, FALSE, UNDEFINED = 1, 0, -1
_ORDERS, _MAPS, _FILTERS, _ZIPS, _SCANS = len(ORDERS), len(MAPS), len(FILTERS), len(ZIPS), len(SCANS)
_BASES, _RELATIONS, _REDUCTIONS = len(LIST_BASES), len(LIST_RELATIONS), len(REDUCTIONS)
_NUMBERS, _PREDICATES = len(INT_BASES), len(PREDICATES)
_WIDTH = 2 * LONGEST + 2
_FAR = 1 << 40


@njit(cache=True)
def _mapped(code: int, value: int, n: int) -> int:
    if code == 0:
        return -value
    if code == 1:
        return abs(value)
    if code == 2:
        return value + 1
    if code == 3:
        return value - 1
    if code == 4:
        return value + 2
    if code == 5:
        return value + 3
    if code == 6:
        return value + 10
    if code == 7:
        return value * 2
    if code == 8:
        return value * 3
    if code == 9:
        return value * 10
    if code == 10:
        return value * value
    if code == 11:
        return value // 2
    if code == 12:
        return value // 3
    if code == 13:
        return value % 2
    if code == 14:
        return value % 3
    if code == 15:
        return value % 10
    if code == 16:
        return value + n
    if code == 17:
        return value - n
    if code == 18:
        return n - value
    if code == 19:
        return value * n
    if code == 20:
        return min(value, n)
    if code == 21:
        return max(value, n)
    if code == 22:
        return min(value, 0)
    if code == 23:
        return max(value, 0)
    if code == 24:
        return 1 - value
    return value % n if n != 0 else 0


@njit(cache=True)
def _passes(code: int, value: int, n: int) -> bool:
    """Filters, by their place in `FILTERS`."""
    if code == 0:
        return value % 2 == 0
    if code == 1:
        return value % 2 == 1
    if code == 2:
        return value > 0
    if code == 3:
        return value < 0
    if code == 4:
        return value > n
    if code == 5:
        return value < n
    if code == 6:
        return value % 3 == 0
    if code == 7:
        return value > 1
    if code == 8:
        return value != n
    if code == 9:
        return value > 2
    if code == 10:
        return value < 3
    return n != 0 and value % n == 0


@njit(cache=True)
def _has(code: int, value: int, n: int) -> bool:
    """Predicates, by their place in `PREDICATES`."""
    if code == 0:
        return value % 2 == 0
    if code == 1:
        return value > 0
    if code == 2:
        return value < 0
    if code == 3:
        return value > n
    if code == 4:
        return value < n
    if code == 5:
        return value == n
    if code == 6:
        return value == 0
    if code == 7:
        return value == 1
    if code == 8:
        return value % 3 == 0
    if code == 9:
        return value > 1
    if code == 10:
        return value > 2
    return value < 10


@njit(cache=True)
def _joined(code: int, left: int, right: int) -> int:
    """Functions of two numbers, in the order of `SCANS`: sum, difference, product, smaller, larger."""
    if code == 0:
        return left + right
    if code == 1:
        return left - right
    if code == 2:
        return left * right
    return min(left, right) if code == 3 else max(left, right)


@njit(cache=True)
def _orders(a: Numbers, b: Numbers, n: int, has: Truths, rows: Numbers, sizes: Numbers) -> None:
    """The bases of `ORDERS`; a size of -1 says that one is not defined here."""
    has_a, has_b, has_n = has[0] == 1, has[1] == 1, has[2] == 1
    some = max(0, min(n, a.size))
    for k in range(_ORDERS):
        sizes[k] = -1
        if k <= 9 or k >= 16:
            if not has_a or (k in (8, 9, 18) and not has_n) or (k == 17 and not has_b):
                continue
            if k == 0:
                made = a
            elif k == 1:
                made = np.sort(a)
            elif k == 2:
                made = a[::-1].copy()
            elif k == 3:
                made = np.sort(a)[::-1].copy()
            elif k == 4 or k == 5:
                source = a if k == 4 else np.sort(a)
                made = np.empty(a.size, np.int64)
                count = 0
                for value in source:
                    known = False
                    for place in range(count):
                        if made[place] == value:
                            known = True
                            break
                    if not known:
                        made[count] = value
                        count += 1
                made = made[:count]
            elif k == 6:
                made = a[1:]
            elif k == 7:
                made = a[: max(0, a.size - 1)]
            elif k == 8:
                made = a[:some]
            elif k == 9:
                made = a[some:]
            elif k == 16:
                made = np.arange(a.size)
            elif k == 17:
                made = np.sort(np.concatenate((a, b)))
            elif k == 18:
                made = np.concatenate((np.full(1, n), a))
            elif k == 19:
                made = np.concatenate((a, a[::-1]))
            elif k == 20:
                made = a[:2]
            elif k == 21:
                made = a[2:]
            else:
                made = a[:3]
        elif k == 15:
            if not has_n:
                continue
            made = np.arange(max(0, min(n, LONGEST)))
        else:
            if not has_b:
                continue
            if k == 10:
                made = b
            elif k == 11:
                made = np.concatenate((a, b))
            elif k == 12:
                made = np.concatenate((b, a))
            elif k == 13:
                made = np.sort(b)
            else:
                made = b[::-1].copy()
        sizes[k] = made.size
        rows[k, : made.size] = made


@njit(cache=True)
def _bases(a: Numbers, b: Numbers, n: int, has: Truths, rows: Numbers, sizes: Numbers) -> None:
    """Every base of one example, in the order of `LIST_BASES`, into `rows` [bases, width] and `sizes` [bases]."""
    has_a, has_b, has_n = has[0] == 1, has[1] == 1, has[2] == 1
    _orders(a, b, n, has, rows, sizes)
    row = _ORDERS
    for code in range(_MAPS):
        sizes[row] = a.size if has_a and (has_n or not (16 <= code <= 21 or code == 25)) else -1
        if sizes[row] >= 0:
            for place in range(a.size):
                rows[row, place] = _mapped(code, a[place], n)
        row += 1
    for code in range(_FILTERS):
        sizes[row] = 0 if has_a and (has_n or code not in (4, 5, 8, 11)) else -1
        if sizes[row] == 0:
            count = 0
            for value in a:
                if _passes(code, value, n):
                    rows[row, count] = value
                    count += 1
            sizes[row] = count
        row += 1
    for code in range(_ZIPS):
        own = code >= 6
        sizes[row] = -1
        if has_a and (own or has_b):
            size = a.size if own else min(a.size, b.size)
            for place in range(size):
                left, right = a[place], a[a.size - 1 - place] if own else b[place]
                if code == 2:
                    left, right = right, left
                which = code - 6 if own else (code if code < 2 else code - 1)
                rows[row, place] = _joined(which, left, right)
            sizes[row] = size
        row += 1
    for code in range(_SCANS):
        sizes[row] = a.size if has_a else -1
        if has_a and a.size:
            rows[row, 0] = a[0]
            for place in range(1, a.size):
                made = _joined(code, rows[row, place - 1], a[place])
                rows[row, place] = max(-_FAR, min(_FAR, made)) if abs(made) < _FAR else _FAR
        row += 1


@njit(cache=True)
def _part(small: Numbers, large: Numbers) -> bool:
    """Whether the sorted `large` has the elements of the sorted `small`, each as often at least."""
    place = 0
    for value in small:
        while place < large.size and large[place] < value:
            place += 1
        if place == large.size or large[place] != value:
            return False
        place += 1
    return True


@njit(cache=True)
def _in_order(small: Numbers, large: Numbers) -> bool:
    """Whether `small` is left when elements of `large` are struck out."""
    place = 0
    for value in small:
        while place < large.size and large[place] != value:
            place += 1
        if place == large.size:
            return False
        place += 1
    return True


@njit(cache=True)
def _compare_lists(result: Numbers, rows: Numbers, sizes: Numbers, found: Truths) -> None:
    """The relations of a list to every base into `found` [bases * relations]."""
    ordered = np.sort(result)
    for k in range(_BASES):
        size = sizes[k]
        if size < 0:
            continue
        base = rows[k, :size]
        at = k * _RELATIONS
        same = size == result.size
        start = result.size <= size
        for place in range(min(size, result.size)):
            if base[place] != result[place]:
                same = start = False
                break
        inside = result.size <= size and _part(ordered, np.sort(base))
        found[at] = same
        found[at + 1] = inside and size == result.size
        found[at + 2] = inside
        found[at + 3] = inside and _in_order(result, base)
        found[at + 4] = start


@njit(cache=True)
def _compare_reductions(result: int, rows: Numbers, sizes: Numbers, found: Truths) -> None:
    """Whether a number is the sum, the maximum, ... of every base into `found` [bases * reductions]."""
    for k in range(_BASES):
        size = sizes[k]
        if size < 0:
            continue
        base = rows[k, :size]
        at = k * _REDUCTIONS
        total, largest, smallest = 0, -_FAR, _FAR
        for value in base:
            total += value
            largest, smallest = max(largest, value), min(smallest, value)
        found[at] = total == result
        found[at + 3] = size == result
        if size:
            found[at + 1] = largest == result
            found[at + 2] = smallest == result
            found[at + 4] = base[0] == result
            found[at + 5] = base[-1] == result


@njit(cache=True)
def _numbers(a: Numbers, b: Numbers, n: int, m: int, has: Truths, made: Numbers, known: Truths) -> None:
    """The numbers of `INT_BASES` into `made`, and whether each is defined into `known`."""
    known[:] = 0
    for k in range(3):
        made[k], known[k] = k, 1
    made[3], known[3] = n, has[2]
    made[4], known[4] = m, has[3]
    if has[0] == 1:
        made[5], known[5] = a.size, 1
        made[6], known[6] = a.sum(), 1
        product = 1
        for value in a:
            product = max(-_FAR, min(_FAR, product * value)) if abs(product) < _FAR else _FAR
        made[12], known[12] = product, 1
        ordered = np.sort(a)
        unique = 0
        for place in range(a.size):
            if place == 0 or ordered[place] != ordered[place - 1]:
                unique += 1
        made[13], known[13] = unique, 1
        made[24], known[24] = np.sum(a % 2 == 0), 1
        if has[2] == 1:
            made[23], known[23] = np.sum(a == n), 1
        if a.size:
            made[7], made[8], made[9], made[10] = ordered[-1], ordered[0], a[0], a[-1]
            known[7:11] = 1
            made[22], known[22] = ordered[a.size // 2], 1
            made[25], known[25] = ordered[-1] - ordered[0], 1
            if a.size > 1:
                made[11], known[11] = a[1], 1
            if has[2] == 1 and 0 <= n < a.size:
                made[14], known[14] = a[n], 1
    if has[1] == 1:
        made[15], made[16] = b.size, b.sum()
        known[15:17] = 1
        if b.size:
            made[17], made[18], made[19], made[20] = b.max(), b.min(), b[0], b[-1]
            known[17:21] = 1
        size = min(a.size, b.size)
        made[21], known[21] = (a[:size] * b[:size]).sum(), 1


@njit(cache=True)
def _truths(a: Numbers, b: Numbers, n: int, m: int, has: Truths, made: Truths) -> None:
    """The truth values of `TRUTHS`, -1 where one is not defined."""
    made[:] = UNDEFINED
    has_a, has_b, has_n, has_m = has[0] == 1, has[1] == 1, has[2] == 1, has[3] == 1
    total = a.sum()
    for code in range(_PREDICATES):
        if not has_n and code in (3, 4, 5):
            continue
        if has_a:
            count = 0
            for value in a:
                count += _has(code, value, n)
            made[2 * code] = count == a.size
            made[2 * code + 1] = count > 0
            at = 2 * _PREDICATES + 4 * code
            made[at + 2] = _has(code, total, n)
            made[at + 3] = _has(code, a.size, n)
            if a.size:
                made[at] = _has(code, a[0], n)
                made[at + 1] = _has(code, a[-1], n)
                made[6 * _PREDICATES + 3 * code] = _has(code, a.max(), n)
                made[6 * _PREDICATES + 3 * code + 1] = _has(code, a.min(), n)
        if has_n:
            made[6 * _PREDICATES + 3 * code + 2] = _has(code, n, n)
    at = 9 * _PREDICATES
    if has_a:
        made[at] = a.size == 0
        made[at + 2] = np.all(a[1:] >= a[:-1])
        made[at + 3] = np.all(a[1:] <= a[:-1])
        ordered = np.sort(a)
        made[at + 4] = np.any(ordered[1:] == ordered[:-1])
        made[at + 5] = np.all(a == a[::-1])
        if a.size:
            made[at + 8] = a[0] < a[-1]
            made[at + 9] = a[0] == a[-1]
        if has_m:
            made[at + 17] = np.any(a == m)
    if has_b:
        made[at + 1] = b.size == 0
        made[at + 10] = total < b.sum()
        made[at + 11] = a.size < b.size
        made[at + 12] = a.size == b.size and np.all(a[: b.size] == b[: a.size])
        made[at + 18] = total == b.sum()
        made[at + 19] = a.size == b.size
        if a.size and b.size:
            made[at + 13] = a.max() < b.max()
            made[at + 14] = a[0] < b[0]
            made[at + 15] = np.any(b == a[0])
            made[at + 16] = a[-1] < b[-1]
    if has_m:
        made[at + 6] = n < m
        made[at + 7] = m < n


@njit(cache=True)
def _ends(result: Numbers, base: Numbers) -> bool:
    return result.size <= base.size and bool(np.all(result == base[base.size - result.size :]))


@njit(cache=True)
def _all_in(result: Numbers, base: Numbers) -> bool:
    for value in result:
        if not np.any(base == value):
            return False
    return True


@njit(cache=True)
def _shape(result: Numbers, a: Numbers, b: Numbers, n: int, has: Truths, made: Truths) -> None:
    """The properties of `SHAPES`, -1 where one is not defined."""
    made[:] = UNDEFINED
    size = result.size
    ordered = np.sort(result)
    made[2] = size == 0
    made[3] = size == 1
    if size > 1:
        made[4] = np.all(result[1:] >= result[:-1])
        made[5] = np.all(result[1:] <= result[:-1])
        made[6] = not np.any(ordered[1:] == ordered[:-1])
    if has[0] == 1:
        made[0] = size == a.size
        made[1] = size < a.size
        made[14] = size == a.size + 1
        made[7] = _all_in(result, a)
        made[9] = _part(np.sort(a), ordered)
        made[15] = _ends(result, a)
        made[16] = _ends(result, np.sort(a))
        made[25] = _ends(result, a[::-1])
        if size and a.size:
            made[19] = result[0] == a[0]
            made[20] = result[-1] == a[-1]
            made[21] = result[0] == a[-1]
        if size == a.size and size > 1:
            up = down = True
            for place in range(1, size):
                step, own = result[place] - result[place - 1], a[place] - a[place - 1]
                up = up and (step >= 0 if own > 0 else (step <= 0 if own < 0 else step == 0))
                down = down and (step <= 0 if own > 0 else (step >= 0 if own < 0 else step == 0))
            made[17], made[18] = up, down
            made[22] = np.all(result - a == result[0] - a[0])
            made[23] = np.all(result * a[0] == result[0] * a)
    if has[1] == 1:
        made[12] = size == b.size
        made[13] = size == a.size + b.size
        made[8] = _all_in(result, b)
    if has[2] == 1:
        made[10] = np.any(result == n)
        made[11] = size == n
        if size:
            made[24] = result[0] == n
    for code in range(_PREDICATES):
        if size and (has[2] == 1 or code not in (3, 4, 5)):
            count = 0
            for value in result:
                count += _has(code, value, n)
            made[26 + code] = count == size


SECTIONS = {
    "list": _BASES * _RELATIONS,
    "shape": len(SHAPES),
    "reduction": _BASES * _REDUCTIONS,
    "number": _NUMBERS * len(NUMBER_RELATIONS),
    "quality": _PREDICATES,
    "truth": len(TRUTHS),
}
"""Parts of a signature and their sizes, in order."""

PROPERTIES = sum(SECTIONS.values())
_SHAPE = SECTIONS["list"]
_REDUCTION = _SHAPE + SECTIONS["shape"]
_NUMBER = _REDUCTION + SECTIONS["reduction"]
_QUALITY = _NUMBER + SECTIONS["number"]
_TRUTH = _QUALITY + SECTIONS["quality"]


@njit(cache=True)
def properties(lists: Numbers, sizes: Numbers, numbers: Numbers, has: Truths, kind: int) -> NDArray[np.float32]:
    """The signature float32 [PROPERTIES] of a task: 1 for a property that all examples have, -1 for one that none has,
    between them for one that some have, 0 for one that is nowhere defined.

    `lists` [examples, 3, longest] are A, B and the result, `sizes` [examples, 3] their lengths, `numbers` [examples, 3]
    n, m and the result; `has` [4] says which of A, B, n, m there are; `kind` is 0 for a number as the result, 1 for a
    truth value, 2 for a list.
    """
    examples = sizes.shape[0]
    holds = np.zeros(PROPERTIES, np.int64)
    defined = np.zeros(PROPERTIES, np.int64)
    found = np.empty(PROPERTIES, np.int8)
    rows = np.empty((_BASES, _WIDTH), np.int64)
    lengths = np.empty(_BASES, np.int64)
    made = np.empty((examples, _NUMBERS), np.int64)
    known = np.empty((examples, _NUMBERS), np.int8)
    for example in range(examples):
        found[:] = UNDEFINED
        a = lists[example, 0, : sizes[example, 0]]
        b = lists[example, 1, : sizes[example, 1]]
        n, m, number = numbers[example, 0], numbers[example, 1], numbers[example, 2]
        if kind == 1:
            truths = found[_TRUTH:]
            _truths(a, b, n, m, has, truths)
            for place in range(truths.size):
                if truths[place] != UNDEFINED:
                    truths[place] = truths[place] == number
        else:
            _bases(a, b, n, has, rows, lengths)
        if kind == 2:
            result = lists[example, 2, : sizes[example, 2]]
            _compare_lists(result, rows, lengths, found[:_SHAPE])
            _shape(result, a, b, n, has, found[_SHAPE:_REDUCTION])
        if kind == 0:
            _compare_reductions(number, rows, lengths, found[_REDUCTION:_NUMBER])
            _numbers(a, b, n, m, has, made[example], known[example])
            for place in range(_NUMBERS):
                if known[example, place]:
                    value = made[example, place]
                    found[_NUMBER + 5 * place] = number == value
                    found[_NUMBER + 5 * place + 1] = number < value
                    if value != 0:
                        found[_NUMBER + 5 * place + 2] = number % value == 0
            for code in range(_PREDICATES):
                if has[2] == 1 or code not in (3, 4, 5):
                    found[_QUALITY + code] = _has(code, number, n)
        for place in range(PROPERTIES):
            if found[place] != UNDEFINED:
                defined[place] += 1
                holds[place] += found[place]
    if kind == 0:
        for place in range(_NUMBERS):
            first, far, times = -1, True, True
            for example in range(examples):
                if not known[example, place]:
                    continue
                if first < 0:
                    first = example
                    continue
                value, number = made[example, place], numbers[example, 2]
                far = far and number - value == numbers[first, 2] - made[first, place]
                times = times and float(number) * made[first, place] == float(numbers[first, 2]) * value
            if first >= 0:
                defined[_NUMBER + 5 * place + 3 : _NUMBER + 5 * place + 5] = 1
                holds[_NUMBER + 5 * place + 3] = far
                holds[_NUMBER + 5 * place + 4] = times
    signature = np.zeros(PROPERTIES, np.float32)
    for place in range(PROPERTIES):
        if defined[place] > 0:
            if holds[place] == defined[place]:
                signature[place] = 1.0
            elif holds[place] == 0:
                signature[place] = -1.0
            else:
                signature[place] = holds[place] / defined[place] - 0.5
    return signature


def names() -> tuple[str, ...]:
    """What each property says, in order."""
    return (
        *(f"the result {relation} {base}" for base in LIST_BASES for relation in LIST_RELATIONS),
        *(f"the result: {shape}" for shape in SHAPES),
        *(f"the result {reduction} {base}" for base in LIST_BASES for reduction in REDUCTIONS),
        *(f"the result {relation} {base}" for base in INT_BASES for relation in NUMBER_RELATIONS),
        *(f"the result: {predicate}" for predicate in PREDICATES),
        *(f"the result tells whether {truth}" for truth in TRUTHS),
    )
