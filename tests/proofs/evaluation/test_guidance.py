"""The comparison of enumeration with a model: same search, same budget, and only the proposer differs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from clew.bundle.decode import Line, LineSession
from clew.bundle.load import load_bundle
from clew.bundle.sampling import Sampling
from clew.proofs.enumeration import Enumeration
from clew.proofs.evaluation import guidance
from clew.proofs.evaluation.guidance import Budget, SampledLines, compare, try_theorem
from clew.proofs.search import search
from clew.proofs.terms import parse_equation
from clew.proofs.theorems import Theorem
from clew.proofs.theories import theory_named

GROUP = theory_named("group")


def theorem(goal: str, name: str = "group_0") -> Theorem:
    return Theorem(name, GROUP, ("a", "b"), parse_equation(goal))


EASY = theorem("-a + (a + (b + 0)) = b")
PROOF = ["b + 0 = b", "-a + (a + b) = -a + a + b", "-a + a = 0", "0 + b = b"]


class Scripted:
    """In place of a `LineSession`: draws what a table says for the lines accepted so far."""

    table: dict[tuple[str, ...], list[str]]
    asked: list[tuple[str, ...]]

    def __init__(self, bundle, prompt, sampling):
        self.prompt, self.lines = prompt, ()

    def fork(self, *, seed, temperature):
        other = type(self)(None, self.prompt, None)
        other.lines, other.temperature = self.lines, temperature
        return other

    def accept(self, line):
        self.lines = (*self.lines, line.text)

    def propose(self, k):
        self.asked.append((self.temperature, *self.lines))
        return [Line(text, -1.0, (1,), finished=True) for text in self.table.get(self.lines, ["nonsense"])]


@pytest.fixture
def scripted(monkeypatch):
    def install(table):
        kind = type("Script", (Scripted,), {"table": table, "asked": []})
        monkeypatch.setattr(guidance, "LineSession", kind)
        return kind

    return install


def run(seconds: float = 20.0):
    return search(EASY, SampledLines(None, Sampling()), max_proposals=100, max_seconds=seconds)


def test_a_model_that_knows_the_proof_needs_one_proposal_a_line(scripted):
    scripted({tuple(PROOF[:index]): [PROOF[index]] * 8 for index in range(4)})
    result = run()
    assert (result.proved, result.proposals) == (True, 4)


def test_only_lines_that_were_not_judged_yet_are_proposed(scripted):
    script = scripted(
        {
            (): ["a = b", "a = b", "b + 0 = b", "no line"],
            ("b + 0 = b",): ["a = b", PROOF[1]],
            tuple(PROOF[:2]): ["a = b", PROOF[2], "no line"],
            tuple(PROOF[:3]): ["no line", PROOF[3]],
        }
    )
    result = run()
    assert result.proved
    # "a = b" and "no line" were judged once, though they were drawn in three places each.
    assert result.proposals == 2 + len(PROOF)
    assert [lines for _, *lines in script.asked] == [PROOF[:index] for index in range(4)]


def test_a_known_line_is_followed_without_asking_again_and_fruitless_starts_are_hotter(scripted):
    table = {(): ["b + 0 = b"], ("b + 0 = b",): ["nonsense"]}
    script = scripted(table)
    result = run(seconds=0.1)
    assert (result.proved, result.proposals) == (False, 2), "what is known is not asked again"
    assert ["b + 0 = b"] in [lines for _, *lines in script.asked[3:]]
    temperatures = [temperature for temperature, *_ in script.asked]
    assert max(temperatures) > temperatures[0]


def test_a_line_that_never_ends_is_not_proposed(scripted):
    script = scripted({})
    script.propose = lambda self, k: [Line("b + 0 = b", -1.0, (1,), finished=False)]
    assert run(seconds=0.1).proposals == 0


def test_it_searches_with_a_real_bundle_and_the_same_seed_gives_the_same_search(published: Path, monkeypatch):
    bundle = load_bundle(published)
    short = Theorem("g", GROUP, ("a",), parse_equation("a + 0 + 0 = a"))
    asked = []
    propose = LineSession.propose
    monkeypatch.setattr(LineSession, "propose", lambda self, k: asked.append(propose(self, k)) or asked[-1])
    results = []
    for _ in range(2):
        proposer = SampledLines(bundle, Sampling(max_tokens=5))
        results.append(search(short, proposer, max_proposals=40, max_seconds=10))
    assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]
    assert results[0].proposals == results[1].proposals


def test_both_budgets_are_told_apart():
    generous = try_theorem(EASY, Enumeration(), Budget(proposals=100_000, seconds=20.0))
    assert (generous.proved_in_proposals, generous.proved_in_seconds) == (True, True)
    few = try_theorem(EASY, Enumeration(), Budget(proposals=1, seconds=20.0))
    assert (few.proved_in_proposals, few.proved_in_seconds) == (False, True)
    hurried = try_theorem(EASY, Enumeration(), Budget(proposals=100_000, seconds=1e-9))
    assert not hurried.proved_in_seconds


def test_a_proof_that_comes_after_the_seconds_are_over_is_too_late_in_time_and_counts_in_proposals():
    class Slow(Enumeration):
        def propose(self):
            time.sleep(0.02)
            return PROOF

    late = try_theorem(EASY, Slow(), Budget(proposals=100, seconds=0.01))
    assert late.seconds > 0.01
    assert late.proposals == len(PROOF)
    assert (late.proved_in_proposals, late.proved_in_seconds) == (True, False)


def test_the_gain_is_over_the_theorems_that_both_prove(scripted):
    scripted({tuple(PROOF[:index]): [PROOF[index]] for index in range(4)})
    hard = theorem("a + b = b + a", name="group_1")  # no theorem at all
    result = compare(None, [EASY, hard], Budget(proposals=200, seconds=0.5), Sampling())
    blind = result.trials["enumeration"][0].proposals
    assert result.gain is not None
    assert (result.gain.cases, result.gain.geometric_mean) == (1, pytest.approx(blind / 4))
    assert {name: each.successes for name, each in result.equal_proposals.items()} == {"enumeration": 1, "model": 1}
