"""Rewriting: what is written is what the prover's own checker takes for a proof."""

from __future__ import annotations

from itertools import pairwise

import pytest

from clew.proofs.checker import check
from clew.proofs.terms import Equation, parse_term, subterms
from clew.proofs.theorems import Theorem
from clew.proofs.theories import THEORIES
from clew.traces.generators.rewriting import REWRITING
from clew.traces.schema import InvalidError


def test_the_checker_of_proofs_accepts_every_derivation():
    for trace in [*REWRITING.traces(60, 0), *REWRITING.traces(20, 0, "harder", "evaluation")]:
        theory = THEORIES[trace.meta["category"]]
        whole = parse_term(trace.prompt.partition(": ")[2])
        terms = [whole, *(parse_term(step.content.partition(": ")[2]) for step in trace.steps)]
        letters = tuple(sorted({part.symbol for part in subterms(whole)} - set(theory.operators)))
        goal = Equation(whole, parse_term(trace.final_answer))
        if not letters:
            continue  # the files of proofs state theorems about variables alone
        proof = Theorem("simplified", theory, letters, goal).to_proof(
            [step for before, after in pairwise(terms) for step in lines(theory, before, after)]
        )
        assert check(proof).accepted, trace


def lines(theory, before, after):
    """The equation of the terms, after that of the part of them which is an instance of a law."""
    part = Equation(before, after)
    while theory.law_of(part) is None:
        ((left, right),) = (
            pair for pair in zip(part.left.arguments, part.right.arguments, strict=True) if pair[0] is not pair[1]
        )
        part = Equation(left, right)
    return list(dict.fromkeys([part, Equation(before, after)]))


def test_the_number_of_steps_is_that_of_the_level():
    for level, fewest, most in (("2-step", 1, 2), ("4-step", 3, 4), ("harder", 5, 9)):
        for trace in REWRITING.traces(20, 1, level, "evaluation"):
            assert fewest <= len(trace.steps) <= most


def test_another_way_to_the_same_normal_form_is_right():
    prompt = "Simplify in a group: 0 + (a + -a + 0)"
    assert REWRITING.solve(prompt).answer == "0"
    other = ["unit_right: 0 + (a + -a)", "inverse_right: 0 + 0", "unit_right: 0"]
    assert REWRITING.check_steps(prompt, other, "0") == []


@pytest.mark.parametrize(
    ("steps", "answer", "says"),
    [
        (["unit_left: a + -a"], "0", "unit_left does not make"),
        (["unit_right: 0 + (a + -a)", "inverse_left: 0 + 0", "unit_left: 0"], "0", "inverse_left does not make"),
        (["unit_right: 0 + (a + -a)"], "0 + (a + -a)", "not the normal form"),
        (["unit_right: 0 + (a + -a)"], "0", "The steps come to"),
        (["magic: 0"], "0", "names no law of group"),
        (["unit_right: 0 + (a +"], "0", "Step 1"),
        (["unit_right: 0 + (a + -a + 0)"], "0", "says nothing"),
    ],
)
def test_what_is_wrong_with_a_derivation_is_said(steps, answer, says):
    faults = REWRITING.check_steps("Simplify in a group: 0 + (a + -a + 0)", steps, answer)
    assert any(says in fault for fault in faults), faults


def test_names_of_variables_do_not_make_another_problem():
    one, other = "Simplify in a group: -a + (a + b)", "Simplify in a group: -x + (x + c)"
    assert REWRITING.key(one) == REWRITING.key(other)
    assert REWRITING.key(one) != REWRITING.key("Simplify in a group: -a + (b + a)")
    assert REWRITING.key(one) != REWRITING.key("Simplify in an abelian group: -a + (a + b)")


def test_parentheses_that_change_nothing_are_no_other_answer():
    assert REWRITING.check_answer("Simplify in a monoid: a * b * 1 * c", "(a * (b * c))")
    assert not REWRITING.check_answer("Simplify in a monoid: a * b * 1 * c", "a * b * c")


@pytest.mark.parametrize(
    "prompt",
    [
        "Simplify in a grape: a + 0",
        "Simplify in a group: a & b",
        "Simplify in a group: A + 0",
        "Simplify in a group: a = 0",
        "Simplify in an group: a + 0",
        "Simplify in a group: (a) + 0",
        "Simplify in a group: " + "(" * 300,
    ],
)
def test_what_it_does_not_ask_is_refused(prompt):
    with pytest.raises(InvalidError, match="is no question of rewriting"):
        REWRITING.solve(prompt)


def test_a_normal_form_is_no_problem():
    with pytest.raises(InvalidError, match="or is one already"):
        REWRITING.solve("Simplify in a group: a + b")
