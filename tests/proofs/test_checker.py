"""The checker accepts what a slow judge accepts, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import slow_judge
from finite_models import MODELS

from clew.proofs.checker import check, check_file
from clew.proofs.files import Proof, parse, render, write_proof
from clew.proofs.generator import TASTES, generate
from clew.proofs.terms import Equation, parse_equation, substitute, subterms, term
from clew.proofs.theorems import Theorem, fault_of, read_theorem, theorem_key
from clew.proofs.theories import THEORIES

EXAMPLE = """@T
theorem inverse_left(a: Group) {
@G
    -a + a + -a = -a
@C
-a + a + -a != -a
@P
-a + a + -a = -a + (a + -a)
a + -a = 0
-a + 0 = -a
-a + (a + -a) != -a
"""


def some_theorems(count, seed=1, maximum_steps=6):
    """Generated theorems of all theories with their proofs."""
    found = []
    index = 0
    while len(found) < count:
        generated = generate(seed, index, (list(TASTES)[len(found) % len(TASTES)],), maximum_steps)
        index += 1
        if generated is not None:
            found.append(generated)
    return found


def changed_somewhere(equation, random, replacements):
    """The equation with one occurrence of a subterm replaced."""
    sides = [equation.left, equation.right]
    place = int(random.integers(equation.size))
    by = replacements[int(random.integers(len(replacements)))]

    def walk(part, left):
        if left == 0:
            return by, -1
        left -= 1
        arguments = []
        for argument in part.arguments:
            if left >= 0:
                argument, left = walk(argument, left)
            arguments.append(argument)
        return term(part.symbol, *arguments), left

    side = 0 if place < sides[0].size else 1
    sides[side], _ = walk(sides[side], place - (sides[0].size if side else 0))
    return Equation(sides[0], sides[1], equation.holds)


def mutations(generated, random):
    """Certificates that differ a little from a right one: (what was done, goal, steps)."""
    goal, steps = generated.theorem.goal, list(generated.steps)
    at = int(random.integers(len(steps)))
    pool = [part for each in [goal, *steps] for side in (each.left, each.right) for part in subterms(side)]
    letters = [term(letter) for letter in generated.theorem.variables]
    first, second = letters[0], letters[-1]
    exchange = {first.symbol: second, second.symbol: first}

    def with_line(line):
        return [*steps[:at], line, *steps[at + 1 :]]

    def exchanged(equation):
        return Equation(substitute(equation.left, exchange), substitute(equation.right, exchange), equation.holds)

    yield "a line dropped", goal, steps[:at] + steps[at + 1 :]
    yield "a subterm changed", goal, with_line(changed_somewhere(steps[at], random, pool))
    yield "a leaf changed", goal, with_line(changed_somewhere(steps[at], random, letters))
    yield "sides exchanged", goal, with_line(steps[at].flipped())
    yield "a line made a disequation", goal, with_line(steps[at].negated())
    yield "variables exchanged in a line", goal, with_line(exchanged(steps[at]))
    yield "the goal changed", changed_somewhere(goal, random, pool), steps
    yield "order changed", goal, [steps[int(n)] for n in random.permutation(len(steps))]
    yield "a side of a line taken from the goal", goal, with_line(Equation(steps[at].left, goal.right))
    yield "a line repeated", goal, [*steps, steps[at]]


def test_the_example_is_accepted():
    assert check(parse(EXAMPLE, "example")).accepted


def test_thousands_of_mutated_certificates_are_judged_as_the_slow_judge_judges_them():
    accepted = refused = 0
    kinds = {}
    for number, generated in enumerate(some_theorems(220)):
        random = np.random.default_rng(number)
        theorem = generated.theorem
        for kind, goal, steps in mutations(generated, random):
            if any(fault_of(each, theorem.theory, theorem.variables) for each in (goal, *steps)):
                continue
            proof = replace(theorem, goal=goal).to_proof(steps)
            verdict = check(proof)
            assert verdict.accepted == slow_judge.accepts(theorem.theory.name, goal, proof.steps), (kind, proof)
            accepted += verdict.accepted
            refused += not verdict.accepted
            kinds.setdefault(kind, []).append(verdict.accepted)
    assert accepted + refused > 2000
    assert accepted > 500  # sides exchanged, order changed: still right
    assert refused > 800
    assert not any(kinds["a line dropped"])  # the generator's proofs are minimal
    assert all(kinds["sides exchanged"])
    assert all(kinds["order changed"])


def test_no_goal_that_fails_in_a_model_is_ever_proved():
    failing = 0
    for number, generated in enumerate(some_theorems(300, seed=2)):
        random = np.random.default_rng(number)
        theorem, model = generated.theorem, MODELS[generated.theorem.theory.name]
        goal, steps = theorem.goal, generated.steps
        pool = [part for side in (goal.left, goal.right) for part in subterms(side)]
        assignments = [{letter: int(random.choice(model.elements)) for letter in theorem.variables} for _ in range(20)]

        def is_false(equation, model=model, assignments=assignments):
            return any(model.value(equation.left, each) != model.value(equation.right, each) for each in assignments)

        assert not is_false(goal)
        for _ in range(10):
            wrong = changed_somewhere(goal, random, pool)
            if is_false(wrong):
                failing += 1
                # Not with the proof of its neighbour, nor with that and itself as a line, which is circular.
                assert not check(replace(theorem, goal=wrong).to_proof(steps)).accepted
                assert not check(replace(theorem, goal=wrong).to_proof([*steps, wrong])).accepted
    assert failing > 1000


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("a + -a = 0\n", "", 10, "the lines end without contradicting"),
        ("-a + a + -a = -a + (a + -a)\na", "a", 10, "'-a + (a + -a) != -a' does not follow from the lines before it"),
        ("-a + 0 = -a\n-a + (a + -a) != -a\n", "", 9, "the lines end without contradicting '-a + a + -a != -a'"),
        ("a + -a = 0\n", "a + -a = a\n", 9, "'a + -a = a' is no instance of a law of the theory group"),
        ("a + -a = 0\n", "a + 0 = a + 0\n", 9, "'a + 0 = a + 0' says nothing"),
        ("a + -a = 0\n", "a + -b = 0\n", 9, "'b' is no operator of the theory group and no variable"),
        ("a + -a = 0\n", "a * -a = 0\n", 9, "'*' is no operator of the theory group"),
        ("a + -a = 0\n", "a + -a = 0(a)\n", 9, "'0' takes 0 arguments in the theory group, not 1"),
        ("a + -a = 0\n", "a + -a = A.0\n", 9, "'.' at column 11"),
        ("(a: Group)", "(a: Monoid)", 4, "is no operator of the theory monoid"),
        ("(a: Group)", "(a: Grup)", 2, "no theory of the sort 'Grup'. Did you mean 'Group'?"),
        ("(a: Group)", "(a: Group, a: Group)", 2, "declared twice"),
        ("(a: Group)", "(a: Group, b: Ring)", 2, "different sorts: Group, Ring"),
        ("(a: Group)", "[A: AddGroup](a: A)", 2, "expected one line such as"),
        ("(a: Group)", "()", 2, "declares no variable"),
        ("@T\ntheorem inverse_left(a: Group) {\n", "", 2, "no section @T"),
        ("-a + a + -a != -a\n@P", "-a != a\n@P", 6, "the counterfactual is not the negated goal"),
        ("-a + a + -a != -a\n@P", "-a + a + -a = -a\n@P", 6, "the counterfactual is not the negated goal"),
        ("    -a + a + -a = -a", "    -a + a + -a != -a", 4, "the goal is a disequation"),
        ("    -a + a + -a = -a", "    forall(x: A) { x = x }", 4, "':' at column 9"),
        ("@C\n", "@H\na = 0\n@C\n", 6, "a goal with a premise"),
    ],
)
def test_a_refusal_names_the_line_and_the_reason(old, new, line, says):
    assert EXAMPLE.count(old) == 1
    text = EXAMPLE.replace(old, new)
    verdict = check(parse(text, "example"))
    assert not verdict.accepted
    assert (verdict.line, says in verdict.reason) == (line, True), verdict
    assert verdict.reason.endswith((".", "?"))


def test_a_certificate_for_a_stronger_theory_is_refused_in_a_weaker_one():
    proof = Theorem("t", THEORIES["abelian_group"], ("a", "b"), parse_equation("a + b + 0 = b + a")).to_proof(
        [parse_equation("a + b + 0 = a + b"), parse_equation("a + b = b + a")]
    )
    assert check(proof).accepted
    weaker = replace(proof, context="theorem t(a: Group, b: Group) {")
    assert "no instance of a law of the theory group" in check(weaker).reason


def test_a_disequation_is_taken_only_when_it_follows():
    theorem = Theorem("t", THEORIES["monoid"], ("a", "b"), parse_equation("1 * a * b = a * b"))
    by_congruence = parse_equation("1 * a != a")  # if 1 * a were a, the goal would hold
    last = parse_equation("1 * a = a")
    assert check(theorem.to_proof([by_congruence, last])).accepted
    assert check(theorem.to_proof([parse_equation("a != b"), last])).line == 8


def test_an_empty_certificate_proves_only_what_is_equal_already():
    assert not check(parse(EXAMPLE.split("@P\n")[0] + "@P\n", "example")).accepted
    trivial = Theorem("t", THEORIES["monoid"], ("a",), parse_equation("a * a = a * a"))
    assert check(trivial.to_proof()).accepted


def test_files_are_judged_as_their_text_is_and_broken_ones_are_refused(tmp_path):
    path = tmp_path / "proof_00000.txt"
    write_proof(path, parse(EXAMPLE, "example"))
    assert check_file(path).accepted
    path.write_text(EXAMPLE.replace("@G", "@X"))
    verdict = check_file(path)
    assert not verdict.accepted
    assert verdict.reason
    path.write_bytes(EXAMPLE.encode() + b"\xff\n")
    assert check_file(path).line == 12


def test_a_statement_is_read_back_from_its_proof_file():
    for generated in some_theorems(40, seed=3):
        proof = generated.theorem.to_proof(generated.steps)
        assert isinstance(proof, Proof)
        assert read_theorem(parse(render(proof), "file")) == generated.theorem


def test_theorems_have_one_key_exactly_when_they_are_equal_up_to_names_and_sides():
    def key(text, variables="abc", theory="group"):
        return theorem_key(Theorem("t", THEORIES[theory], tuple(variables), parse_equation(text)))

    assert key("a + b + -b = a") == key("c + a + -a = c") == key("b = b + a + -a")
    assert key("a + b + -b = a") != key("a + b + -b = b")
    assert key("a + b + -b = a") != key("a + a + -a = a")
    assert key("a + -a = 0") != key("a + -a = 0", theory="abelian_group")
