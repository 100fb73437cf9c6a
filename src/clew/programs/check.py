"""Types: every tree that is run was looked at here first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from clew.core.errors import nearest
from clew.programs.pretty import pretty
from clew.programs.primitives import LARGEST, PRIMITIVES, FunctionType, Primitive, Type
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
    for position, parameter in enumerate(primitive.parameters):
        argument = expr.arguments[position]
        if isinstance(parameter, FunctionType):
            _check_function(argument, parameter, primitive, position, scope, fault)
        elif isinstance(argument, Lambda):
            which = _which(primitive, position)
            raise fault(argument.place, f"{which} is {SPOKEN[parameter]}, and {_shown(argument)} is a function.")
        else:
            found = _type_of(argument, scope, fault)
            if found is not parameter:
                which = _which(primitive, position)
                raise fault(
                    argument.place, f"{which} is {SPOKEN[parameter]}, and {_shown(argument)} is {SPOKEN[found]}."
                )
    return primitive.result


def _which(primitive: Primitive, position: int) -> str:
    return f"the {_ORDINALS[position]} argument of '{primitive.symbol or primitive.name}'"


def _check_function(
    argument: Expr, wanted: FunctionType, primitive: Primitive, position: int, scope: Mapping[str, Type], fault: Fault
) -> None:
    if isinstance(argument, Lambda) and len(argument.parameters) == wanted.parameters:
        result = _type_of(argument.body, {**scope, **dict.fromkeys(argument.parameters, Type.INT)}, fault)
        if result is wanted.result:
            return
        raise fault(
            argument.body.place,
            f"{_which(primitive, position)} is a function that gives {SPOKEN[wanted.result]}, and "
            f"{_shown(argument.body)} is {SPOKEN[result]}.",
        )
    form = "one number, (\\x -> ...)" if wanted.parameters == 1 else "two numbers, (\\x y -> ...)"
    said = (
        f"this lambda has {len(argument.parameters)}" if isinstance(argument, Lambda) else f"{_shown(argument)} is none"
    )
    raise fault(argument.place, f"{_which(primitive, position)} is a function of {form}, and {said}.")


def _shown(expr: Expr) -> str:
    try:
        text = pretty(expr)
    except KeyError:  # an unknown primitive in a tree that was put together by hand
        return "what stands there"
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"
