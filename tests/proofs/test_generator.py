"""Generated theorems are new, not trivial, and proved by certificates that no line can leave."""

import hashlib
import itertools
import json

import pytest

from clew.core.errors import ClewError, UsageError
from clew.proofs.checker import Derivation, check
from clew.proofs.corpus_maker import generate_corpus
from clew.proofs.files import list_proof_files, read_proof
from clew.proofs.generator import LONGEST_GOAL, LONGEST_LINE, TASTES, generate, in_sight
from clew.proofs.rewriting import Simplifier, minimised
from clew.proofs.terms import Equation, parse_equation, parse_term, substitute, subterms, term
from clew.proofs.theorems import read_theorem
from clew.proofs.theories import THEORIES


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "out"
    manifest = generate_corpus(folder, theorems=300, seed=5, held_out=40)
    proofs = {
        name: [read_proof(path) for path in list_proof_files(folder / name)[0]]
        for name in ("train", "held_out_new", "held_out_longer")
    }
    return folder, manifest, proofs


def digest(folder):
    content = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return content.hexdigest()


def test_every_certificate_is_accepted(corpus):
    for proof in itertools.chain(*corpus[2].values()):
        assert check(proof).accepted, proof


def test_the_sets_have_the_sizes_and_lengths_that_were_asked_for(corpus):
    lengths = {name: [len(proof.steps) for proof in proofs] for name, proofs in corpus[2].items()}
    assert {name: len(each) for name, each in lengths.items()} == {
        "train": 300,
        "held_out_new": 40,
        "held_out_longer": 40,
    }
    assert set(lengths["train"]) == set(range(2, 9))
    assert max(lengths["held_out_new"]) <= 8
    assert min(lengths["held_out_longer"]) > max(lengths["train"])


def test_no_line_can_be_left_out_and_each_is_an_instance_of_a_law(corpus):
    for proof in corpus[2]["train"][:100]:
        theorem = read_theorem(proof)
        lines = [parse_equation(step) for step in proof.steps]
        assert all(theorem.theory.law_of(line) is not None for line in lines)
        for dropped in range(len(lines)):
            derivation = Derivation(theorem)
            for number, line in enumerate(lines):
                if number != dropped:
                    derivation.take(line)
            assert not derivation.contradictory


def test_no_theorem_is_an_instance_of_one_law(corpus):
    for proof in itertools.chain(*corpus[2].values()):
        theorem = read_theorem(proof)
        assert theorem.theory.law_of(theorem.goal) is None
        assert theorem.goal.left is not theorem.goal.right


def test_no_two_theorems_are_equal_up_to_renaming_and_exchange_of_sides(corpus):
    # Against every other theorem by matching with one-to-one renamings, not by the generator's own key.
    def parts(theorem):
        letters = [part.symbol for side in (theorem.goal.left, theorem.goal.right) for part in subterms(side)]
        return len(theorem.variables), sorted("_" if letter in theorem.variables else letter for letter in letters)

    theorems = [read_theorem(proof) for proof in itertools.chain(*corpus[2].values())]
    groups = {}
    for theorem in theorems:
        groups.setdefault((theorem.theory.name, str(parts(theorem))), []).append(theorem)
    compared = 0
    for group in groups.values():
        for first, second in itertools.combinations(group, 2):
            for order in itertools.permutations(second.variables):
                renaming = {old: term(new) for old, new in zip(first.variables, order, strict=True)}
                renamed = Equation(substitute(first.goal.left, renaming), substitute(first.goal.right, renaming))
                assert renamed not in (second.goal, second.goal.flipped())
                compared += 1
    assert compared > 100


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(corpus, tmp_path):
    folder, manifest, _ = corpus
    again = generate_corpus(tmp_path / "again", theorems=300, seed=5, held_out=40)
    assert again == manifest == json.loads((folder / "manifest.json").read_text())
    assert digest(tmp_path / "again") == digest(folder)
    other = generate_corpus(tmp_path / "other", theorems=300, seed=6, held_out=40)
    assert other["sets"]["train"]["sha256"] != manifest["sets"]["train"]["sha256"]


def test_theorem_number_n_needs_none_before_it():
    backwards = [generate(3, index, tuple(TASTES), 8) for index in reversed(range(40))]
    assert backwards[::-1] == [generate(3, index, tuple(TASTES), 8) for index in range(40)]


def test_all_theories_occur_names_differ_and_lines_are_short(corpus):
    theorems = [read_theorem(proof) for proof in itertools.chain(*corpus[2].values())]
    assert {theorem.theory.name for theorem in theorems} == set(THEORIES)
    assert len({theorem.name for theorem in theorems}) == len(theorems)
    assert len({theorem.variables for theorem in theorems}) > 50
    for proof in itertools.chain(*corpus[2].values()):
        assert all(len(step) <= LONGEST_LINE for step in proof.steps)
        assert len(proof.goal.strip()) <= LONGEST_GOAL


