"""Congruence closure: which ground terms are equal, given equations between ground terms.

Nelson & Oppen 1980 with the eager relabelling of Downey, Sethi & Tarjan 1980: a class keeps its members and the
terms that use them, the smaller class is relabelled on a merge, and a table from (symbol, classes of the
arguments) to a term finds the congruent ones. Adding an equation costs O(n log n) over all merges.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from clew.proofs.terms import Term


class CongruenceClosure:
    """A growing set of terms, and the finest congruence on them that holds the equations merged so far."""

    def __init__(self) -> None:
        self._numbers: dict[Term, int] = {}
        self._classes: list[int] = []  # term number -> class
        self._members: list[list[int]] = []  # class -> term numbers
        self._uses: list[list[tuple[int, str, tuple[int, ...]]]] = []  # class -> terms with an argument in it
        self._table: dict[tuple[str, tuple[Hashable, ...]], int] = {}  # (symbol, classes of arguments) -> term number

    def copy(self) -> CongruenceClosure:
        """An independent closure in the same state."""
        other = CongruenceClosure()
        other._numbers = self._numbers.copy()
        other._classes = self._classes.copy()
        other._members = [members.copy() for members in self._members]
        other._uses = [uses.copy() for uses in self._uses]
        other._table = self._table.copy()
        return other

    def add(self, term: Term) -> int:
        """Take `term` and its subterms in; return the class of `term`."""
        number = self._numbers.get(term)
        if number is not None:
            return self._classes[number]
        arguments = tuple([self._number(argument) for argument in term.arguments])
        classes = self._classes
        number = len(classes)
        self._numbers[term] = number
        classes.append(number)
        self._members.append([number])
        self._uses.append([])
        keys = [classes[argument] for argument in arguments]
        congruent = self._table.setdefault((term.symbol, tuple(keys)), number)
        if congruent != number:
            # Nothing uses a new term yet, so joining the class is all there is to do; its own uses are those of
            # the congruent term, which stands in every use list already.
            classes[number] = classes[congruent]
            self._members[classes[congruent]].append(number)
            self._members[number] = []
        else:
            for argument in set(keys):
                self._uses[argument].append((number, term.symbol, arguments))
        return classes[number]

    def _number(self, term: Term) -> int:
        number = self._numbers.get(term)
        if number is None:
            self.add(term)
            number = self._numbers[term]
        return number

    def merge(self, left: Term, right: Term) -> None:
        """Make the two terms equal, and with them all that follows by congruence."""
        self.add(left)
        self.add(right)
        classes, members, uses, table = self._classes, self._members, self._uses, self._table
        pending = [(self._numbers[left], self._numbers[right])]
        while pending:
            first, second = pending.pop()
            smaller, larger = classes[first], classes[second]
            if smaller == larger:
                continue
            if len(members[smaller]) + len(uses[smaller]) > len(members[larger]) + len(uses[larger]):
                smaller, larger = larger, smaller
            for member in members[smaller]:
                classes[member] = larger
            members[larger] += members[smaller]
            members[smaller] = []
            moved = uses[smaller]
            uses[smaller] = []
            for use in moved:
                number, symbol, arguments = use
                key = (symbol, tuple([classes[argument] for argument in arguments]))
                congruent = table.setdefault(key, number)
                if congruent == number:
                    uses[larger].append(use)
                elif classes[congruent] != classes[number]:
                    pending.append((congruent, number))

    def equal(self, left: Term, right: Term) -> bool:
        """Whether the equations merged so far make the two terms equal. Takes neither of them in."""
        return left is right or self.canonical(left) == self.canonical(right)

    def canonical(self, term: Term) -> Hashable:
        """A value that two terms share exactly when they are equal: a class, or a symbol over such values."""
        number = self._numbers.get(term)
        if number is not None:
            return self._classes[number]
        arguments = tuple([self.canonical(argument) for argument in term.arguments])
        found = self._table.get((term.symbol, arguments))
        return (term.symbol, arguments) if found is None else self._classes[found]

    def class_of(self, term: Term) -> int | None:
        """The class of `term`, or None where no term taken in equals it."""
        canonical = self.canonical(term)
        return canonical if isinstance(canonical, int) else None

    def canonical_instance(self, pattern: Term, classes: Mapping[str, int]) -> Hashable:
        """`canonical` of the pattern with its variables standing for classes, without making that term."""
        arguments = pattern.arguments
        if not arguments:
            bound = classes.get(pattern.symbol)
            return self.canonical(pattern) if bound is None else bound
        values = tuple([self.canonical_instance(argument, classes) for argument in arguments])
        found = self._table.get((pattern.symbol, values))
        return (pattern.symbol, values) if found is None else self._classes[found]
