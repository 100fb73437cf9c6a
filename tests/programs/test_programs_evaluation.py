"""`clew evaluate programs`: the held-out heads of a bundle, and what it says of another bundle."""

import dataclasses
import json

import numpy as np
import pytest

from clew.bundle.guide import GuideModel
from clew.core.errors import BundleError
from clew.export import export
from clew.programs.evaluation import evaluate, grammar_of, head_figures
from clew.programs.heads import Frequencies
from clew.training import launch
from small_guides import small_states

quiet = [].append


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder, prepared = tmp_path_factory.mktemp("guide"), small_states(count=2048, training={"max_steps": 200})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clew.programs.evidence.prepare", lambda recipe: dataclasses.replace(prepared, recipe=recipe))
        run, _ = launch.train(prepared.recipe, folder=folder / "run", say=quiet, shows=False)
    return export(str(run.folder), folder / "bundle", runs_dir=folder)[0]


def test_the_heads_of_a_bundle_are_those_that_its_run_saw(bundle):
    prepared, model = small_states(count=2048), GuideModel(bundle)
    rows = prepared.held_out
    counted = Frequencies.of(prepared.train.actions, prepared.train.contexts, (len(rows.grammar.contexts), 8))
    found = head_figures(model, rows, np.arange(len(rows)), counted)
    run = bundle.parent / "run"
    evaluations = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min(
        (row["evaluation"] for row in evaluations if "evaluation" in row), key=lambda row: row["validation_loss"]
    )
    for name, figure in found.items():
        assert figure.value == pytest.approx(best[name], abs=2e-3), name
        assert figure.low <= figure.value <= figure.high


def test_a_guide_of_programs_is_told_from_another(bundle, tmp_path):
    from tiny_nets import write_random_net

    assert grammar_of(GuideModel(bundle)).name == "small"
    with pytest.raises(BundleError):
        evaluate(write_random_net(tmp_path / "game.onnx", "tictactoe"))


def test_tasks_come_from_files_folders_and_what_ships(tmp_path):
    from clew.core.errors import UsageError
    from clew.programs.evaluation import tasks_named
    from clew.programs.task import TASKS

    assert len(tasks_named("shipped")) == len(tasks_named(str(TASKS))) >= 60
    with pytest.raises(UsageError, match=r"holds no \.dsl files"):
        tasks_named(str(tmp_path))


def test_a_guide_of_the_small_grammar_is_not_held_against_a_search_of_the_full_one(bundle):
    from clew.core.errors import UsageError
    from clew.programs.evaluation import ProgramsEvaluation, _gains

    model = GuideModel(bundle)
    with pytest.raises(UsageError, match="the two cannot be compared"):
        _gains(model, grammar_of(model), ProgramsEvaluation(tasks="shipped"), 6, stage=lambda name, length: None)
