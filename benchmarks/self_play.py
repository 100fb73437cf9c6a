"""How fast is self-play? Positions and games per second of the Connect Four preset, and the share of time in the net.

The peer, in the same run: open_spiel's Python MCTS, one game at a time, asking the same net about one position after
the other, with as many simulations a move.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pyspiel
import torch
from common import emit, figure, say
from open_spiel.python.algorithms import mcts

from clew import recipes
from clew.bundle.policy_value import PolicyValueModel
from clew.export.onnx_policy_value import publish_policy_value
from clew.games.rules import find_game
from clew.games.self_play import SelfPlay
from clew.models.policy_value import PolicyValueNet
from clew.objectives.alphazero.objective import net_config
from clew.recipes.alphazero import AlphaZeroRecipe


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="longer turns")
    parser.add_argument("--width", type=int, default=0, help="channels of the tower; by default the preset's")
    parser.add_argument("--threads", type=int, default=0, help="threads of the net; 0: all cores")
    options = parser.parse_args()
    seconds = 60.0 if options.full else 8.0
    recipe = recipes.load("connect4")
    assert isinstance(recipe, AlphaZeroRecipe)
    game = find_game("connect4")
    config = net_config(recipe, game)
    if options.width:
        config = type(config)(**{**vars(config), "width": options.width})
    net = PolicyValueNet(config)
    net.initialise(torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        publish_policy_value(net, path, game.observe(game.initial(2)), {"env_id": game.env_id})
        model = PolicyValueModel(path, threads=options.threads)
    how = recipe.actor
    say(f"tower of {config.depth} blocks of {config.width}, {how.lanes} games, {how.simulations} simulations a move")
    play = SelfPlay(game, how, actor="bench", began=0, seed=0)
    in_net, asked = 0.0, 0

    def evaluate(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal in_net, asked
        begun = time.perf_counter()
        answer = model.evaluate(observations)
        in_net += time.perf_counter() - begun
        asked += len(observations)
        return answer

    play.step(evaluate, timestamp=0)  # compiles
    in_net, asked, moves, games = 0.0, 0, play.moves, 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        games += len(play.step(evaluate, timestamp=0))
    elapsed = time.perf_counter() - begun
    positions = play.moves - moves
    peer = _peer(model, how.simulations, moves=10 if options.full else 4)
    emit(
        "self_play",
        {
            "positions_per_second": figure(positions / elapsed, "positions/s"),
            "games_per_second": figure(games / elapsed, "games/s"),
            "net_share": figure(in_net / elapsed, "share"),
            "net_positions_per_second": figure(asked / in_net, "positions/s"),
            "asked_per_position": figure(asked / positions, "positions"),
            "ratio_open_spiel": figure(positions / elapsed / peer, "times"),
        },
    )
    say(f"onnxruntime {onnxruntime.__version__}; open_spiel's search chose {peer:.2f} moves a second")


def _peer(model: PolicyValueModel, simulations: int, *, moves: int) -> float:
    """Moves a second of open_spiel's MCTS with the same net."""
    ours = find_game("connect4")

    class Evaluator(mcts.Evaluator):
        def _ask(self, state: pyspiel.State) -> tuple[np.ndarray, float]:
            board = ours.initial()
            for action in state.history():
                board = ours.play(board, [action])
            logits, values = model.evaluate(ours.observe(board))
            return logits[0], float(values[0])

        def evaluate(self, state: pyspiel.State) -> np.ndarray:
            value = self._ask(state)[1] * (1 if state.current_player() == 0 else -1)
            return np.array([value, -value])

        def prior(self, state: pyspiel.State) -> list[tuple[int, float]]:
            legal = state.legal_actions()
            logits = self._ask(state)[0][legal]
            weights = np.exp(logits - logits.max())
            return list(zip(legal, weights / weights.sum(), strict=True))

    game = pyspiel.load_game("connect_four")
    bot = mcts.MCTSBot(
        game,
        1.25,
        simulations,
        Evaluator(),
        random_state=np.random.RandomState(0),
        child_selection_fn=mcts.SearchNode.puct_value,
    )
    times = []
    state = game.new_initial_state()
    for _ in range(moves):
        begun = time.perf_counter()
        state.apply_action(bot.step(state))
        times.append(time.perf_counter() - begun)
    return 1.0 / statistics.median(times)


if __name__ == "__main__":
    main()
