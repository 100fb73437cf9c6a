"""`import clew`: what it gives, that it loads nothing before it is asked, that it does what the commands do."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import clew
from clew.cli.main import main
from clew.core.errors import BundleError, UsageError
from small_runs import SMALL, flags, outcome, write_corpus

SETTINGS = {name: value for name, value in SMALL.items() if name != "max_steps"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("evidence") / "corpus")


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return clew.train("next_token", folder, data_dir=corpus, max_steps=12, shows=False, **SETTINGS)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return clew.export(run.folder, tmp_path_factory.mktemp("export") / "small")[0]


def test_importing_it_loads_nothing_heavy_and_every_name_is_listed():
    program = """
import sys, time
begun = time.process_time()
import clew
seconds = time.process_time() - begun
heavy = {"torch", "numba", "onnxruntime", "numpy", "pydantic", "rich"} & set(sys.modules)
print(seconds, sorted(heavy), set(clew.__all__) <= set(dir(clew)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, rest = ended.stdout.split(" ", 1)
    assert rest.strip() == "[] True"
    assert float(seconds) < 0.1


@pytest.mark.parametrize("name", clew.__all__)
def test_every_name_has_a_docstring_and_types(name):
    found = getattr(clew, name)
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        assert signature.return_annotation is not inspect.Parameter.empty
        assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values())


def test_a_name_that_is_none_is_told():
    with pytest.raises(AttributeError, match="module 'clew' has no attribute 'trian'"):
        clew.trian  # noqa: B018


def test_training_from_python_is_training_by_the_command(run, corpus, tmp_path):
    arguments = flags(data_dir=corpus, runs_dir=tmp_path / "runs")
    assert main(["train", "next_token", *arguments]) == 0
    (other,) = clew.runs.list(tmp_path / "runs")
    assert outcome(other.folder) == outcome(run.folder)
    resumed = clew.resume(run.folder, checkpoint=6, shows=False)
    assert outcome(resumed.folder) == outcome(other.folder)


def test_metrics_are_arrays_and_curves_a_figure(run):
    metrics, evaluations = run.metrics(), run.evaluations()
    assert metrics["step"].tolist() == list(range(1, 13))
    assert metrics["loss"].dtype == np.float64
    assert evaluations["step"].tolist() == [6, 12]
    figure = run.curves()
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), metrics["loss"])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), evaluations["validation_bits_per_byte"])


def test_a_recipe_takes_changes_by_name_or_by_section_and_names_the_nearest_of_an_unknown_one():
    made = clew.load_recipe("tactics", max_steps=7, model={"d_model": 64})
    assert (made.training.max_steps, made.model.d_model) == (7, 64)
    with pytest.raises(UsageError, match=r"has no field 'max_stpes'\. Did you mean 'max_steps'"):
        clew.load_recipe("tactics", max_stpes=7)


def test_a_bundle_suggests_what_the_command_prints(bundle, capsys):
    prompt = "@G\n    join(a, b)\n@P\n"
    ours = clew.suggest(clew.load_bundle(bundle), prompt, 4, max_tokens=8, seed=1)
    Path(bundle.parent / "prompt.txt").write_text(prompt)
    arguments = [
        "--prompt",
        str(bundle.parent / "prompt.txt"),
        "--k",
        "4",
        "--max-tokens",
        "8",
        "--seed",
        "1",
        "--json",
    ]
    capsys.readouterr()
    assert main(["suggest", str(bundle), *arguments]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [each.text for each in ours] == [line["text"] for line in told["lines"]]


def test_evaluating_finds_the_evaluator_of_the_bundle_s_family(bundle, corpus, tmp_path):
    report = clew.evaluate(bundle, corpus, limit=2, proposals=2, seconds=0.01, max_tokens=4)
    assert report.as_json()["files"] == 2
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        clew.evaluate(tmp_path)


def test_exporting_is_a_call_although_it_is_a_package_too():
    import clew.export.source

    assert callable(clew.export)
    assert clew.export.source.find_source


def test_a_game_is_played_move_by_move():
    table = clew.play("tictactoe", simulations=20, seed=3)
    assert table.legal_moves == [str(cell) for cell in range(9)]
    table.move("4")
    assert len(table.moves) == 2
    assert table.moves[0] == "4"
    assert "X to move" in repr(table)
    with pytest.raises(UsageError, match="taken"):
        table.move("4")
    before = table.board
    thought = table.think()
    assert thought.action in {int(move) for move in table.legal_moves}
    assert table.undo()
    assert table.moves == []
    assert table.board != before
    assert not table.undo()


def test_who_sits_second_is_moved_for_first():
    table = clew.play("tictactoe", simulations=10, second=True)
    assert len(table.moves) == 1
    assert table.mover == table.person == 1


def test_a_loop_goes_by_its_own_room(tmp_path, monkeypatch):
    from clew.games import loop as loops

    monkeypatch.chdir(tmp_path)
    asked = []

    def run_loop(recipe, plan):
        asked.append((recipe, plan))
        model = Path(recipe.outputs.model_dir) / "latest.onnx"
        model.parent.mkdir(parents=True)
        model.write_bytes(b"a model")

    monkeypatch.setattr(loops, "loop", run_loop)
    assert clew.loop("tictactoe", "here", minutes=2, steps=5, batch_size=8) == Path("here/models/latest.onnx")
    ((recipe, plan),) = asked
    assert (recipe.training.batch_size, recipe.training.checkpoint_every, plan.minutes) == (8, 5, 2)
