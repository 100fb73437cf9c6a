"""Types: every tree that is run was looked at here first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from clew.core.errors import nearest
from clew.programs.pretty import pretty
from clew.programs.primitives import LARGEST, PRIMITIVES, FunctionType, Type
from clew.programs.syntax import Expr, Inputs, Lambda, Literal, ProgramError, Variable, spoken_count

Fault: TypeAlias = Callable[[int, str], ProgramError]
"""Makes the error of a place in a text (`parse.Source.fault`)."""

SPOKEN = {Type.INT: "a whole number", Type.BOOL: "a truth value", Type.LIST: "a list"}
_ORDINALS = ("first", "second", "third")


def _unplaced(place: int, what: str) -> ProgramError:
    return ProgramError(what[:1].upper() + what[1:])


def type_of(expr: Expr, inputs: Inputs, *, fault: Fault = _unplaced) -> Type:
    """The type of a tree over these inputs. Raises `ProgramError`, made by `fault`, for the first wrong node."""
    return _type_of(expr, dict(inputs), fault)


def check_type(expr: Expr, inputs: Inputs, wanted: Type, what: str, *, fault: Fault = _unplaced) -> None:
    """Raise `ProgramError` unless the tree has this type; `what` names it in the sentence ("the reference")."""
    found = type_of(expr, inputs, fault=fault)
    if found is not wanted:
        raise fault(expr.place, f"{what} must be {SPOKEN[wanted]}, and {_shown(expr)} is {SPOKEN[found]}.")


def _type_of(expr: Expr, scope: Mapping[str, Type], fault: Fault) -> Type:
    if isinstance(expr, Literal):
        if isinstance(expr.value, bool):
            return Type.BOOL
        if abs(expr.value) > LARGEST:
            raise fault(expr.place, f"the number {expr.value} is further from 0 than {LARGEST}.")
        return Type.INT
    if isinstance(expr, Variable):
        if expr.name not in scope:
            known = sorted(scope)
            raise fault(
                expr.place,
                f"there is no input or parameter '{expr.name}': the names are {', '.join(known) or 'none'}."
                f"{nearest(expr.name, known)}",
            )
        return scope[expr.name]
    if isinstance(expr, Lambda):
        raise fault(expr.place, f"{_shown(expr)} is a function, which only a primitive such as map takes.")
    primitive = PRIMITIVES.get(expr.primitive)
    if primitive is None:
        raise fault(expr.place, f"there is no primitive '{expr.primitive}'.{nearest(expr.primitive, list(PRIMITIVES))}")
    if len(expr.arguments) != len(primitive.parameters):
        raise fault(
            expr.place,
            f"'{primitive.name}' takes {spoken_count(len(primitive.parameters))}, here {len(expr.arguments)}.",
        )
    for position, (argument, parameter) in enumerate(zip(expr.arguments, primitive.parameters, strict=True)):
        which = f"the {_ORDINALS[position]} argument of '{primitive.symbol or primitive.name}'"
        if isinstance(parameter, FunctionType):
            _check_function(argument, parameter, which, scope, fault)
        elif isinstance(argument, Lambda):
            raise fault(argument.place, f"{which} is {SPOKEN[parameter]}, and {_shown(argument)} is a function.")
        else:
            found = _type_of(argument, scope, fault)
            if found is not parameter:
                raise fault(
                    argument.place, f"{which} is {SPOKEN[parameter]}, and {_shown(argument)} is {SPOKEN[found]}."
                )
    return primitive.result


def _check_function(argument: Expr, wanted: FunctionType, which: str, scope: Mapping[str, Type], fault: Fault) -> None:
    names = "one number" if wanted.parameters == 1 else "two numbers"
    form = "(\\x -> ...)" if wanted.parameters == 1 else "(\\x y -> ...)"
    if not isinstance(argument, Lambda):
        raise fault(argument.place, f"{which} is a function of {names}, {form}, and {_shown(argument)} is none.")
    if len(argument.parameters) != wanted.parameters:
        raise fault(
            argument.place,
            f"{which} is a function of {names}, {form}, and this lambda has {len(argument.parameters)}.",
        )
    result = _type_of(argument.body, {**scope, **dict.fromkeys(argument.parameters, Type.INT)}, fault)
    if result is not wanted.result:
        raise fault(
            argument.body.place,
            f"{which} is a function that gives {SPOKEN[wanted.result]}, and {_shown(argument.body)} is "
            f"{SPOKEN[result]}.",
        )


def _shown(expr: Expr) -> str:
    try:
        text = pretty(expr)
    except KeyError:  # an unknown primitive in a tree that was put together by hand
        return "what stands there"
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"
