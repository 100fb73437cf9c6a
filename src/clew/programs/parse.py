r"""Text to tree: expressions of the language, with a fault that names file, line and column.

    sum (take k (sort xs))                        a primitive, then its arguments; each takes a fixed number of them
    map (\x -> x * 2 + 1) (filter (\x -> 0 < x) xs)     a lambda stands in parentheses
    0 <= k && k <= length xs                      operators, from loose to tight: || && (== < <=) (+ -) (* / %)

`a > b`, `a >= b` and `a != b` are read as `b < a`, `b <= a` and `not (a == b)`. What stands behind `#` is a comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from clew.core.errors import nearest
from clew.programs.primitives import LARGEST, PRIMITIVES
from clew.programs.syntax import (
    DEEPEST,
    LEVELS,
    Call,
    Expr,
    Inputs,
    Lambda,
    Literal,
    ProgramError,
    Variable,
    depth,
    spoken_count,
)

_TOKEN = re.compile(
    r"(?P<space>[ \t\n]+|\#[^\n]*)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol>->|\|\||&&|==|!=|<=|>=|[\\()\[\],:<>+\-*/%])"
)
_MOST_TOKENS = 5_000
_SYMBOLS = {primitive.symbol: primitive.name for primitive in PRIMITIVES.values() if primitive.symbol}
_TURNED = {">": "lt", ">=": "le"}
_VALUE = "a value (a number, true, false, a name, a primitive with its arguments, or one in parentheses)"
TRUTH = {"true": True, "false": False}
RESERVED = frozenset(PRIMITIVES) | frozenset(TRUTH)
"""Words that name no input and no parameter."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text and what it is called in messages: a file, "the program"."""

    where: str
    text: str

    def fault(self, place: int, what: str) -> ProgramError:
        """The error `where:line:column: what`. A `place` of -1 is that of no node: it stands for the first line."""
        before = self.text[: max(place, 0)]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        return ProgramError(f"{self.where}:{line}:{column}: {what}")


@dataclass(frozen=True, slots=True)
class Token:
    """A number, a word, a symbol, or the end, and where it begins."""

    kind: str
    text: str
    place: int

    def __str__(self) -> str:
        return f"'{self.text}'" if self.kind != "end" else "the end"


