"""Text to tree and back, and what is said of a text that is no program."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.core.randomness import generator
from clew.programs.check import type_of
from clew.programs.parse import RESERVED, parse_expression
from clew.programs.pretty import pretty
from clew.programs.primitives import PRIMITIVES, FunctionType, Type
from clew.programs.syntax import Call, Expr, Lambda, Literal, ProgramError, Variable, call, depth, size
from random_programs import INPUTS, random_expr

NAMES = ("n", "flag", "xs", "ys")
N, XS = Variable("n"), Variable("xs")


def one(value: int) -> Literal:
    return Literal(value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("n - 1 - 2", call("sub", call("sub", N, one(1)), one(2))),
        ("n - (1 - 2)", call("sub", N, call("sub", one(1), one(2)))),
        ("n + 2 * 3", call("add", N, call("mul", one(2), one(3)))),
        ("(n + 2) * 3", call("mul", call("add", N, one(2)), one(3))),
        ("n -1", call("sub", N, one(1))),
        ("n - -1", call("sub", N, one(-1))),
        ("take -1 xs", call("take", one(-1), XS)),
        ("length xs -1", call("sub", call("length", XS), one(1))),
        ("flag || flag && n < 2", call("or", Variable("flag"), call("and", Variable("flag"), call("lt", N, one(2))))),
        ("n + " + "0" * 5000 + "2", call("add", N, one(2))),
        ("n > 2", call("lt", one(2), N)),
        ("n >= 2", call("le", one(2), N)),
        ("n != 2", call("not", call("eq", N, one(2)))),
        ("add n 2", call("add", N, one(2))),
        ("neg n % 2", call("mod", call("neg", N), one(2))),
        ("if true 1 (neg 2)", call("if", Literal(True), one(1), call("neg", one(2)))),
        (r"map (\x -> x + n) xs", call("map", Lambda(("x",), call("add", Variable("x"), N)), XS)),
        ("sum # the list\n  xs", call("sum", XS)),
    ],
)
def test_what_a_text_means(text: str, tree: Expr) -> None:
    assert parse_expression(text, NAMES) == tree
    assert parse_expression(pretty(tree), NAMES) == tree


def test_what_is_printed_has_no_parenthesis_too_many() -> None:
    for text in (
        "n - 1 - 2",
        "n - (1 - 2)",
        "(n + 2) * 3 / (n * 2)",
        "n - (-1)",
        "sum (take k (sort xs))",
        "0 <= n && n <= length xs",
        "flag && (flag || not flag)",
        r"fold (\x y -> x * 10 + y) 0 xs",
        "(n < 1 || flag) && even (n + 1)",
        "n != 1 && not flag",
        "not (n != 1) || flag",
        r"all (\x -> x != n + 1) xs",
    ):
        assert pretty(parse_expression(text, (*NAMES, "k"))) == text


words = st.from_regex(r"[a-z_][a-zA-Z0-9_]{0,3}", fullmatch=True).filter(lambda word: word not in RESERVED)
leaves = st.one_of(
    st.integers(-(2**31) + 1, 2**31 - 1).map(Literal), st.booleans().map(Literal), st.sampled_from(NAMES).map(Variable)
)


def trees(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    """Calls of any primitive with arguments of any type, and lambdas anywhere: more than the checker lets through."""
    calls = st.sampled_from(list(PRIMITIVES.values())).flatmap(
        lambda primitive: st.tuples(*[inner] * len(primitive.parameters)).map(lambda each: Call(primitive.name, each))
    )
    lambdas = st.builds(Lambda, st.lists(words, min_size=1, max_size=2, unique=True).map(tuple), inner)
    return st.one_of(calls, calls, lambdas)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(leaves, trees, max_leaves=16))
def test_every_tree_is_printed_and_read_again(expr: Expr) -> None:
    assert parse_expression(pretty(expr), NAMES) == expr


def test_random_well_typed_programs_are_printed_and_read_again_with_their_types() -> None:
    for trial in range(300):
        rng = generator(5, "printed", trial)
        wanted = list(Type)[trial % 3]
        expr = random_expr(rng, wanted, 6)
        again = parse_expression(pretty(expr), NAMES)
        assert again == expr
        assert type_of(again, INPUTS) is wanted


def test_a_parameter_may_hide_a_name_and_the_innermost_counts() -> None:
    text = r"map (\n -> sum (map (\n -> n + 1) xs) + n) xs"
    assert pretty(parse_expression(text, NAMES)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: expected a value"),
        ("taek n xs", "1:1: there is nothing called 'taek' here: no primitive, and the names are flag, n, xs, ys. Did"),
        ("tru", "Did you mean 'true'?"),
        ("sum zs", "1:5: there is nothing called 'zs'"),
        ("sum\n  (sort zs)", "2:9: there is nothing called 'zs'"),
        ("sum", "1:4: 'sum' takes 1 argument, here none: expected a value"),
        ("take n", "1:7: 'take' takes 2 arguments, here 1: expected a value"),
        ("length xs ys", "1:11: 'length' takes 1 argument; expected an operator or the end, here 'ys'"),
        ("take n sort xs", "1:8: 'sort' stands as an argument of 'take': put it and its arguments in parentheses"),
        ("xs 1", "1:4: expected an operator or the end of the expression, here '1'"),
        ("(n + 1", "1:7: expected ')' to close the '(' of column 1, here the end"),
        ("n + ", "1:4: expected a value"),
        ("n + * 2", "1:5: expected a value"),
        ("n = 1", "1:3: the language has no sign '='. Equality is '=='."),
        ("n ; 1", "1:3: the language has no sign ';'."),
        ("1 < n < 3", "1:7: comparisons do not chain: write a < b && b < c."),
        ("1 < n == flag", "1:7: comparisons do not chain"),
        ("-n", "1:1: a sign stands before a number only: write neg"),
        ("[1, 2]", "1:1: a list is written out in examples only"),
        ("99999999999", "1:1: the number is further from 0 than 2147483647"),
        ("9" * 5000, "1:1: the number is further from 0 than 2147483647"),
        (r"map \x -> x xs", "1:5: put a lambda that is an argument in parentheses"),
        (r"map (\x x -> x) xs", "1:6: two parameters of the lambda have the same name"),
        (r"map (\sum -> 1) xs", "1:7: 'sum' is a word of the language; choose another name"),
        (r"map (\x x) xs", "1:10: expected '->' before the body of the lambda, here ')'"),
        (r"map (\ -> 1) xs", "1:8: expected a parameter of the lambda, here '->'"),
        ("(" * 2_000, "more than 100 parentheses"),
        ("1 + " * 2_000 + "1", "the expression is more than 100 calls deep"),
        ("n " * 30_000, "a text of more than 5,000 words"),
        ("not " * 400 + "flag", "'not' stands as an argument of 'not'"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_text_that_is_no_program(text: str, said: str) -> None:
    with pytest.raises(ProgramError) as caught:
        parse_expression(text, NAMES, "sums.dsl")
    assert str(caught.value).startswith("sums.dsl:")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="nxsy01 ()\\->+*<=|&!#[],sumaptke\n", max_size=40))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_a_tree_or_a_sentence(text: str) -> None:
    try:
        expr = parse_expression(text, NAMES)
    except ProgramError:
        return
    assert parse_expression(pretty(expr), NAMES) == expr


def test_size_counts_no_lambda_and_depth_the_longest_way() -> None:
    expr = parse_expression(r"sum (map (\x -> x * 2) xs)", NAMES)
    assert size(expr) == 6
    assert depth(expr) == 5
    assert Literal(True) != Literal(1)
    assert len({Literal(True), Literal(1), Literal(1, 7)}) == 2


def test_every_primitive_has_a_form_of_its_own_to_read() -> None:
    for primitive in PRIMITIVES.values():
        arguments: list[Expr] = [
            Lambda(("x", "y")[: each.parameters], Literal(each.result is Type.BOOL or 1))
            if isinstance(each, FunctionType)
            else Variable({Type.INT: "n", Type.BOOL: "flag", Type.LIST: "xs"}[each])
            for each in primitive.parameters
        ]
        expr = Call(primitive.name, tuple(arguments))
        text = " ".join([primitive.name, *(f"({pretty(each)})" for each in arguments)])
        assert parse_expression(text, NAMES) == expr == parse_expression(pretty(expr), NAMES)
        assert type_of(expr, INPUTS) is primitive.result
