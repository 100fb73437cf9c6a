"""Tree to text: one line, with no parenthesis that the parser could do without."""

from __future__ import annotations

from clew.programs.primitives import PRIMITIVES
from clew.programs.syntax import LEVELS, Call, Expr, Lambda, Literal, Value, Variable

_TIGHTEST = 6
"""An argument of a primitive: a name, a number, or something in parentheses."""
_CALL = 5.5
_CHAINS_NOT = 3


def pretty(expr: Expr) -> str:
    """The text of a tree; `parse_expression` gives the same tree back."""
    return _text(expr, 0)


def _text(expr: Expr, level: float) -> str:
    """The text of `expr` where what stands around it binds as tightly as `level`."""
    if isinstance(expr, Literal):
        return pretty_value(expr.value)
    if isinstance(expr, Variable):
        return expr.name
    if isinstance(expr, Lambda):
        return f"(\\{' '.join(expr.parameters)} -> {_text(expr.body, 0)})"
    return _call(expr, level)


def _call(expr: Call, level: float) -> str:
    primitive, arguments = expr.primitive, expr.arguments
    symbol = PRIMITIVES[primitive].symbol
    if primitive == "not" and isinstance(inner := arguments[0], Call) and inner.primitive == "eq":
        primitive, arguments, symbol = "eq", inner.arguments, "!="
    if not symbol:
        text = " ".join([primitive, *(_text(argument, _TIGHTEST) for argument in arguments)])
        return text if level <= _CALL else f"({text})"
    own = LEVELS[primitive]
    left, right = arguments
    beside = own + 1 if own == _CHAINS_NOT else own
    second = _text(right, own + 1)
    if isinstance(right, Literal) and second.startswith("-"):
        second = f"({second})"
    text = f"{_text(left, beside)} {symbol} {second}"
    return text if level <= own else f"({text})"


def pretty_value(value: Value) -> str:
    """A value as examples have it: `3`, `true`, `[1, 2]`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f"[{', '.join(map(str, value))}]"