def test_theories_can_be_chosen(tmp_path):
    manifest = generate_corpus(tmp_path / "out", theorems=20, theories=["loop", "group"], held_out=5)
    assert set(manifest["sets"]["train"]["by_theory"]) == {"loop", "group"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"theorems": 0}, "--theorems is 0; it must be at least 1"),
        ({"theorems": -5}, "--theorems is -5"),
        ({"held_out": -1}, "--held-out is -1"),
        ({"max_steps": 1}, "--max-steps is 1"),
        ({"theories": ["grup"]}, "Did you mean 'group'"),
    ],
)
def test_wrong_options_are_refused(tmp_path, wrong, says):
    with pytest.raises(UsageError, match=says):
        generate_corpus(tmp_path / "out", **{"theorems": 10, **wrong})
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone_and_an_empty_one_is_filled(tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "precious.txt").write_text("mine")
    with pytest.raises(ClewError, match="already exists"):
        generate_corpus(tmp_path / "used", theorems=10)
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["precious.txt"]
    (tmp_path / "empty").mkdir()
    generate_corpus(tmp_path / "empty", theorems=10, held_out=2)
    assert (tmp_path / "empty" / "manifest.json").is_file()


def test_asking_for_more_theorems_than_there_are_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("clew.proofs.corpus_maker._DRAWS_PER_THEOREM", 0)
    with pytest.raises(ClewError, match=r"Only .* different theorems .* monoid, and 5000 were asked for"):
        generate_corpus(tmp_path / "out", theorems=5000, theories=["monoid"], held_out=0)
    assert not (tmp_path / "out").exists()


def test_minimising_keeps_what_is_needed_and_raises_when_too_little_is_given():
    needed = [parse_equation("a * 1 = a"), parse_equation("1 * b = b")]
    idle = [parse_equation(f"x{number} * 1 = x{number}") for number in range(100)]
    goal = parse_equation("a * 1 * (1 * b) = a * b")
    assert minimised([*idle[:50], needed[0], *idle[50:], needed[1]], goal) == tuple(needed)
    assert minimised([needed[0], *idle[:5], needed[1], needed[0]], goal) == tuple(needed)
    assert minimised(idle, parse_equation("a = a")) == ()
    for count in (3, 100):
        with pytest.raises(ValueError, match="do not give"):
            minimised([needed[0], *idle[:count]], goal)


def test_a_step_over_equal_terms_begins_with_one_that_stands_written():
    goal = parse_equation("a * (a \\ (b * c / c)) = b")
    inside, outside = parse_equation("b * c / c = b"), parse_equation("a * (a \\ b) = b")
    assert in_sight(THEORIES["loop"], goal, [inside, outside]) == [
        inside,
        parse_equation("a * (a \\ (b * c / c)) = b * c / c"),
    ]
    # Before the terms are known to be equal, one may not stand for the other.
    assert in_sight(THEORIES["loop"], goal, [outside, inside]) == [outside, inside]


def test_most_steps_begin_with_a_term_that_stands_in_the_goal_or_a_step_before(corpus):
    seen_before = []
    for proof in corpus[2]["train"]:
        theorem = read_theorem(proof)
        seen = {*subterms(theorem.goal.left), *subterms(theorem.goal.right)}
        for step in map(parse_equation, proof.steps):
            seen_before.append(step.left in seen)
            seen |= {*subterms(step.left), *subterms(step.right)}
    assert sum(seen_before) > 0.75 * len(seen_before)


@pytest.mark.parametrize(
    ("theory", "text", "normal_form"),
    [
        ("group", "-(a + -b) + (a + 0)", "b + (-a + a)"),
        ("group", "a + b + -b", "a"),
        ("commutative_ring", "(a + b) * (a + -b)", "a * a + -(b * b)"),
        ("boolean_algebra", "~~(a & 1) | 0", "a"),
        ("natural", "S(S(0)) * S(S(0))", "S(S(S(S(0))))"),
        ("loop", "a * b / b \\ a", "1"),
        ("lattice", "a & a | a & b", "a"),
    ],
)
def test_both_ways_of_simplifying_end_at_one_form(theory, text, normal_form):
    simplifier = Simplifier(THEORIES[theory])
    expected, _ = simplifier.innermost(parse_term(normal_form), 50)
    for simplify in (simplifier.innermost, simplifier.outermost):
        form, steps = simplify(parse_term(text), 50)
        assert form is expected
        assert all(THEORIES[theory].law_of(step) is not None for step in steps)
