"""The searches that a guide leads: what they find, what they spend, and what their account says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from brute_force import LISTS, XS, problem_of
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.programs.features import Row
from clew.programs.grammar import FULL, NONTERMINALS
from clew.programs.guidance import FrequencyGuide, Scores, UniformGuide, counts_of, weights_of
from clew.programs.interpret import compile_program, run_on
from clew.programs.parse import parse_expression
from clew.programs.search.gain import compare, paired, run_all
from clew.programs.search.guided import SEARCHES, Terms, beam, best_first, by_grammar, search
from clew.programs.search.problem import Budget, Found, Line, Problem
from clew.programs.states import State, derivation
from clew.programs.syntax import Expr

TEXT = "sum (map (\\x -> x * x) (filter (\\x -> 0 < x) xs))"
PLENTY = Budget(nodes=20_000, seconds=60)


def tree(text: str) -> Expr:
    """A program over `xs`."""
    return parse_expression(text, ["xs"])


def led_by(*texts: str) -> FrequencyGuide:
    """A guide that has counted the productions of these programs."""
    demonstrations = [(problem_of(text), derivation(tree(text), problem_of(text), FULL)) for text in texts]
    return FrequencyGuide(counts_of(demonstrations), smoothing=0.05)


class Knowing(UniformGuide):
    """A guide that knows one program: its next action where a state is on the way, and that all else is hopeless."""

    def __init__(self, text: str, *, policy: bool, value: bool) -> None:
        super().__init__()
        self._actions = tuple(derivation(tree(text), problem_of(text), FULL))
        self._policy, self._value = policy, value

    def of_states(self, task: Row, partial: Sequence[State]) -> Scores:
        scores = super().of_states(task, partial)
        for place, state in enumerate(partial):
            on_the_way = state.actions == self._actions[: state.size]
            if self._policy and on_the_way:
                scores.policy_logits[place, self._actions[state.size]] = 9.0
            if self._value:
                scores.value[place] = 1.0 if on_the_way else 0.0
        return scores


@pytest.mark.parametrize("run", [best_first, beam])
def test_a_guide_that_knows_the_way_is_followed_straight(run) -> None:
    problem = problem_of(TEXT)
    found = run(problem, Knowing(TEXT, policy=True, value=False), budget=PLENTY)
    assert found.program is not None
    assert tuple(run_on(compile_program(found.program, LISTS), XS)[0]) == problem.results
    assert found.stopped == "found"
    assert found.nodes <= 256 * 9
    assert found.programs_run > 0


def test_the_value_alone_shortens_the_way() -> None:
    text = "sum (map (\\x -> x * x) xs)"
    problem = problem_of(text)
    with_value = best_first(problem, Knowing(text, policy=False, value=True), budget=PLENTY, terms=Terms(value=3.0))
    assert with_value.solved
    without = best_first(problem, UniformGuide(), budget=Budget(nodes=3 * with_value.nodes, seconds=60))
    assert not without.solved


def test_the_estimate_of_open_places_makes_best_first_shorter() -> None:
    problem, guide = problem_of(TEXT), led_by(TEXT, "sum xs", "map (\\x -> x * 2) xs")
    blind = best_first(problem, guide, budget=PLENTY, terms=Terms(open_places=0.0), batch=1)
    star = best_first(problem, guide, budget=PLENTY, batch=1)
    assert star.solved
    assert star.nodes < blind.nodes


def test_best_first_takes_a_likeliest_program_where_the_estimate_is_all_that_is_added() -> None:
    """A* with an estimate that is never too high: the costs at which states are taken do not fall."""
    lines: list[Line] = []
    terms = Terms(value=0.0, guard=0.0, latency=0.0)
    guide = led_by("sort xs", "reverse xs")
    best_first(problem_of(TEXT), guide, budget=Budget(nodes=5000, seconds=60), terms=terms, batch=1, trace=lines.append)
    costs = [line.cost for line in lines]
    assert len(costs) > 3
    assert costs == sorted(costs)
    assert all("?" in line.best for line in lines)


def test_equal_parts_are_expanded_once() -> None:
    """`sort (sort xs)` and `reverse (reverse xs)` are `sort xs` and `xs`: no state with them is gone on with."""
    grammar_guide = UniformGuide()
    seen: list[State] = []

    class Watching(UniformGuide):
        def of_states(self, task: Row, partial: Sequence[State]) -> Scores:
            seen.extend(partial)
            return grammar_guide.of_states(task, partial)

    best_first(problem_of("length (unique xs)"), Watching(), budget=Budget(nodes=3000, seconds=60))
    numbers = {str(production): action for action, production in enumerate(FULL.productions)}
    twice = (numbers["sort"], numbers["sort"], numbers["input0"])
    assert seen
    assert not any(
        state.actions[place : place + 3] == twice for state in seen for place in range(len(state.actions) - 2)
    )


@pytest.mark.parametrize("how", ["best-first", "beam", "grammar", "enumerate"])
def test_budgets_are_kept(how: str) -> None:
    hopeless = Problem("no such", LISTS, NONTERMINALS[2].type, XS, tuple((1000 + place, 7) for place in range(5)))
    found = search(hopeless, UniformGuide(), how=how, budget=Budget(nodes=500, seconds=60))
    assert (found.program, found.stopped, found.search, found.nodes) == (None, "nodes", how, 500)
    found = search(hopeless, UniformGuide(), how=how, budget=Budget(nodes=2**40, seconds=0.05))
    assert (found.program, found.stopped) == (None, "seconds")


def test_which_search_is_chosen() -> None:
    problem = problem_of("sum xs")
    assert search(problem).search == "enumerate"
    assert search(problem, UniformGuide()).search == "grammar"
    with pytest.raises(UsageError, match="no search 'sideways'"):
        search(problem, how="sideways")
    with pytest.raises(UsageError, match="led by a model"):
        search(problem, how="beam")
    assert SEARCHES[0] == "auto"


def test_weights_are_probabilities_over_what_is_legal() -> None:
    problem = problem_of(TEXT)
    random = np.random.default_rng(1)
    logits: NDArray[np.float32] = random.normal(size=(len(FULL.contexts), FULL.actions)).astype(np.float32)
    for weights in (weights_of(logits, problem), UniformGuide().weights(problem), led_by(TEXT).weights(problem)):
        assert np.allclose(np.exp(-weights).sum(axis=1), 1.0, atol=1e-5)
        for place, context in enumerate(FULL.contexts):
            legal = set(FULL.legal(context.nonterminal, problem.input_types))
            assert set(np.flatnonzero(np.isfinite(weights[place])).tolist()) == legal


def test_a_frequency_guide_says_of_states_what_it_says_of_their_contexts() -> None:
    problem, guide = problem_of(TEXT), led_by(TEXT)
    found = best_first(problem, guide, budget=PLENTY)
    assert found.solved
    assert found.nodes < best_first(problem, UniformGuide(), budget=Budget(nodes=3000, seconds=60)).nodes


def _outcome(nodes: int, solved: bool) -> Found:
    return Found(tree("xs") if solved else None, nodes, nodes, nodes / 1000, "found" if solved else "nodes", "grammar")


def test_the_gain_is_paired_by_problem() -> None:
    baseline = [_outcome(400, True), _outcome(100, True), _outcome(999, False), _outcome(50, True)]
    guided = [_outcome(40, True), _outcome(40, True), _outcome(10, True), _outcome(999, False)]
    gain = paired(["a", "b", "c", "d"], baseline, guided)
    assert gain.nodes_ratio is not None
    assert gain.nodes_ratio.geometric_mean == pytest.approx(5.0)  # sqrt(10 * 2.5)
    assert gain.nodes_ratio.cases == gain.both == 2
    assert (gain.gained, gain.lost, gain.p_value) == (1, 1, 1.0)
    assert (gain.solved_baseline.successes, gain.solved_guided.successes, gain.solved_difference) == (3, 3, 0.0)
    assert gain.solved_difference_low < 0 < gain.solved_difference_high
    with pytest.raises(UsageError):
        paired(["a"], baseline, guided)


def test_the_gain_of_a_guide_that_helps() -> None:
    texts = [TEXT, "reverse (sort (map (\\x -> x * x) xs))", "sum (filter (\\x -> 0 < x) xs)"]
    problems = [problem_of(text) for text in texts]
    budget = Budget(nodes=2_000_000, seconds=60)
    gain = compare(problems, led_by(*texts), budget=budget)
    assert gain.nodes_ratio is not None
    assert gain.nodes_ratio.geometric_mean > 5
    again = compare(problems, led_by(*texts), budget=budget, baseline=run_all(problems, budget=budget))
    assert again.nodes_ratio == gain.nodes_ratio


def test_grammar_mode_counts_the_time_of_the_question() -> None:
    import time

    class Slow(UniformGuide):
        def weights(self, problem: Problem) -> NDArray[np.float32]:
            time.sleep(0.05)
            return super().weights(problem)

    assert by_grammar(problem_of("sum xs"), Slow(), budget=PLENTY).seconds > 0.05
