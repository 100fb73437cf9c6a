"""The gate: who becomes champion, what its file and its records say, and that all processes hear the same."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from clew.bundle.policy_value import PolicyValueModel
from clew.games.rules import GameInfo, find_game
from clew.objectives.alphazero import gate
from clew.objectives.alphazero.gate import Champion
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.base import sha256
from clew.training.devices import Placement
from small_nets import observations, small_net

TICTACTOE = find_game("tictactoe")
CPU = Placement(torch.device("cpu"), torch.float32)


def recipe(threshold: float = 0.001, **outputs: object) -> AlphaZeroRecipe:
    """A few games; with the threshold of the default any score but 0 makes a champion."""
    return AlphaZeroRecipe.model_validate(
        {
            "outputs": outputs,
            "games": {"eval_games": 4, "eval_win_threshold": threshold},
            "training": {"checkpoint_every": 10, "evaluate_every": 5},
        }
    )


def test_a_champion_s_file_says_where_it_comes_from_as_every_model_file_does(tmp_path):
    champion = Champion(recipe(start_step=300), TICTACTOE, tmp_path / "a-run")
    champion.challenge(small_net(), 25, observations, CPU)
    model = PolicyValueModel(champion.file)
    told = {name: model.metadata[name] for name in ("env_id", "run", "recipe_sha256", "step", "iteration")}
    assert told == {
        "env_id": "tictactoe",
        "run": "a-run",
        "recipe_sha256": sha256(recipe(start_step=300)),
        "step": "325",
        "iteration": "2",
    }
    assert model.iteration == 2, "an actor goes on in its ramp of simulations"


def test_the_iterations_of_candidate_and_champion_are_counted_from_the_same_step(tmp_path):
    champion = Champion(recipe(start_step=300), TICTACTOE, tmp_path)
    for step in (20, 40):
        champion.challenge(small_net(step), step, observations, CPU)
    first, second = champion.records
    assert (first["current_iteration"], first["opponent"], first["opponent_iteration"]) == (32, "random", None)
    assert (second["current_iteration"], second["opponent"], second["opponent_iteration"]) == (34, "best", 32)


def test_a_candidate_below_the_threshold_leaves_all_as_it_was(tmp_path):
    champion = Champion(recipe(0.999), TICTACTOE, tmp_path)
    figures = champion.challenge(small_net(), 5, observations, CPU)
    assert figures.keys() == {"win_rate_against_random", "draw_rate_against_random"}
    assert champion.file is None
    assert not (tmp_path / "champions").exists()
    assert [record["became_new_best"] for record in champion.records] == [False]


def test_nothing_is_played_where_the_rules_are_not_known(tmp_path):
    champion = Champion(recipe(), GameInfo("gobang", "Gobang", 5, 5, 25, 77, 50), tmp_path)
    assert champion.challenge(small_net(), 5, observations, CPU) == {}
    assert champion.records == []


def test_a_restored_champion_is_the_one_that_was_kept(tmp_path):
    champion = Champion(recipe(), TICTACTOE, tmp_path)
    champion.challenge(small_net(), 5, observations, CPU)
    again = Champion(recipe(), TICTACTOE, tmp_path)
    again.restore(champion.state())
    assert (again.file, again.records) == (champion.file, champion.records)


@dataclass(frozen=True)
class Wired(Placement):
    """One of two processes of a run, here threads."""

    wire: queue.Queue = field(default_factory=queue.Queue)

    def share(self, value):
        if self.leads:
            self.wire.put(value)
            return value
        return self.wire.get(timeout=60)


@pytest.mark.parametrize("beat", [60.0, 0.0], ids=["short games", "games that outlast a beat"])
def test_one_process_plays_and_writes_and_all_hear_the_same(tmp_path, monkeypatch, beat):
    """The nets of two processes may differ by what each has seen; early stopping and the gate must not."""
    monkeypatch.setattr(gate, "BEAT", beat)
    wire: queue.Queue = queue.Queue()
    places = [Wired(torch.device("cpu"), torch.float32, rank, 2, wire) for rank in range(2)]
    champions = [Champion(recipe(), TICTACTOE, tmp_path / str(rank)) for rank in range(2)]
    figures: list[list[dict[str, float]]] = [[], []]

    def take_part(rank: int) -> None:
        for step in (5, 10):
            figures[rank].append(
                champions[rank].challenge(small_net(seed=rank + step), step, observations, places[rank])
            )

    threads = [threading.Thread(target=take_part, args=[rank]) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(figures[0]) == 2
    assert figures[0] == figures[1]
    assert champions[0].state() == champions[1].state()
    assert champions[0].file.is_file()
    assert not Path(tmp_path / "1").exists()
    assert wire.empty()
