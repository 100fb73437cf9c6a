"""The blind proposer: instances of the laws over the terms at hand, smallest first.

Terms at hand are the theory's constants and the subterms of the goal and of the lines kept, one for each class of
equal terms: an instance over an equal term would follow by congruence. No instance is looked at twice, and one
that already follows is passed over without being proposed.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence

from clew.proofs.checker import Derivation
from clew.proofs.laws import Law
from clew.proofs.search import Line
from clew.proofs.terms import Equation, Term, subterms

LOOKED_AT = 200
"""Instances that one call of `propose` looks at before it answers."""

_FINISHED = object()


class _Cell:
    """The instances of one law whose variables take terms of given sizes."""

    def __init__(self, law: Law, sizes: tuple[int, ...], size: int) -> None:
        self.law = law
        self.sizes = sizes
        self.size = size
        """Symbols of each instance."""
        self.done = [0] * len(sizes)
        """How many terms of each variable's size have been combined with one another."""
        self.waits = False
        """Whether the queue holds it."""


class Enumeration:
    """Proposes the instances of all laws in the order of their size, one at a time."""

    def __init__(self, *, connected: bool = True) -> None:
        """`connected`: pass over an instance of which neither side equals a term at hand."""
        self.connected = connected

    def begin(self, derivation: Derivation) -> None:
        """Start with the constants of the theory and the subterms of the goal at hand."""
        self._derivation = derivation
        self._closure = derivation.closure
        self._rank: dict[Term, tuple[int, int]] = {}
        self._by_size: dict[int, list[Term]] = {}
        self._smallest: dict[int, Term] = {}  # class -> its smallest term at hand
        self._cells: dict[int, list[_Cell]] = {}  # size of a term -> the cells that use terms of this size
        self._queue: list[tuple[int, int, _Cell | Iterator[Equation | None]]] = []
        self._tickets = itertools.count()
        self._frontier = 0  # instances up to this size are in cells
        theorem = derivation.theorem
        self._shapes = [_Shape(law) for law in theorem.theory.laws]
        for part in (*theorem.theory.constants, *subterms(theorem.goal.left), *subterms(theorem.goal.right)):
            self._take(part)

    def propose(self) -> Sequence[Line] | None:
        """The next instance by size that does not follow yet; None when all terms at hand are used up."""
        queue = self._queue
        for _ in range(LOOKED_AT):
            if not queue:
                if not self._advance():
                    return None
                continue
            size, ticket, entry = queue[0]
            if isinstance(entry, _Cell):
                entry.waits = False
                heapq.heapreplace(queue, (size, ticket, self._instances(entry)))
                continue
            instance = next(entry, _FINISHED)
            if isinstance(instance, Equation):
                return [instance]
            if instance is _FINISHED:
                heapq.heappop(queue)
        return []

    def accepted(self, line: Line, equation: Equation) -> None:
        """Take the subterms of a kept line in as terms at hand."""
        for part in (*subterms(equation.left), *subterms(equation.right)):
            self._take(part)

    def rejected(self, line: Line, reason: str) -> None:
        """An instance of a law is never rejected."""

    def _take(self, part: Term) -> None:
        """Put `part` at hand and queue what can be made of it."""
        if part in self._rank:
            return
        self._closure.add(part)
        self._rank[part] = (part.size, len(self._rank))
        known = self._by_size.get(part.size)
        if known is None:
            self._by_size[part.size] = [part]
            for shape in self._shapes:
                for total in range(shape.smallest, self._frontier + 1):
                    self._make_cells(shape, total, needed=part.size)
        else:
            known.append(part)
            for cell in self._cells.get(part.size, ()):
                if not cell.waits:
                    self._wait(cell)

    def _advance(self) -> bool:
        """Let instances be one symbol larger; False where the terms at hand allow no larger one."""
        self._frontier += 1
        for shape in self._shapes:
            self._make_cells(shape, self._frontier, needed=None)
        largest = max(self._by_size)
        return any(shape.fixed + sum(shape.weights) * largest >= self._frontier for shape in self._shapes)

    def _make_cells(self, shape: _Shape, total: int, *, needed: int | None) -> None:
        """Make and queue the cells of `total` symbols; only those that use the size `needed`, where it is given."""
        for sizes in _compositions(total - shape.fixed, shape.weights, sorted(self._by_size)):
            if needed is None or needed in sizes:
                cell = _Cell(shape.law, sizes, total)
                for used in set(sizes):
                    self._cells.setdefault(used, []).append(cell)
                self._wait(cell)

    def _wait(self, cell: _Cell) -> None:
        cell.waits = True
        heapq.heappush(self._queue, (cell.size, next(self._tickets), cell))

    def _instances(self, cell: _Cell) -> Iterator[Equation | None]:
        """The instances in `cell` over assignments that were not gone through before, None for one that is no news."""
        before = cell.done
        lists = [self._by_size[size] for size in cell.sizes]
        cell.done = [len(terms) for terms in lists]
        now = cell.done
        variables = cell.law.variables
        # Semi-naive: the first variable that takes a new term tells the parts of the product apart.
        for newest in range(len(variables)):
            ranges = [
                range(0, before[place])
                if place < newest
                else range(before[place], now[place])
                if place == newest
                else range(0, now[place])
                for place in range(len(variables))
            ]
            for chosen in itertools.product(*ranges):
                terms = [lists[place][number] for place, number in enumerate(chosen)]
                bindings = dict(zip(variables, terms, strict=True))
                is_news = all(map(self._stands_for_its_class, terms)) and self._is_news(cell.law, bindings)
                yield cell.law.instance(bindings) if is_news else None
        if not variables:
            instance = cell.law.instance({})
            if not self._closure.equal(instance.left, instance.right):
                yield instance

    def _stands_for_its_class(self, part: Term) -> bool:
        """Whether `part` is the smallest term at hand of those equal to it."""
        number = self._closure.add(part)
        smallest = self._smallest.get(number)
        if smallest is part:
            return True
        if smallest is None or self._rank[part] < self._rank[smallest]:
            self._smallest[number] = part
            return True
        return False

    def _is_news(self, law: Law, bindings: Mapping[str, Term]) -> bool:
        """Whether an instance does not follow yet, and touches a term at hand."""
        classes = {variable: self._closure.add(bound) for variable, bound in bindings.items()}
        left = self._closure.canonical_instance(law.left, classes)
        right = self._closure.canonical_instance(law.right, classes)
        if left == right:
            return False
        return not self.connected or isinstance(left, int) or isinstance(right, int)


class _Shape:
    """How the size of a law's instances depends on what its variables take."""

    def __init__(self, law: Law) -> None:
        self.law = law
        symbols = [part.symbol for side in (law.left, law.right) for part in subterms(side)]
        self.weights = [symbols.count(variable) for variable in law.variables]
        self.fixed = len(symbols) - sum(self.weights)
        """Symbols that are no variables."""
        self.smallest = len(symbols)


def _compositions(total: int, weights: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield every way to give each weight one of the ascending `sizes` so that the weighted sum is `total`."""
    if not weights:
        if total == 0:
            yield ()
        return
    weight, others = weights[0], weights[1:]
    rest = sum(others)
    for size in sizes:
        left = total - weight * size
        if left < rest:
            return
        for tail in _compositions(left, others, sizes):
            yield (size, *tail)
