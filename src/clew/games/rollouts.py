"""The evaluator of a search without a net: equal priors, and the result of a game played out at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.bitboards.dispatch import cell_bit, legal_bits, play
from clew.games.game import Game
from clew.games.search import Evaluate
from clew.games.states import DRAW, ONGOING, PASS, make_status, winner

_ONE = np.uint64(1)


@njit(cache=True)
def _next(word: np.uint64) -> np.uint64:
    """xorshift64* (Vigna 2016), without its last multiplication."""
    word ^= word >> np.uint64(12)
    word ^= word << np.uint64(25)
    return word ^ (word >> np.uint64(27))


@njit(cache=True)
def _drawn(bits: np.uint64, word: np.uint64) -> int:
    """One of the set bits, all alike."""
    count, rest = 0, bits
    while rest:
        rest &= rest - _ONE
        count += 1
    skip = np.int64(((word * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(33)) % np.uint64(count))
    action = 0
    while True:
        if (bits >> np.uint64(action)) & _ONE:
            if skip == 0:
                return action
            skip -= 1
        action += 1


@njit(cache=True)
def _play_out_all(
    game: int,
    cells: int,
    num_actions: int,
    longest: int,
    seed: np.uint64,
    observations: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
) -> None:
    for index in range(len(observations)):
        seen = observations[index]
        first, second = np.uint64(0), np.uint64(0)
        for cell in range(cells):
            if seen[cell] > 0:
                first |= cell_bit(game, cell)
            if seen[cells + cell] > 0:
                second |= cell_bit(game, cell)
        player = 1 if seen[2 * cells + num_actions + 1] > 0 else 0
        status = make_status(player, ONGOING, 0)
        word = (
            seed
            ^ (first * np.uint64(0x9E3779B97F4A7C15))
            ^ (second * np.uint64(0xC2B2AE3D27D4EB4F))
            ^ np.uint64(player)
        )
        word = _next(_next(word | _ONE))
        for _ in range(longest):
            if winner(status) != ONGOING:
                break
            bits = legal_bits(game, first, second, status)
            word = _next(word)
            action = PASS if bits == np.uint64(0) else _drawn(bits, word)
            first, second, status = play(game, first, second, status, action)
        won_by = winner(status)
        values[index] = 0.0 if won_by in (DRAW, ONGOING) else (1.0 if won_by == player + 1 else -1.0)


def rollouts(game: Game, seed: int) -> Evaluate:
    """Equal logits, and as value the result of one game played out at random, for the player to move: 1, 0 or -1.

    One that goes on for longer than a game can counts as a draw; what the rules remember beside the board is not in an
    observation, and begins at 0. The game is a function of position and `seed`. With PUCT this is the plain MCTS of
    Coulom (2006) with its priors equal.
    """
    seed_word = np.uint64(seed & 0xFFFF_FFFF_FFFF_FFFF)

    def evaluate(
        observations: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        values = np.empty(len(observations), np.float32)
        _play_out_all(game.code, game.cells, game.num_actions, game.max_plies, seed_word, observations, values)
        game.raise_error()
        return np.zeros((len(observations), game.num_actions), np.float32), values

    return evaluate
