"""The words of the language: every primitive with its type, as data. Parser, checker, interpreter, grammar and printer
all read this one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Type(Enum):
    """What a value can be: a whole number, a truth value, a list of whole numbers."""

    INT = "int"
    BOOL = "bool"
    LIST = "list"


@dataclass(frozen=True)
class FunctionType:
    """The type of a lambda that a primitive takes: `\\x y -> ...`; its parameters are whole numbers."""

    parameters: int
    result: Type


@dataclass(frozen=True)
class Primitive:
    """One word. `symbol`: how it is written between its operands, where it is an operator."""

    name: str
    parameters: tuple[Type | FunctionType, ...]
    result: Type
    about: str
    symbol: str = ""


_I, _B, _L = Type.INT, Type.BOOL, Type.LIST
_TO_INT, _TO_BOOL, _BOTH_TO_INT = FunctionType(1, _I), FunctionType(1, _B), FunctionType(2, _I)

_ALL = (
    # arithmetic: these, comparison and logic may stand in the body of a lambda
    Primitive("add", (_I, _I), _I, "sum of two numbers", "+"),
    Primitive("sub", (_I, _I), _I, "difference", "-"),
    Primitive("mul", (_I, _I), _I, "product", "*"),
    Primitive("div", (_I, _I), _I, "quotient, rounded down; an error for a divisor of 0", "/"),
    Primitive("mod", (_I, _I), _I, "remainder with the divisor's sign; an error for a divisor of 0", "%"),
    Primitive("neg", (_I,), _I, "the number with its sign changed"),
    Primitive("abs", (_I,), _I, "distance from 0"),
    Primitive("min", (_I, _I), _I, "the smaller of two numbers"),
    Primitive("max", (_I, _I), _I, "the larger of two numbers"),
    Primitive("if", (_B, _I, _I), _I, "the second where the first is true, else the third; the other is not computed"),
    # comparison and logic
    Primitive("eq", (_I, _I), _B, "whether two numbers are equal", "=="),
    Primitive("lt", (_I, _I), _B, "whether the first is smaller", "<"),
    Primitive("le", (_I, _I), _B, "whether the first is not larger", "<="),
    Primitive("even", (_I,), _B, "whether 2 divides the number"),
    Primitive("and", (_B, _B), _B, "whether both hold; the second is not computed where the first fails", "&&"),
    Primitive("or", (_B, _B), _B, "whether one holds; the second is not computed where the first holds", "||"),
    Primitive("not", (_B,), _B, "whether it does not hold"),
    # list -> number or truth value
    Primitive("head", (_L,), _I, "the first element; an error for an empty list"),
    Primitive("last", (_L,), _I, "the last element; an error for an empty list"),
    Primitive("at", (_I, _L), _I, "the element at a position counted from 0; an error where there is none"),
    Primitive("length", (_L,), _I, "how many elements"),
    Primitive("sum", (_L,), _I, "sum of the elements; 0 for an empty list"),
    Primitive("product", (_L,), _I, "product of the elements; 1 for an empty list"),
    Primitive("minimum", (_L,), _I, "the smallest element; an error for an empty list"),
    Primitive("maximum", (_L,), _I, "the largest element; an error for an empty list"),
    Primitive("count", (_TO_BOOL, _L), _I, "how many elements pass"),
    Primitive("fold", (_BOTH_TO_INT, _I, _L), _I, "from the left: x is what has been gathered, y the next element"),
    Primitive("is_empty", (_L,), _B, "whether there are no elements"),
    Primitive("contains", (_I, _L), _B, "whether the number is an element"),
    Primitive("all", (_TO_BOOL, _L), _B, "whether every element passes"),
    Primitive("any", (_TO_BOOL, _L), _B, "whether an element passes"),
    # list -> list
    Primitive("map", (_TO_INT, _L), _L, "the function's value for each element"),
    Primitive("filter", (_TO_BOOL, _L), _L, "the elements that pass, in their order"),
    Primitive("zip", (_BOTH_TO_INT, _L, _L), _L, "the function's value for each pair; as long as the shorter list"),
    Primitive("scan", (_BOTH_TO_INT, _L), _L, "every stage of a fold that starts with the first element"),
    Primitive("take", (_I, _L), _L, "the first n elements; none for a negative n, all where there are fewer"),
    Primitive("drop", (_I, _L), _L, "all but the first n elements"),
    Primitive("sort", (_L,), _L, "the elements from the smallest to the largest"),
    Primitive("reverse", (_L,), _L, "the elements from the last to the first"),
    Primitive("unique", (_L,), _L, "each element once, where it stands first"),
    Primitive("append", (_L, _L), _L, "the elements of the first, then those of the second"),
    Primitive("cons", (_I, _L), _L, "the number, then the list's elements"),
    Primitive("range", (_I,), _L, "0, 1, ... below n; empty where n is not above 0"),
)

PRIMITIVES: dict[str, Primitive] = {primitive.name: primitive for primitive in _ALL}
"""Name -> primitive, in a fixed order: a primitive's place is its number in compiled code and in models."""

LARGEST = 2**31 - 1
"""No whole number is further than this from 0: one that is, is an error of the program."""
LONGEST = 256
"""No list is longer: one that is, is an error of the program."""
