"""Scores come of judges that read the answer, never of length or chance; none where nothing is known to be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clew.traces.generators.table import find_generator
from clew.traces.schema import InvalidError, NotFoundError, Step, Trace
from clew.traces.scoring import Criteria, ScoreRequest, score
from clew.traces.store import TraceStore
from small_traces import trace


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return TraceStore.open(tmp_path / "traces.db")


def worth(store: TraceStore, of: Trace, **criteria: Any) -> float:
    return score(store, store.add([of])[0].id, Criteria(**criteria)).score


def test_an_answer_is_held_against_the_expected_one(store: TraceStore) -> None:
    with store:
        assert worth(store, trace(0), expected="29") == 1.0
        assert worth(store, trace(0), expected="30") == 0.0
        assert worth(store, trace(0, final_answer="29 " * 9000), expected="30") == 0.0
        assert worth(store, trace(0), judge="exact", expected="29") == 1.0
        assert worth(store, trace(0), judge="numeric:1", expected="30") == 1.0


def test_a_generator_s_trace_is_judged_by_its_checker_with_its_steps(store: TraceStore) -> None:
    (right,) = find_generator("arithmetic").traces(1, 0)
    wrong_step = right.model_copy(update={"steps": (Step(i=0, type="x", content="because"),)})
    wrong = right.model_copy(update={"final_answer": right.final_answer + "1"})
    with store:
        assert worth(store, right) == 1.0
        assert worth(store, wrong) == 0.0
        assert worth(store, wrong_step) == 0.0
        assert worth(store, wrong_step, judge="checker") == 1.0
        kept = store.add([wrong_step])[0].id
        made = score(store, kept, Criteria())
        assert made.details["generator"] == "arithmetic"
        assert made.details["faults"]
        assert store.scores(kept) == [made]


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ({}, "needs the expected answer, since no generator here made the trace"),
        ({"judge": "answer"}, "needs the expected answer"),
        ({"judge": "steps"}, "needs the expected answer"),
        ({"judge": "baseline"}, "There is no judge 'baseline'"),
        ({"judge": "checker", "expected": "29"}, "none of the generators"),
        ({"judge": "numeric", "expected": "many"}, "no single number"),
        ({"judge": "numeric:x", "expected": "1"}, "is no number from 0 on"),
        ({"judge": "os:getcwd", "expected": "1"}, "in the terminal, not over HTTP"),
        ({"judge": "exact:getcwd", "expected": "1"}, "in the terminal, not over HTTP"),
        ({"expected": " "}, "cannot be judged"),
    ],
)
def test_criteria_that_cannot_be_applied_are_refused(store: TraceStore, criteria: dict[str, Any], said: str) -> None:
    with store:
        (one,) = store.add([trace(0)])
        with pytest.raises(InvalidError, match=said):
            score(store, one.id, Criteria(**criteria))
        assert store.scores(one.id) == []


def test_a_judge_of_one_s_own_is_imported_for_whoever_runs_the_command(store: TraceStore) -> None:
    with store:
        (one,) = store.add([trace(0)])
        judge = Criteria(judge="clew.traces.judges:exact", expected="Reasoning:\n1. 0 + 9\n2. then 20: 29\nAnswer: 29")
        assert score(store, one.id, judge, own_judges=True).score == 1.0


def test_an_unknown_trace_is_not_found_and_a_judge_may_be_named_alone(store: TraceStore) -> None:
    with store, pytest.raises(NotFoundError):
        score(store, "nobody", Criteria(expected="1"))
    assert ScoreRequest(criteria="exact").chosen == Criteria(judge="exact")
    assert ScoreRequest.model_validate({"criteria": {"expected": "4"}}).chosen == Criteria(expected="4")
