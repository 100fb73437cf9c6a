"""Demonstrations as evidence: rows, the split by what tasks compute, sizes that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from clew.core.errors import EvidenceError, UsageError
from clew.programs import features
from clew.programs.behaviour import computes
from clew.programs.demonstrating import demonstrate
from clew.programs.demonstrations import Demonstrations, Seen, fingerprint, write
from clew.programs.evidence import prepare, rows_of
from clew.programs.grammar import FULL, SMALL
from clew.programs.held_out import held_out
from clew.programs.states import start
from clew.recipes.imitation import DemonstrationData, GuideModel, ImitationRecipe


def recipe(**sections):
    return ImitationRecipe(seed=5, **sections)


def small(**data):
    return recipe(data=DemonstrationData(grammar="small", demonstrations=24, held_out_fraction=0.25, **data))


def test_demonstrations_are_made_from_the_seed_where_no_file_is_named():
    prepared, again = prepare(small()), prepare(small())
    assert prepared.evidence.sha256 == again.evidence.sha256
    assert (len(prepared.training), len(prepared.evaluation)) == (18, 6)
    assert not computes(each.task for each in prepared.training) & computes(each.task for each in prepared.evaluation)
    assert prepared.train.width == features.input_dim(SMALL) == 32
    assert "24 demonstrations in the grammar 'small'" in prepared.describe()[0]


def test_a_file_is_read_and_its_fingerprint_is_of_what_it_says(tmp_path):
    path = tmp_path / "demonstrations.jsonl"
    made = demonstrate(24, 5, SMALL)
    write(path, made)
    prepared = prepare(small(path=str(path)))
    assert prepared.grammar is SMALL
    assert prepared.evidence.path == str(path)
    assert prepared.evidence.sha256 == fingerprint(made)


@pytest.mark.parametrize("grammar", [SMALL, FULL])
def test_a_row_is_what_the_search_asks_with(grammar):
    made = demonstrate(6, 2, grammar)
    rows = rows_of(grammar, made.items)
    assert len(rows) == made.states
    every = np.arange(len(rows))
    shown, legal, row = rows.features(every), rows.legal(every), 0
    for number, each in enumerate(made.items):
        problem = each.problem
        told = features.of_task(problem, grammar)
        for seen in each.states:
            state = start(problem, grammar).follow(seen.path)
            assert np.allclose(shown[row], features.of_state(told, state), atol=2e-3)
            assert np.flatnonzero(legal[row]).tolist() == list(state.legal())
            assert (rows.tasks[row], rows.actions[row]) == (number, seen.action)
            assert (rows.values[row], rows.guards[row]) == (seen.value, seen.guard)
            assert rows.contexts[row] == state.hole.context
            if seen.steps is None:
                assert np.isnan(rows.latencies[row])
            else:
                assert features.steps_of(rows.latencies[row]) == pytest.approx(
                    seen.steps / len(problem.results), rel=1e-3
                )
            row += 1


def test_sizes_that_do_not_fit_the_data_are_a_sentence():
    wrong = recipe(data=DemonstrationData(grammar="small", demonstrations=24), model=GuideModel(input_dim=33))
    with pytest.raises(UsageError, match=r"model\.input_dim is 33, .* 'small' have 32 numbers in a state"):
        prepare(wrong)
    wrong = recipe(data=DemonstrationData(grammar="full", demonstrations=24), model=GuideModel(action_dim=8))
    with pytest.raises(UsageError, match=r"model\.action_dim is 8, .* 'full' have 54 actions"):
        prepare(wrong)


def test_a_file_of_tasks_alone_or_of_one_task_cannot_be_trained_on(tmp_path):
    path = tmp_path / "tasks.jsonl"
    write(path, held_out(4, 1, SMALL))
    with pytest.raises(EvidenceError, match="0 tasks with states, where two at least"):
        prepare(small(path=str(path)))
    write(path, demonstrate(1, 1, SMALL))
    with pytest.raises(EvidenceError, match="1 tasks with states, where two at least"):
        prepare(small(path=str(path)))
    with pytest.raises(Exception, match="no such file"):
        prepare(small(path=str(tmp_path / "none.jsonl")))


def test_a_path_that_is_none_of_the_grammar_is_named():
    one = demonstrate(1, 1, SMALL).items[0]
    for path, said in (((5, 5), "may not fill the leftmost hole"), (one.actions, "no place in it is open")):
        broken = Demonstrations(SMALL, (type(one)(one.task, one.actions, (Seen(path, -1, 0, 0, 3),)),))
        with pytest.raises(EvidenceError, match=said):
            rows_of(SMALL, broken.items)
