"""How many simulations a second the search runs with a uniform evaluator on one thread, beside open_spiel's MCTS.

Measured: PUCT, c = 1.25, without proofs, 800 simulations a move, whole games from the first position with moves drawn
from the visits, no tree kept between moves; several games one after the other in one compiled call. A simulation is one
descent that ends in an expansion or at a terminal position; only those that were run are counted. The clock is the
process's CPU time (one thread), for both, so that other work on the machine does not count. With proofs, a search ends
when its root is proven, and descents end at proven positions: its rate is a figure of its own.

open_spiel: `open_spiel.python.algorithms.mcts.MCTSBot`, PUCT with the same c, an evaluator of equal priors and value 0,
solve=False, the same number of simulations a move.

    python benchmarks/search.py [--full]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from typing import Any

import numpy as np
from common import emit, figure, say

from clew.games.rules import GAMES, Game, find_game
from clew.games.search import Search, SearchSettings, uniform

SIMULATIONS = 800
TARGETS = {"tictactoe": 5e6, "connect4": 3e6}
SPIEL = {"tictactoe": "tic_tac_toe", "connect4": "connect_four", "othello": "othello"}


def our_rate(game: Game, *, games: int, method: str = "puct", proofs: bool = False, seed: int = 0) -> tuple[float, int]:
    """Simulations per second of CPU over `games` games of self-play, and how many were run."""
    search = Search(game, games, SearchSettings(simulations=SIMULATIONS, method=method, proofs=proofs))
    evaluate = uniform(game)
    draws = np.random.default_rng(seed)
    states = game.initial(games)
    ran, seconds = 0, 0.0
    while True:
        live = np.flatnonzero(game.winner(states) == 0)
        if not len(live):
            return ran / seconds, ran
        search.reset()
        begun = time.process_time()
        result = search.run(states, evaluate, seeds=np.zeros(games, np.uint64))
        seconds += time.process_time() - begun
        assert proofs or int(result.visits.sum()) == SIMULATIONS * len(live) == int(result.simulations.sum())
        ran += int(result.simulations.sum())
        for lane in live:
            weights = result.policy[lane].astype(np.float64)
            action = draws.choice(game.num_actions, p=weights / weights.sum())
            states[lane : lane + 1] = game.play(states[lane : lane + 1], [action])


def first_move_rates(game: Game, *, games: int, repeats: int) -> list[float]:
    """Simulations per second of CPU of the first position's search alone, the largest tree of a game."""
    search = Search(game, games, SearchSettings(simulations=SIMULATIONS, method="puct", proofs=False))
    rates = []
    for _ in range(repeats):
        search.reset()
        begun = time.process_time()
        result = search.run(game.initial(games), uniform(game), seeds=np.zeros(games, np.uint64))
        rates.append(float(result.simulations.sum()) / (time.process_time() - begun))
    return rates


def their_rate(env_id: str, *, moves: int, seed: int = 0) -> float:
    """open_spiel's simulations per second of CPU over `moves` moves of self-play, of as many games as it takes."""
    import pyspiel
    from open_spiel.python.algorithms import mcts

    class Uniform(mcts.Evaluator):
        def evaluate(self, state: Any) -> Any:
            return np.zeros(2)

        def prior(self, state: Any) -> Any:
            legal = state.legal_actions()
            return [(action, 1.0 / len(legal)) for action in legal]

    spiel = pyspiel.load_game(SPIEL[env_id])
    draws = np.random.RandomState(seed)
    bot = mcts.MCTSBot(
        spiel,
        1.25,
        SIMULATIONS,
        Uniform(),
        solve=False,
        random_state=draws,
        child_selection_fn=mcts.SearchNode.puct_value,
    )
    state = spiel.new_initial_state()
    ran, seconds = 0, 0.0
    for _ in range(moves):
        if state.is_terminal():
            state = spiel.new_initial_state()
        begun = time.process_time()
        root = bot.mcts_search(state)
        seconds += time.process_time() - begun
        ran += root.explore_count
        visits = np.array([child.explore_count for child in root.children], np.float64)
        state.apply_action(root.children[draws.choice(len(visits), p=visits / visits.sum())].action)
    return ran / seconds


def best(rates: list[float]) -> float:
    """The fastest of several runs: what disturbs a run only ever slows it."""
    return max(rates)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="more games and repeats; othello, Gumbel and proofs too")
    full = parser.parse_args().full
    games, repeats = (256, 7) if full else (128, 5)
    figures = {}
    for env_id in GAMES if full else TARGETS:
        game = find_game(env_id)
        our_rate(game, games=2)
        say(f"{env_id}: ours")
        ours = best([our_rate(game, games=games, seed=seed)[0] for seed in range(repeats)])
        say(f"{env_id}: open_spiel's")
        theirs = best([their_rate(env_id, moves=(40 if full else 16), seed=seed) for seed in range(repeats)])
        figures[f"simulations_per_second_{env_id}"] = figure(ours, "1/s", target=TARGETS.get(env_id))
        figures[f"simulations_per_second_{env_id}_open_spiel"] = figure(theirs, "1/s")
        figures[f"ratio_open_spiel_{env_id}"] = figure(ours / theirs, "times")
        first = best(first_move_rates(game, games=games, repeats=repeats + 1))
        figures[f"simulations_per_second_{env_id}_first_move"] = figure(first, "1/s")
        if full:
            for name, method, proofs in (("proofs", "puct", True), ("gumbel", "gumbel", False)):
                rate = best([our_rate(game, games=games, method=method, proofs=proofs)[0] for _ in range(repeats)])
                figures[f"simulations_per_second_{env_id}_{name}"] = figure(rate, "1/s")
    emit("search", figures)


if __name__ == "__main__":
    main()
