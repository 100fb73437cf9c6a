"""Terms are interned, and printing and parsing are each other's inverse."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.proofs.terms import (
    Equation,
    TermSyntaxError,
    match,
    parse_equation,
    parse_term,
    substitute,
    subterms,
    term,
)

LEAVES = st.sampled_from(["a", "b", "x", "0", "1", "long_name2"]).map(term)
TERMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(term, st.sampled_from(["+", "*", "/", "\\", "&", "|"]), inner, inner),
        st.builds(term, st.sampled_from(["-", "~", "S"]), inner),
        st.builds(term, st.just("f"), inner, inner, inner),
    ),
    max_leaves=20,
)


@given(TERMS)
def test_a_printed_term_is_read_back_as_the_same_object(whole):
    assert parse_term(str(whole)) is whole


@given(TERMS, TERMS, st.booleans())
def test_a_printed_equation_is_read_back(left, right, holds):
    assert parse_equation(str(Equation(left, right, holds))) == Equation(left, right, holds)


@given(TERMS)
def test_no_pair_of_parentheses_can_be_left_out(whole):
    text = str(whole)
    stack = []
    for position, character in enumerate(text):
        if character == "(":
            stack.append(position)
        elif character == ")":
            opened = stack.pop()
            if text[opened - 1 : opened].isalnum():
                continue  # the parentheses of an application
            without = text[:opened] + text[opened + 1 : position] + text[position + 1 :]
            assert parse_term(without) is not whole


@given(TERMS)
def test_terms_survive_pickling_as_the_same_object(whole):
    assert pickle.loads(pickle.dumps(whole)) is whole


@pytest.mark.parametrize(
    ("loose", "strict"),
    [
        ("a + b * c", "a + (b * c)"),
        ("a + b + c", "(a + b) + c"),
        ("a | b & c + d", "a | (b & (c + d))"),
        ("-a * b", "(-a) * b"),
        ("a / b \\ c", "(a / b) \\ c"),
        ("~~a & b", "(~(~a)) & b"),
        ("  a+b  ", "a + b"),
    ],
)
def test_operators_bind_as_the_module_says(loose, strict):
    assert parse_term(loose) is parse_term(strict)


def test_the_example_of_the_contract_prints_as_it_stands_there():
    line = "-a + (a + -a) = -a + a + -a"
    assert str(parse_equation(line)) == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a + -a = A.0", "'.' at column 11"),
        ("a +", "ends where a term should stand"),
        ("a = b = c", "'=' at column 7"),
        ("a + b", "ends where '=' or '!=' should stand"),
        ("(a + b = c", "'=' at column 8"),
        ("a - b = c", "'-' at column 3"),
        ("= a", "'=' at column 1, where a term"),
        ("a < b", "'<' at column 3"),
        ("", "ends where a term should stand"),
        ("S() = a", "')' at column 3"),
        ("(" * 300 + "a = b", "nests deeper than 100"),
        ("-" * 300 + "a = b", "nests deeper than 100"),
        ("S(" * 150 + "a = b", "nests deeper than 100"),
        ("a" + " + a" * 5000 + " = b", "more than 400 symbols"),
        ("(" * 5000 + "a = b", "more than 400 symbols"),
    ],
)
def test_what_is_no_equation_is_refused_with_its_place(text, says):
    with pytest.raises(TermSyntaxError) as refusal:
        parse_equation(text)
    assert says in str(refusal.value)
    assert str(refusal.value).endswith(".")


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        equation = parse_equation(text)
    except TermSyntaxError:
        return
    assert parse_equation(str(equation)) == equation


@given(TERMS, TERMS, TERMS)
def test_matching_finds_what_substitution_put_in(pattern, first, second):
    variables = frozenset({"a", "b"}) & {part.symbol for part in subterms(pattern)}
    bindings = {name: value for name, value in (("a", first), ("b", second)) if name in variables}
    found = {}
    assert match(pattern, substitute(pattern, bindings), variables, found)
    assert found == bindings


def test_matching_needs_equal_terms_for_equal_variables():
    assert not match(parse_term("a + a"), parse_term("x + y"), frozenset("a"), {})
