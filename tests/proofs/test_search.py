"""Search keeps what the checker takes, holds its budgets, and enumeration wastes nothing."""

import itertools

import pytest

from clew.proofs.checker import Derivation, check
from clew.proofs.enumeration import Enumeration
from clew.proofs.generator import generate
from clew.proofs.search import search
from clew.proofs.terms import parse_equation, parse_term
from clew.proofs.theorems import Theorem
from clew.proofs.theories import THEORIES

GENEROUS = {"max_proposals": 100_000, "max_seconds": 60.0}


def theorem(theory, text, variables="abc"):
    return Theorem("t", THEORIES[theory], tuple(variables), parse_equation(text))


UNIT = theorem("monoid", "1 * a * b = a * b")


class Scripted:
    """Proposes given lines, and writes down what becomes of them."""

    def __init__(self, *batches):
        self.batches = list(batches)
        self.heard = []

    def begin(self, derivation):
        self.derivation = derivation

    def propose(self):
        return self.batches.pop(0) if self.batches else None

    def accepted(self, line, equation):
        self.heard.append((line, True))

    def rejected(self, line, reason):
        self.heard.append((line, reason))


class Recording(Enumeration):
    """Enumeration that writes down its instances, none of which may follow already."""

    def begin(self, derivation):
        self.proposed = []
        self.derivation = derivation
        super().begin(derivation)

    def propose(self):
        lines = super().propose()
        assert not any(self.derivation.follows(line) for line in lines or ())
        self.proposed += lines or ()
        return lines


def test_lines_are_judged_in_order_and_every_one_is_counted():
    proposer = Scripted(["a * b = b * a", "no line at all", "a * 1 = a"], [], ["1 * a = a", "never judged"])
    result = search(UNIT, proposer, **GENEROUS)
    assert result.proved
    assert result.proposals == 4
    assert [str(step) for step in result.steps] == ["1 * a = a"]
    assert [line for line, _ in proposer.heard] == ["a * b = b * a", "no line at all", "a * 1 = a", "1 * a = a"]
    assert "no instance of a law" in proposer.heard[0][1]
    assert "column" in proposer.heard[1][1]
    assert proposer.heard[2][1] is True


def test_a_proposer_with_nothing_more_ends_the_search():
    result = search(UNIT, Scripted(["a * 1 = a"]), **GENEROUS)
    assert not result.proved
    assert result.steps == ()
    assert result.proposals == 1


def test_the_goal_itself_and_what_only_it_gives_are_rejected():
    proposer = Scripted(["1 * a * b = a * b", "a * b = 1 * a * b"])
    assert not search(UNIT, proposer, **GENEROUS).proved
    assert all("does not follow" in reason for _, reason in proposer.heard)


def test_a_line_that_follows_is_accepted_and_left_out_of_the_proof():
    goal = theorem("monoid", "1 * a * (1 * b) = a * b")
    result = search(goal, Scripted(["1 * a = a", "1 * a * c = a * c", "1 * b = b"]), **GENEROUS)
    assert [str(step) for step in result.steps] == ["1 * a = a", "1 * b = b"]


def test_a_justified_disequation_is_accepted_and_a_wrong_one_is_not():
    proposer = Scripted(["1 * a != a", "a != b", "1 * a = a"])
    assert search(UNIT, proposer, **GENEROUS).proved
    assert [verdict is True for _, verdict in proposer.heard] == [True, False, True]


def test_the_budget_of_proposals_is_held_exactly():
    hard = theorem("boolean_algebra", "a & (b | c) | ~b & (a | c) = c | ~a & b")
    for budget in (1, 7, 100):
        assert search(hard, Enumeration(), max_proposals=budget, max_seconds=60).proposals == budget
    assert search(UNIT, Scripted(["a = b"] * 10), max_proposals=3, max_seconds=60).proposals == 3


def test_the_budget_of_seconds_is_read_from_the_clock():
    ticks = iter(range(1000))
    result = search(UNIT, Scripted(*[["a = b"]] * 100), max_proposals=100, max_seconds=5, clock=lambda: next(ticks))
    assert result.proposals < 6
    assert not result.proved


def test_enumeration_stays_near_its_seconds_on_a_theorem_that_it_cannot_prove():
    false = theorem("boolean_algebra", "a & (b | c) | ~b & (a | c) = c | ~a & b")
    result = search(false, Enumeration(), max_proposals=10**9, max_seconds=0.5)
    assert not result.proved
    assert result.seconds < 2.0


@pytest.mark.parametrize(
    ("theory", "text"),
    [
        ("group", "-a + (a + b) + 0 = b"),
        ("ring", "a * 0 + b = b"),
        ("lattice", "a & a | a = a"),
        ("boolean_algebra", "~~a & 1 = a"),
        ("natural", "a + S(S(0)) = S(S(a))"),
        ("loop", "a * (a \\ b) / b = 1"),
    ],
)
def test_enumeration_proves_what_is_within_reach(theory, text):
    goal = theorem(theory, text)
    result = search(goal, Enumeration(), **GENEROUS)
    assert result.proved
    assert check(goal.to_proof(result.steps)).accepted


def test_enumeration_proves_the_generated_theorems_whose_lines_are_small():
    found = (generate(11, index, ("monoid", "group", "natural", "loop"), 4) for index in range(1500))
    small = [each for each in found if each is not None and max(step.size for step in each.steps) <= 12]
    assert len(small) > 5
    for generated in small:
        assert search(generated.theorem, Enumeration(), **GENEROUS).proved


def test_enumeration_repeats_nothing():
    proposer = Recording()
    hard = theorem("group", "a + (b + c) + -(b + a) = -c + (a + b)")
    search(hard, proposer, max_proposals=1500, max_seconds=30)
    assert len(proposer.proposed) == len(set(proposer.proposed)) == 1500


@pytest.mark.parametrize("connected", [True, False])
def test_enumeration_goes_from_small_to_large_until_the_terms_at_hand_are_used_up(connected):
    # Nothing is kept here, so no new term comes to hand, and the instances can be listed independently.
    goal = theorem("monoid", "a * b = b * a", "ab")
    proposer = Enumeration(connected=connected)
    proposer.begin(Derivation(goal))
    proposed = []
    while (lines := proposer.propose()) is not None:
        proposed += lines
    sizes = [line.size for line in proposed]
    assert sizes == sorted(sizes)
    at_hand = [parse_term(text) for text in ("a", "b", "1", "a * b", "b * a")]
    derivation = Derivation(goal)
    for part in at_hand:
        derivation.closure.add(part)
    expected = set()
    for law in goal.theory.laws:
        for chosen in itertools.product(at_hand, repeat=len(law.variables)):
            instance = law.instance(dict(zip(law.variables, chosen, strict=True)))
            touches = any(derivation.closure.class_of(side) is not None for side in (instance.left, instance.right))
            if instance.left is not instance.right and (touches or not connected):
                expected.add(instance)
    assert set(proposed) == expected


def test_enumeration_is_exhaustive_over_the_terms_at_hand():
    # The law x * 1 = x over {1, a, b}: each instance is proposed or follows when the smaller ones are used up.
    goal = theorem("monoid", "a * b = b * a")
    proposer = Recording(connected=False)
    search(goal, proposer, max_proposals=200, max_seconds=30)
    for text in ("a * 1 = a", "1 * b = b", "a * b * a = a * (b * a)", "a * a * b = a * (a * b)"):
        assert proposer.derivation.follows(parse_equation(text)), text
