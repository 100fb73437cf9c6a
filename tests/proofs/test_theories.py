"""Each theory has a model that is not trivial, and its library theorems are proved from its axioms."""

import pytest
from finite_models import MODELS

from clew.core.errors import UsageError
from clew.proofs.checker import Derivation
from clew.proofs.terms import Equation, parse_equation
from clew.proofs.theorems import Theorem
from clew.proofs.theories import THEORIES, THEORY_OF_SORT, theory_named

LIBRARY = [(theory.name, law.name) for theory in THEORIES.values() for law in theory.theorems]


@pytest.mark.parametrize("name", THEORIES)
def test_every_law_holds_in_a_model_of_several_elements(name):
    model = MODELS[name]
    assert len(model.elements) > 1
    for law in THEORIES[name].laws:
        assert model.holds(Equation(law.left, law.right), law.variables), law


@pytest.mark.parametrize(("theory_name", "law_name"), LIBRARY)
def test_a_library_theorem_follows_from_the_axioms_and_the_theorems_before_it(theory_name, law_name):
    whole = THEORIES[theory_name]
    part = whole.up_to(law_name)
    law = next(each for each in whole.theorems if each.name == law_name)
    assert law not in part.laws
    derivation = Derivation(Theorem(law_name, part, law.variables, Equation(law.left, law.right)))
    for step in whole.certificates[law_name]:
        assert not derivation.contradictory
        assert derivation.objection(parse_equation(step)) is None, step
        derivation.take(parse_equation(step))
    assert derivation.contradictory


@pytest.mark.parametrize("name", THEORIES)
def test_laws_use_the_theory_s_operators_and_are_found_in_both_directions(name):
    theory = THEORIES[name]
    for law in theory.laws:
        equation = Equation(law.left, law.right)
        assert all(variable not in theory.operators and len(variable) == 1 for variable in law.variables)
        assert theory.law_of(equation) is not None
        assert theory.law_of(equation.flipped()) is not None


def test_theories_differ_where_their_models_do():
    # What does not hold in the model of a weaker theory is no law of it.
    assert not MODELS["group"].holds(parse_equation("a + b = b + a"), ("a", "b"))
    assert not MODELS["ring"].holds(parse_equation("a * b = b * a"), ("a", "b"))
    assert not MODELS["lattice"].holds(parse_equation("a & (b | c) = a & b | a & c"), ("a", "b", "c"))
    assert not MODELS["loop"].holds(parse_equation("a * b * c = a * (b * c)"), ("a", "b", "c"))


def test_only_permuting_laws_are_taken_for_permuting():
    permuting = {str(law) for law in THEORIES["commutative_ring"].laws if law.permutes}
    assert permuting == {
        "a + b = b + a",
        "a + (b + c) = b + (a + c)",
        "a * b = b * a",
        "a * (b * c) = b * (a * c)",
    }


def test_a_theory_is_found_by_name_and_sort():
    assert theory_named("group") is THEORY_OF_SORT["Group"]
    with pytest.raises(UsageError, match="Did you mean 'boolean_algebra'"):
        theory_named("bool_algebra")
