"""Congruence closure agrees with a fixpoint over all pairs of terms."""

import numpy as np
import pytest
from slow_judge import equal_by_fixpoint

from clew.proofs.congruence import CongruenceClosure
from clew.proofs.terms import Equation, parse_term, term


def random_terms(random, count):
    """Terms over few symbols, so that many of them are congruent."""
    terms = [term(letter) for letter in "abc"]
    while len(terms) < count:
        first, second = (terms[int(random.integers(len(terms)))] for _ in range(2))
        terms.append(term("f", first) if random.random() < 0.4 else term("+", first, second))
    return terms


def closure_of(equations):
    closure = CongruenceClosure()
    for equation in equations:
        closure.merge(equation.left, equation.right)
    return closure


@pytest.mark.parametrize("seed", range(60))
def test_it_agrees_with_the_fixpoint_over_all_pairs(seed):
    random = np.random.default_rng(seed)
    terms = random_terms(random, 14)
    pairs = [random.choice(len(terms), 2) for _ in range(5)]
    equations = [Equation(terms[first], terms[second]) for first, second in pairs]
    closure = closure_of(equations)
    for first in terms:
        for second in terms[::3]:
            assert closure.equal(first, second) == equal_by_fixpoint(equations, first, second)


def test_enough_of_those_cases_are_equal_and_enough_are_not():
    outcomes = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        terms = random_terms(random, 14)
        pairs = [random.choice(len(terms), 2) for _ in range(5)]
        closure = closure_of(Equation(terms[first], terms[second]) for first, second in pairs)
        outcomes += [closure.equal(first, second) for first in terms for second in terms if first is not second]
    assert 0.1 < np.mean(outcomes) < 0.9


def test_a_power_that_is_the_identity_and_another_that_is_too():
    # f^5 a = a and f^3 a = a give f a = a (Nelson & Oppen 1980, section 1).
    def power(times):
        return parse_term("S(" * times + "a" + ")" * times)

    closure = closure_of([Equation(power(5), power(0)), Equation(power(3), power(0))])
    assert closure.equal(power(1), power(0))
    assert not closure_of([Equation(power(6), power(0)), Equation(power(3), power(0))]).equal(power(1), power(0))


def test_order_of_adding_and_merging_does_not_matter():
    for seed in range(20):
        random = np.random.default_rng(seed)
        terms = random_terms(random, 14)
        equations = [Equation(*(terms[int(n)] for n in random.choice(len(terms), 2))) for _ in range(5)]
        late = closure_of(equations)
        early = CongruenceClosure()
        for each in reversed(terms):
            early.add(each)
        for equation in reversed(equations):
            early.merge(equation.right, equation.left)
        for first in terms:
            for second in terms:
                assert early.equal(first, second) == late.equal(first, second)


def test_asking_takes_nothing_in_and_a_copy_goes_its_own_way():
    closure = closure_of([Equation(parse_term("a"), parse_term("b"))])
    assert closure.equal(parse_term("S(a) + c"), parse_term("S(b) + c"))
    assert not isinstance(closure.canonical(parse_term("S(a)")), int)
    other = closure.copy()
    other.merge(parse_term("b"), parse_term("c"))
    assert other.equal(parse_term("S(a)"), parse_term("S(c)"))
    assert not closure.equal(parse_term("S(a)"), parse_term("S(c)"))


def test_an_instance_by_classes_is_the_instance_by_terms():
    closure = closure_of([Equation(parse_term("a + b"), parse_term("c")), Equation(parse_term("a"), parse_term("d"))])
    pattern = parse_term("x + y")
    by_classes = closure.canonical_instance(
        pattern, {"x": closure.add(parse_term("d")), "y": closure.add(parse_term("b"))}
    )
    assert by_classes == closure.canonical(parse_term("c"))
