"""How quickly the Connect Four solver scores every move of a position, by stones on the board, beside bitbully.

python benchmarks/solver.py           # about half a minute
python benchmarks/solver.py --full    # earlier positions too, and the whole default position set
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from bitbully import BitBully, Board
from common import emit, figure, say

from clew.games.perfect import ConnectFourSolver
from clew.games.positions import PositionSet, position_set
from clew.games.rules import States, find_game

GAME = find_game("connect4")


class Undecided:
    """Finds every move a draw: so positions of many stones come from careful and random playouts, at no cost."""

    def scores(self, states: States) -> np.ndarray:
        """0 for every legal move."""
        return np.where(GAME.legal_mask(states), 0, -128).astype(np.int8)

    outcomes = scores


def bitbully_seconds(states: States) -> float:
    """Seconds for all moves of all `states`, without bitbully's book."""
    agent = BitBully(opening_book=None)
    boards = []
    for state in states:
        cells = np.frombuffer(GAME.to_blob(state)[:42], np.uint8).reshape(6, 7)
        boards.append(Board(cells.T.tolist()))
    begun = time.process_time()
    for board in boards:
        agent.score_all_moves(board)
    return time.process_time() - begun


def main() -> None:
    """Measure in processor seconds, so that other work on the machine counts for little, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    full = parser.parse_args().full

    playouts: PositionSet = position_set(GAME, size=1000, solver=Undecided())
    solver = ConnectFourSolver()
    solver.scores(playouts.states[-1:])
    figures = {}
    theirs = ours = 0.0
    for ply, count in ((8, 11), (10, 30), (12, 30), (14, 30), (16, 30), (20, 30), (24, 30), (30, 30)):
        if ply < 12 and not full:
            continue
        say(f"positions of {ply} stones")
        states = playouts.states[playouts.ply == ply][:count]
        solver.clear()
        begun = time.process_time()
        solver.scores(states)
        seconds = time.process_time() - begun
        figures[f"positions_per_second_ply_{ply}"] = figure(len(states) / seconds, "positions/s")
        if ply in (12, 14):
            nodes = solver.nodes
            figures[f"nodes_per_second_ply_{ply}"] = figure(nodes / seconds, "nodes/s")
            ours += seconds
            theirs += bitbully_seconds(states)
    figures["ratio_bitbully"] = figure(theirs / ours, "times as quick")
    if full:
        say("the default position set")
        solver.clear()
        begun = time.process_time()
        made = position_set(GAME, solver=solver)
        figures["position_set_seconds"] = figure(time.process_time() - begun, "s", target=60, better="lower")
        figures["position_set_size"] = figure(len(made), "positions")
        figures["position_set_decisive"] = figure(float(made.decisive.mean()), "share")
    emit("solver", figures)


if __name__ == "__main__":
    main()
