"""The loop of a game: its files, what it goes on with, what it refuses. Its processes are tested in tests/faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from clew.cli.main import main
from clew.core.errors import UsageError
from clew.core.evidence import Evidence
from clew.games import loop as loops
from clew.games.loop import Plan, check_unchanged, recipe_for, settled
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.base import sha256, to_yaml
from clew.runs.folder import create_run

FLAGS = ["--steps", "20", "--iterations", "50", "--lr", "0.5"]


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A folder with a run that was begun with the preset's own settings."""
    monkeypatch.chdir(tmp_path)
    recipe = settled(recipe_for("tictactoe"), Path("data"))
    return create_run(Path("data/runs"), recipe, Evidence("replay", recipe.data.db, "e" * 64))


@pytest.fixture
def started(monkeypatch):
    """What the loop would start, without starting it."""
    found = []

    def note(self, child):
        found.append((child.name, child.arguments, dict(self._environment)))
        raise KeyboardInterrupt

    monkeypatch.setattr(loops.Supervisor, "start", note)
    return found


def test_flags_that_differ_from_the_run_it_would_go_on_with_are_refused_with_both_values(begun, capsys):
    assert main(["loop", "tictactoe", *FLAGS]) == 2
    said = capsys.readouterr().err
    for text in ("--lr is 0.5, and the run has 0.003", "is 1000, and the run has 6000", "--start-anew", "Leave that"):
        assert text in said
    assert sorted(path.name for path in Path("data").iterdir()) == ["runs"]


@pytest.mark.parametrize("flags", [[], ["--lr", "0.003"], ["--batch-size=256", "--actor.simulations", "50"]])
def test_what_the_run_has_anyway_may_be_said_again(begun, started, flags):
    assert main(["loop", "tictactoe", *flags]) == 130
    assert started[0][1][:2] == ["resume", str(begun.folder)]


def test_a_flag_with_the_preset_s_value_is_refused_where_the_run_has_another(begun):
    changed = recipe_for("tictactoe").model_copy(update={"seed": 7})
    with pytest.raises(UsageError, match="--seed is 7, and the run has 42"):
        check_unchanged(settled(changed, Path("data")), begun, {"seed": "--seed"})


def test_actors_and_learner_are_given_the_recipe_s_file_and_no_password(tmp_path, monkeypatch, started, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loops, "_make_database", lambda recipe: None)
    url = "postgresql://me:s3cret@host/db"
    with pytest.raises(KeyboardInterrupt):
        loops.loop(settled(AlphaZeroRecipe(data={"db": url}), Path("data")), Plan(Path("data")))
    ((name, arguments, environment),) = started
    assert (name, environment) == ("learner", {"PGPASSWORD": "s3cret"})
    assert arguments[:2] == ["train", "data/recipe.yaml"]
    assert loops._actor_command(Plan(Path("data")), 0)[:3] == ["actor", "--recipe", "data/recipe.yaml"]
    everything = " ".join(arguments) + Path("data/recipe.yaml").read_text() + capsys.readouterr().err
    assert "s3cret" not in everything
    assert yaml.safe_load(Path("data/recipe.yaml").read_text())["data"]["db"] == "postgresql://me@host/db"


def test_a_recipe_with_a_password_is_written_and_hashed_without_it():
    one, other = (AlphaZeroRecipe(data={"db": f"postgresql://me{word}@host/db"}) for word in (":s3cret", ""))
    assert "s3cret" not in to_yaml(one)
    assert sha256(one) == sha256(other)


def test_a_recipe_of_one_s_own_needs_no_name_and_counts_as_given(begun, started, capsys):
    text = "objective: alphazero\ndata: {env_id: tictactoe}\n"
    Path("my.yaml").write_text(text)
    assert main(["loop", "my.yaml", "--start-anew"]) == 130
    assert started[0][1][0] == "train"
    # Edited, it would not be what the run goes on with.
    Path("my.yaml").write_text(text + "seed: 43\n")
    assert main(["loop", "my.yaml"]) == 2
    assert "seed in my.yaml is 43, and the run has 42" in capsys.readouterr().err


def test_the_outcome_has_the_loop_s_own_evaluation(tmp_path, monkeypatch, capsys):
    from clew.games.evaluation import GamesReport

    monkeypatch.chdir(tmp_path)
    Path("data/models").mkdir(parents=True)
    Path("data/models/latest.onnx").write_bytes(b"a model")
    monkeypatch.setattr(loops, "loop", lambda recipe, plan: 12.0)
    report = GamesReport({"win_rate": 0.75}, "the page", [])
    monkeypatch.setattr("clew.games.evaluation.evaluate", lambda *arguments, **settings: report)
    assert main(["loop", "tictactoe", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (outcome["seconds"], outcome["evaluation"]) == (12.0, {"win_rate": 0.75})


def test_files_lie_in_the_loop_s_folder_unless_the_recipe_names_others():
    recipe = settled(AlphaZeroRecipe(outputs={"stats": "page.json"}), Path("here"), iterations=3, steps=5)
    assert (recipe.data.db, recipe.outputs.model_dir, recipe.outputs.stats) == (
        "here/replay.db",
        "here/models",
        "page.json",
    )
    assert (recipe.training.max_steps, recipe.training.checkpoint_every, recipe.training.evaluate_every) == (15, 5, 5)


def test_a_recipe_of_the_user_s_in_the_folder_stays(tmp_path, monkeypatch, started, capsys):
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text("objective: alphazero\nname: mine\n")
    assert main(["loop", "tictactoe", "--folder", "."]) == 2
    assert "recipe.yaml is there and is not the recipe of a loop" in capsys.readouterr().err
    assert Path("recipe.yaml").read_text() == "objective: alphazero\nname: mine\n"
    assert not started


@pytest.mark.parametrize("before", [True, False], ids=["a loop of before", "killed before it noted its state"])
def test_a_loop_s_own_recipe_is_written_anew(tmp_path, monkeypatch, started, before):
    monkeypatch.chdir(tmp_path)
    assert main(["loop", "tictactoe"]) == 130
    written = Path("data/recipe.yaml").read_text()
    if before:
        Path("data/recipe.yaml").write_text("objective: alphazero\n")
        Path("data/loop.json").write_text('{"env_id": "tictactoe", "seconds": 1.0}')
    assert main(["loop", "tictactoe"]) == 130
    assert Path("data/recipe.yaml").read_text() == written
