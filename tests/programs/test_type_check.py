"""What the type checker says."""

from __future__ import annotations

import pytest

from clew.programs.check import check_type, type_of
from clew.programs.interpret import compile_program
from clew.programs.parse import Source, parse_expression
from clew.programs.primitives import Type
from clew.programs.syntax import Call, Expr, Lambda, Literal, ProgramError, Variable
from random_programs import INPUTS

NAMES = tuple(name for name, _ in INPUTS)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("sum n", "1:5", "the first argument of 'sum' is a list, and 'n' is a whole number."),
        ("take xs n", "1:6", "the first argument of 'take' is a whole number, and 'xs' is a list."),
        ("xs == ys", "1:1", "the first argument of '==' is a whole number, and 'xs' is a list."),
        ("n + flag", "1:5", "the second argument of '+' is a whole number, and 'flag' is a truth value."),
        ("if n 1 2", "1:4", "the first argument of 'if' is a truth value, and 'n' is a whole number."),
        ("if flag 1 xs", "1:11", "the third argument of 'if' is a whole number, and 'xs' is a list."),
        ("map xs ys", "1:5", "is a function of one number, (\\x -> ...), and 'xs' is none."),
        (r"fold (\x -> x) 0 xs", "1:7", "is a function of two numbers, (\\x y -> ...), and this lambda has 1."),
        (r"map (\x -> x < 1) xs", "1:14", "is a function that gives a whole number, and 'x < 1' is a truth value."),
        (r"map (\x -> xs) xs", "1:12", "is a function that gives a whole number, and 'xs' is a list."),
        (r"filter (\x -> x) xs", "1:15", "is a function that gives a truth value, and 'x' is a whole number."),
        (r"sum (\x -> x)", "1:6", "the first argument of 'sum' is a list, and '(\\x -> x)' is a function."),
        (r"(\x -> x)", "1:2", "'(\\x -> x)' is a function, which only a primitive such as map takes."),
        ("sum\n (n + 1)", "2:5", "the first argument of 'sum' is a list, and 'n + 1' is a whole number."),
    ],
)
def test_a_wrong_type_is_a_sentence_with_its_place(text: str, place: str, said: str) -> None:
    source = Source("a.dsl", text)
    with pytest.raises(ProgramError) as caught:
        type_of(parse_expression(text, NAMES), INPUTS, fault=source.fault)
    assert str(caught.value).startswith(f"a.dsl:{place}: ")
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        (Variable("zs"), "There is no input or parameter 'zs'"),
        (Call("sorted", (Variable("xs"),)), "There is no primitive 'sorted'. Did you mean 'sort'?"),
        (Call("sort", ()), "'sort' takes 1 argument, here 0."),
        (Literal(2**40), "The number 1099511627776 is further from 0"),
        (Call("map", (Lambda(("x",), Call("nothing", ())), Variable("xs"))), "There is no primitive 'nothing'."),
    ],
)
def test_a_tree_put_together_by_hand_is_checked_before_it_runs(expr: Expr, said: str) -> None:
    with pytest.raises(ProgramError) as caught:
        compile_program(expr, INPUTS)
    assert str(caught.value).startswith(said)


def test_the_whole_must_be_of_the_type_that_is_wanted() -> None:
    check_type(parse_expression("sort xs", NAMES), INPUTS, Type.LIST, "the reference")
    with pytest.raises(ProgramError, match="The reference must be a whole number, and 'sort xs' is a list"):
        check_type(parse_expression("sort xs", NAMES), INPUTS, Type.INT, "the reference")
