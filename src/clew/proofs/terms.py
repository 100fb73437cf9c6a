"""Ground terms and equations: interned, printed with the fewest parentheses, and read back to the same object.

Syntax, loosest first: `a | b`, `a & b`, `a + b`, `a * b` with `a / b` and `a \\ b`, then the prefixes `-a` and `~a`,
then names, `0`, `1` and applications such as `S(a)`. All binary operators associate to the left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from clew.core.errors import ClewError

BINARY: Mapping[str, int] = {"|": 1, "&": 2, "+": 3, "*": 4, "/": 4, "\\": 4}
"""Binary operators and how tightly each binds."""

PREFIX = frozenset("-~")
"""Unary operators; they bind tighter than any binary operator."""

MAXIMUM_NESTING = 100
"""Parentheses, prefixes and applications inside one another that the parser follows; beyond, the text is refused."""

MAXIMUM_TOKENS = 400
"""Symbols, operators and parentheses of the longest line that is read: `a + a + ...` nests without any of these."""

_TOKEN = re.compile(r"\s*(?:(!=)|([A-Za-z_][A-Za-z0-9_]*|[0-9]+)|([-~|&+*/\\=(),]))")
_TIGHTEST = 5


class TermSyntaxError(ClewError):
    """A text is no term or no equation of the syntax; the sentence says where."""


class Term:
    """A symbol applied to terms; made by `term()` alone, so equal terms are one object and `is` compares them."""

    __slots__ = ("__weakref__", "_text", "arguments", "size", "symbol")

    symbol: str
    arguments: tuple[Term, ...]
    size: int

    def __init__(self, symbol: str, arguments: tuple[Term, ...]) -> None:
        self.symbol = symbol
        self.arguments = arguments
        self.size = 1 + sum(argument.size for argument in arguments)
        self._text = ""

    def __str__(self) -> str:
        if not self._text:
            self._text = _print(self)
        return self._text

    def __repr__(self) -> str:
        return f"<{self}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _intern, (self.symbol, self.arguments)


# Weak, or every instance that a search ever looked at would stay in memory.
_terms: WeakValueDictionary[tuple[str, tuple[Term, ...]], Term] = WeakValueDictionary()


def term(symbol: str, *arguments: Term) -> Term:
    """Return the one term made of `symbol` and `arguments`."""
    return _intern(symbol, arguments)


def _intern(symbol: str, arguments: tuple[Term, ...]) -> Term:
    key = (symbol, arguments)
    found = _terms.get(key)
    if found is None:
        found = _terms[key] = Term(symbol, arguments)
    return found


@dataclass(frozen=True, slots=True)
class Equation:
    """`left = right` where it `holds`, `left != right` where it does not."""

    left: Term
    right: Term
    holds: bool = True

    def __str__(self) -> str:
        return f"{self.left} {'=' if self.holds else '!='} {self.right}"

    @property
    def size(self) -> int:
        """Symbols of both sides."""
        return self.left.size + self.right.size

    def negated(self) -> Equation:
        """The same sides with the other sign."""
        return Equation(self.left, self.right, not self.holds)

    def flipped(self) -> Equation:
        """The same statement with its sides exchanged."""
        return Equation(self.right, self.left, self.holds)


def subterms(whole: Term) -> Iterator[Term]:
    """Yield every occurrence of a subterm, arguments before the term that holds them, `whole` last."""
    for argument in whole.arguments:
        yield from subterms(argument)
    yield whole


def substitute(pattern: Term, bindings: Mapping[str, Term]) -> Term:
    """Replace each symbol without arguments that `bindings` names."""
    if not pattern.arguments:
        return bindings.get(pattern.symbol, pattern)
    return _intern(pattern.symbol, tuple([substitute(argument, bindings) for argument in pattern.arguments]))


def match(pattern: Term, subject: Term, variables: frozenset[str], bindings: dict[str, Term]) -> bool:
    """Extend `bindings` so that the pattern becomes `subject`; False, with `bindings` spoilt, where none can."""
    if not pattern.arguments and pattern.symbol in variables:
        return bindings.setdefault(pattern.symbol, subject) is subject
    if pattern.symbol != subject.symbol or len(pattern.arguments) != len(subject.arguments):
        return False
    for inner, outer in zip(pattern.arguments, subject.arguments, strict=True):
        if not match(inner, outer, variables, bindings):
            return False
    return True


def parse_equation(text: str) -> Equation:
    """Read `left = right` or `left != right`. Raises `TermSyntaxError`."""
    parser = _Parser(text)
    left = parser.term(0)
    sign = parser.take()
    if sign not in ("=", "!="):
        raise parser.refusal("'=' or '!='")
    right = parser.term(0)
    parser.end()
    return Equation(left, right, sign == "=")


def parse_term(text: str) -> Term:
    """Read a term. Raises `TermSyntaxError`."""
    parser = _Parser(text)
    read = parser.term(0)
    parser.end()
    return read


def _print(whole: Term) -> str:
    symbol, arguments = whole.symbol, whole.arguments
    if not arguments:
        return symbol
    if len(arguments) == 2 and symbol in BINARY:
        strength = BINARY[symbol]
        return f"{_inside(arguments[0], strength)} {symbol} {_inside(arguments[1], strength + 1)}"
    if len(arguments) == 1 and symbol in PREFIX:
        return f"{symbol}{_inside(arguments[0], _TIGHTEST)}"
    return f"{symbol}({', '.join(str(argument) for argument in arguments)})"


def _inside(argument: Term, strength: int) -> str:
    """Print an argument where only operators at least as tight as `strength` do without parentheses."""
    is_binary = len(argument.arguments) == 2 and argument.symbol in BINARY
    return f"({argument})" if is_binary and BINARY[argument.symbol] < strength else str(argument)


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, int]] = []
        self.next = 0
        self.nesting = 0
        position, end = 0, len(text.rstrip())
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None:
                column = position + len(text[position:]) - len(text[position:].lstrip())
                raise TermSyntaxError(f"'{text}' has '{text[column]}' at column {column + 1}, which no term holds.")
            position = found.end()
            self.tokens.append((found[0].strip(), found.start() + len(found[0]) - len(found[0].lstrip())))
        if len(self.tokens) > MAXIMUM_TOKENS:
            raise TermSyntaxError(f"'{text[:60]}...' has more than {MAXIMUM_TOKENS} symbols and parentheses.")

    def peek(self) -> str:
        return self.tokens[self.next][0] if self.next < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.next += 1
        return token

    def refusal(self, expected: str) -> TermSyntaxError:
        """What to raise when the token taken last is not what the syntax needs there."""
        at = self.next - 1
        if at < len(self.tokens):
            token, column = self.tokens[at]
            return TermSyntaxError(
                f"'{self.text}' has '{token}' at column {column + 1}, where {expected} should stand."
            )
        return TermSyntaxError(f"'{self.text}' ends where {expected} should stand.")

    def end(self) -> None:
        if self.take():
            raise self.refusal("the end of the line or a binary operator")

    def term(self, loosest: int) -> Term:
        left = self.operand()
        while (strength := BINARY.get(self.peek(), -1)) >= loosest:
            operator = self.take()
            left = _intern(operator, (left, self.term(strength + 1)))
        return left

    def operand(self) -> Term:
        self.nesting += 1
        if self.nesting > MAXIMUM_NESTING:
            raise TermSyntaxError(f"'{self.text[:60]}...' nests deeper than {MAXIMUM_NESTING} levels.")
        token = self.take()
        if token in PREFIX:
            read = _intern(token, (self.operand(),))
        elif token == "(":
            read = self.term(0)
            self.expect(")")
        elif token and (token[0].isalnum() or token[0] == "_"):
            read = self.application(token)
        else:
            raise self.refusal("a term")
        self.nesting -= 1
        return read

    def application(self, symbol: str) -> Term:
        if self.peek() != "(":
            return _intern(symbol, ())
        self.take()
        arguments = [self.term(0)]
        while self.peek() == ",":
            self.take()
            arguments.append(self.term(0))
        self.expect(")")
        return _intern(symbol, tuple(arguments))

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise self.refusal(f"'{token}'")