def tokens_of(source: Source, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of a part of a text, and an end. Raises `ProgramError` for a sign that the language does not use."""
    end = len(source.text) if end is None else end
    found: list[Token] = []
    place = start
    while place < end:
        match = _TOKEN.match(source.text, place, end)
        if match is None:
            sign = source.text[place]
            hint = {"=": " Equality is '=='.", "&": " 'and' is '&&'.", "|": " 'or' is '||'.", "!": " Write not (...)."}
            raise source.fault(place, f"the language has no sign {sign!r}.{hint.get(sign, '')}")
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup or "", match[0], place))
        place = match.end()
        if len(found) > _MOST_TOKENS:
            raise source.fault(place, f"a text of more than {_MOST_TOKENS:,} words and signs is no program of ours.")
    last = found[-1].place + len(found[-1].text) if found else start
    return [*found, Token("end", "", last)]


class Reader:
    """Reads a list of tokens from left to right."""

    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self.source = source
        self.tokens = tokens
        self.position = 0
        self._nested = 0

    @property
    def next(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.position]

    def take(self) -> Token:
        """Read one token."""
        token = self.next
        self.position = min(self.position + 1, len(self.tokens) - 1)
        return token

    def at(self, *texts: str) -> bool:
        """Whether one of these symbols or words comes next."""
        return self.next.kind in ("symbol", "word") and self.next.text in texts

    def expect(self, text: str, why: str) -> Token:
        """Read this symbol; `why` says what it would do here."""
        if not self.at(text):
            raise self.fault(f"expected '{text}' {why}, here {self.next}.")
        return self.take()

    def fault(self, what: str, token: Token | None = None) -> ProgramError:
        """An error at a token, or at the next one."""
        return self.source.fault((token or self.next).place, what)

    def finish(self, expected: str) -> None:
        """Raise `ProgramError` unless all is read."""
        if self.next.kind != "end":
            raise self.fault(f"expected {expected}, here {self.next}.")

    def number(self) -> tuple[int, int]:
        """A whole number with or without its sign, and its place."""
        place, sign = self.next.place, 1
        if self.at("-"):
            self.take()
            sign = -1
        digits = self.next
        if digits.kind != "number":
            raise self.fault(f"expected a whole number, here {digits}.")
        spelled = digits.text.lstrip("0") or "0"
        if len(spelled) > 10 or int(spelled) > LARGEST:
            raise self.fault(f"the number is further from 0 than {LARGEST}, which no number here may be.")
        self.take()
        return sign * int(spelled), place

    def new_name(self, what: str) -> Token:
        """A word that names something new."""
        token = self.next
        if token.kind != "word":
            raise self.fault(f"expected {what}, here {token}.")
        if token.text in RESERVED:
            raise self.fault(f"'{token.text}' is a word of the language; choose another name for {what}.")
        return self.take()

    def expression(self, names: frozenset[str], loosest: int = 0) -> Expr:
        """An expression whose operators are at least as tight as `loosest`."""
        left = self._operand(names)
        while self.next.kind == "symbol":
            symbol = self.next
            primitive = "eq" if symbol.text == "!=" else _TURNED.get(symbol.text) or _SYMBOLS.get(symbol.text)
            if primitive is None or LEVELS[primitive] < loosest:
                break
            self.take()
            right = self.expression(names, LEVELS[primitive] + 1)
            pair = (right, left) if symbol.text in _TURNED else (left, right)
            left = Call(primitive, pair, symbol.place)
            if symbol.text == "!=":
                left = Call("not", (left,), symbol.place)
            if primitive in ("eq", "lt", "le") and self.at("==", "!=", "<", "<=", ">", ">="):
                raise self.fault("comparisons do not chain: write a < b && b < c.")
        return left

    def _operand(self, names: frozenset[str]) -> Expr:
        """One value, or a primitive with its arguments."""
        token = self.next
        if token.kind == "word" and token.text in PRIMITIVES and token.text not in names:
            return self._call(names)
        return self._nest(lambda: self._atom(names))

    def _call(self, names: frozenset[str]) -> Call:
        token = self.take()
        wanted = len(PRIMITIVES[token.text].parameters)
        arguments: list[Expr] = []
        while len(arguments) < wanted:
            if not self._starts_atom():
                raise self.fault(
                    f"'{token.text}' takes {spoken_count(wanted)}, here {len(arguments) or 'none'}: expected {_VALUE}, "
                    f"not {self.next}."
                )
            if self.next.text in PRIMITIVES:
                raise self.fault(
                    f"'{self.next.text}' stands as an argument of '{token.text}': put it and its arguments in "
                    "parentheses."
                )
            if self.at("\\"):
                raise self.fault("put a lambda that is an argument in parentheses: (\\x -> ...).")
            arguments.append(self._nest(lambda: self._atom(names)))
        if self._starts_atom() and not self.at("-"):
            raise self.fault(
                f"'{token.text}' takes {spoken_count(wanted)}; expected an operator or the end, here {self.next}."
            )
        return Call(token.text, tuple(arguments), token.place)

    def _starts_atom(self) -> bool:
        return self.next.kind in ("number", "word") or self.at("(", "\\", "-", "[")

    def _nest(self, read: Callable[[], Expr]) -> Expr:
        if self._nested >= DEEPEST:
            raise self.fault(f"more than {DEEPEST} parentheses or arguments stand in one another.")
        self._nested += 1
        expr = read()
        self._nested -= 1
        return expr

    def _atom(self, names: frozenset[str]) -> Expr:
        token = self.next
        if token.kind == "number":
            return Literal(*self.number())
        if self.at("-"):
            after = self.tokens[self.position + 1]
            if after.kind == "number" and after.place == token.place + 1:
                return Literal(*self.number())
            raise self.fault("a sign stands before a number only: write neg ... for a number with its sign changed.")
        if self.at("("):
            self.take()
            expr = self.expression(names)
            self.expect(")", f"to close the '(' of column {_column(self.source, token.place)}")
            return expr
        if self.at("\\"):
            return self._lambda(names)
        if self.at("["):
            raise self.fault("a list is written out in examples only; here cons 1 (cons 2 (range 0)) is the list 1, 2.")
        if token.kind == "word":
            return self._name(names)
        raise self.fault(f"expected {_VALUE}, here {token}.")

    def _name(self, names: frozenset[str]) -> Expr:
        token = self.take()
        if token.text in names:
            return Variable(token.text, token.place)
        if token.text in TRUTH:
            return Literal(TRUTH[token.text], token.place)
        known = sorted(names)
        raise self.fault(
            f"there is nothing called '{token.text}' here: no primitive, and the names are "
            f"{', '.join(known) or 'none'}.{nearest(token.text, [*known, *PRIMITIVES, *TRUTH])}",
            token,
        )

    def _lambda(self, names: frozenset[str]) -> Lambda:
        start = self.take()
        parameters = [self.new_name("a parameter of the lambda").text]
        while not self.at("->"):
            if self.next.kind != "word":
                raise self.fault(f"expected '->' before the body of the lambda, here {self.next}.")
            parameters.append(self.new_name("a parameter of the lambda").text)
        if len(set(parameters)) < len(parameters):
            raise self.fault("two parameters of the lambda have the same name.", start)
        self.take()
        return Lambda(tuple(parameters), self.expression(names | set(parameters)), start.place)


def _column(source: Source, place: int) -> int:
    return place - (source.text.rfind("\n", 0, place) + 1) + 1


def parse_part(source: Source, names: Iterable[str], start: int, end: int) -> Expr:
    """The expression that a part of a text holds. Raises `ProgramError`."""
    reader = Reader(source, tokens_of(source, start, end))
    expr = reader.expression(frozenset(names))
    reader.finish("an operator or the end of the expression")
    if depth(expr) > DEEPEST:
        raise source.fault(start, f"the expression is more than {DEEPEST} calls deep.")
    return expr


def parse_expression(text: str, names: Iterable[str], where: str = "the program") -> Expr:
    """The tree of an expression over inputs of these names; its types are not checked (`check.type_of` does that).

    Raises `ProgramError` as `where:line:column: what is wrong and what was expected`.
    """
    source = Source(where, text.replace("\r\n", "\n"))
    return parse_part(source, names, 0, len(source.text))


def names_of(inputs: Inputs) -> tuple[str, ...]:
    """The names of inputs."""
    return tuple(name for name, _ in inputs)
