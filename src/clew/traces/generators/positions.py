"""Positions of tictactoe and Connect Four explained by the exact solver: threats, forced moves, what a move leads to.

    Tic-tac-toe, X to move. Which cell?
    X1O
    3X5
    67O
    1. X cannot win at once
    2. O threatens 5
    3. X must play 5
    4. 5 draws
    5. Best: 5
    Answer: 5

Every position is one where something can be done wrong: not every move keeps its value. Right answers are all moves
that keep the value of the position (win, draw) under perfect play, not the quickest win alone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from clew.core.randomness import generator
from clew.games.bitboards.connect4 import has_four
from clew.games.game import Game
from clew.games.perfect import ILLEGAL, decisive, reachable_layers
from clew.games.perfect.scores import Careful, Scores
from clew.games.rules import GAMES
from clew.games.states import ONGOING, States
from clew.traces.generators.base import HARDER, Puzzles, Solution
from clew.traces.schema import InvalidError

Rows = tuple[str, ...]
"""A board as the prompt shows it, the top row first."""

_BLOCK = 256
"""Games of connect4 that are played out at once."""
_VERBS = {1: "wins", 0: "draws", -1: "loses"}
_STEP = re.compile(
    r"(?P<move>\d) (?P<verb>wins|draws|loses)(?: to (?P<reply>\d))?"
    r"|Best: (?P<best>\d(?:, \d)*)",
    re.ASCII,
)


class Positions(Puzzles):
    """Positions of one game, by the number of empty cells."""

    def __init__(
        self,
        env_id: str,
        about: str,
        *,
        question: str,
        weights: Mapping[str, float],
        empties: Mapping[str, tuple[int, int]],
    ) -> None:
        """`question`: how a prompt begins. `empties`: level -> fewest and most empty cells, `harder` among them."""
        self.name, self.about, self.weights = env_id, about, weights
        self._game: Game = GAMES[env_id]
        self._asked, self._empties = question, empties
        self._lock = threading.Lock()
        self._outcomes = lru_cache(4096)(self._solved)

    # Prompts

    def every(self, level: str) -> Sequence[str] | None:
        """See `Puzzles.every`: all decisive positions, of a game that lists them."""
        return self._listed().get(level, []) if self._game.lists_positions else None

    @cache  # noqa: B019  (two generators for the life of the process)
    def _listed(self) -> dict[str, list[str]]:
        states = np.concatenate(reachable_layers(self._game))
        states = states[self._game.winner(states) == ONGOING]
        found: dict[str, list[str]] = {}
        for prompt, level in self._prompts(states):
            if level is not None:
                found.setdefault(level, []).append(prompt)
        return found

    def draw(self, seed: int, number: int, level: str) -> str | None:
        """See `Puzzles.draw`."""
        return self._block(seed, number // _BLOCK, level)[number % _BLOCK]

    @lru_cache(maxsize=4)  # noqa: B019
    def _block(self, seed: int, block: int, level: str) -> list[str | None]:
        """Games that are played out to a number of empty cells of the level; None where one ends before."""
        random = generator(seed, self.name, level, block)
        fewest, most = self._empties[level]
        game, cells = self._game, self._game.cells
        wanted = cells - random.integers(fewest, most + 1, size=_BLOCK)
        states = np.repeat(game.initial(), _BLOCK, axis=0)
        for ply in range(cells - fewest):
            plays = (wanted > ply) & (game.winner(states) == ONGOING)
            if not plays.any():
                break
            moving = states[plays]
            legal = game.legal_mask(moving)
            # Half the moves look a move ahead: random games alone are over too soon.
            careful = cast(Careful, game.solver()).careful_moves(moving) & legal
            allowed = np.where((random.random(len(moving)) < 0.5)[:, None], careful, legal)
            states[plays] = game.play(moving, np.where(allowed, random.random(legal.shape), -1.0).argmax(axis=1))
        found: list[str | None] = [None] * _BLOCK
        going = np.flatnonzero(game.winner(states) == ONGOING)
        for place, (prompt, at) in zip(going.tolist(), self._prompts(states[going]), strict=True):
            found[place] = prompt if at == level else None
        return found

    def _prompts(self, states: States) -> Iterator[tuple[str, str | None]]:
        """The prompt of each ongoing position and its level; None where all moves are as good, or the level is none."""
        with self._lock:
            told = decisive(self._game.solver().outcomes(states)) if len(states) else np.zeros(0, np.bool_)
        blobs = self._game.codec.to_blobs(states)[:, : self._game.cells]
        for state, cells, is_decisive in zip(states, blobs, told, strict=True):
            empties = int(np.count_nonzero(cells == 0))
            levels = [level for level, (low, high) in self._empties.items() if low <= empties <= high]
            mover = "XO"[int(state[2]) & 1]
            yield self._prompt(self._rows(cells), mover), levels[0] if levels and is_decisive else None

    def _rows(self, cells: NDArray[np.uint8]) -> Rows:
        """Free cells are shown by their numbers where actions are cells, else the columns are numbered below."""
        width, by_cell = self._game.board_width, self._game.num_actions == self._game.cells
        signs = [(str(place) if by_cell else ".") if not cell else "XO"[cell - 1] for place, cell in enumerate(cells)]
        rows = ["".join(signs[start : start + width]) for start in range(0, len(signs), width)]
        return tuple(rows) if by_cell else (*reversed(rows), "0123456"[:width])

    def _prompt(self, rows: Rows, mover: str) -> str:
        return "\n".join((f"{self._asked.format(mover)}", *rows))

    def _read(self, prompt: str) -> States:
        """The position of a prompt, uint64[3]. Raises `InvalidError` for what is none, or is over, or too early."""
        _, *rows = prompt.split("\n")
        game = self._game
        by_cell = game.num_actions == game.cells
        board = list(reversed(rows[:-1])) if not by_cell else rows
        if len(board) != game.board_height or any(len(row) != game.board_width for row in board):
            raise self._no_prompt(prompt)
        cells = np.array(["XO".find(sign) + 1 for row in board for sign in row], np.uint8)
        stones = int(np.count_nonzero(cells))
        mover = stones % 2
        blob = np.array([*cells, mover + 1, ONGOING], np.uint8)
        state = np.asarray(game.codec.to_states(blob[None])[0], np.uint64)
        is_position = (
            self._prompt(self._rows(cells), "XO"[mover]) == prompt
            and np.count_nonzero(cells == 1) - np.count_nonzero(cells == 2) == mover
            and stones >= game.solved_from
            and bool(game.legal_mask(state[None]).any())
        )
        if not is_position or not self._is_ongoing(state, cells):
            raise self._no_prompt(prompt)
        return state

    def _is_ongoing(self, state: States, cells: NDArray[np.uint8]) -> bool:
        """Whether nobody has won yet, and stones lie where they can."""
        if self._game.lists_positions:  # a position that cannot be reached has no scores
            return bool((self._game.solver().scores(state[None]) != ILLEGAL).any())
        board = cells.reshape(self._game.board_height, self._game.board_width) > 0
        return bool((board[1:] <= board[:-1]).all()) and not has_four(state[0]) and not has_four(state[1])

    def _no_prompt(self, prompt: str) -> InvalidError:
        early = f" of {self._game.solved_from} stones or more" if self._game.solved_from else ""
        return InvalidError(
            f"'{prompt[:120]}' is no question of {self.name}: it begins '{self._asked.format('X')}', and shows a "
            f"position{early} that can come up and is not over."
        )

    def key(self, prompt: str) -> str:
        """See `Puzzles.key`: the same for a board and what it looks like turned or in a mirror."""
        _, *rows = prompt.split("\n")
        if self._game.num_actions == self._game.cells:
            plain = tuple(re.sub("[0-9]", ".", row) for row in rows)
            faces = [plain, tuple(row[::-1] for row in plain)]
            for _ in range(3):
                faces += [_turned(face) for face in faces[-2:]]
        else:
            faces = [tuple(rows[:-1]), tuple(row[::-1] for row in rows[:-1])]
        return f"{self.name} {'/'.join(min(faces))}"

    # What is true of a position

    def _solved(self, state: bytes) -> Scores:
        with self._lock:
            found: Scores = self._game.solver().outcomes(np.frombuffer(state, np.uint64)[None])
        row: Scores = found[0]
        return row

    def _wins_at_once(self, state: States, mover: int) -> list[int]:
        """Moves that would win at once if `mover` were to move."""
        turned = state.copy()
        turned[2] = (int(state[2]) & ~1) | mover
        moves = np.flatnonzero(self._game.legal_mask(turned[None])[0])
        after = self._game.play(np.repeat(turned[None], len(moves), axis=0), moves)
        return [int(move) for move in moves[self._game.winner(after) == mover + 1]]

    def _winning_replies(self, state: States, move: int) -> list[int]:
        """Replies that win against `move`; none where it does not lose, or ends the game."""
        after = self._game.play(state[None], [move])[0]
        if int(self._game.winner(after[None])[0]) != ONGOING:
            return []
        return [int(reply) for reply in np.flatnonzero(self._outcomes(after.tobytes()) == 1)]

    def _candidates(self, state: States) -> tuple[list[int], list[int], list[int]]:
        """Moves to look at, and what wins at once for the mover and for the other side."""
        mover = int(state[2]) & 1
        own, other = self._wins_at_once(state, mover), self._wins_at_once(state, 1 - mover)
        legal = [int(move) for move in np.flatnonzero(self._outcomes(state.tobytes()) != ILLEGAL)]
        return own or (other if len(other) == 1 else legal), own, other

    def _threats(self, me: str, you: str, own: Sequence[int], other: Sequence[int]) -> list[tuple[str, str]]:
        """What is said first: who can win at once, and what that forces."""
        if own:
            return [("threat", f"{me} can win at {_list(own)}")]
        said = [
            ("threat", f"{me} cannot win at once"),
            ("threat", f"{you} threatens {_list(other) if other else 'nothing'}"),
        ]
        return said + ([("forced", f"{me} must play {other[0]}")] if len(other) == 1 else [])

    def solve(self, prompt: str) -> Solution:
        """See `Puzzles.solve`."""
        state = self._read(prompt)
        candidates, own, other = self._candidates(state)
        me, you = ("XO", "OX")[int(state[2]) & 1]
        outcomes = self._outcomes(state.tobytes())
        steps = self._threats(me, you, own, other)
        if not own:
            for move in candidates:
                verb = _VERBS[int(outcomes[move])]
                to = f" to {self._winning_replies(state, move)[0]}" if verb == "loses" else ""
                steps.append(("move", f"{move} {verb}{to}"))
        value = max(int(outcomes[move]) for move in candidates)
        best = [move for move in candidates if int(outcomes[move]) == value]
        steps.append(("best", f"Best: {_list(best)}"))
        return Solution(str(best[0]), tuple(steps), ("draw", "win", "loss")[value])

    def check_answer(self, prompt: str, answer: str) -> bool:
        """See `Generator.check_answer`: any move that keeps the value of the position."""
        outcomes = self._outcomes(self._read(prompt).tobytes())
        said = answer.strip()
        return any(said == str(move) for move in np.flatnonzero(outcomes == outcomes.max()))

    def check_steps(self, prompt: str, steps: Sequence[str], answer: str) -> list[str]:
        """See `Generator.check_steps`: each claim by rules or solver, all that is due said once, the answer among the
        best moves named."""
        state = self._read(prompt)
        candidates, own, other = self._candidates(state)
        me, you = ("XO", "OX")[int(state[2]) & 1]
        due = [text for _, text in self._threats(me, you, own, other)]
        faults = [
            f"Step {number} is '{step[:80]}' where '{right}' is due."
            for number, (step, right) in enumerate(zip(steps, due, strict=False), start=1)
            if step != right
        ]
        moves: list[int] = []
        best: list[int] | None = None
        for number, step in enumerate(steps[len(due) :], start=len(due) + 1):
            read = _STEP.fullmatch(step)
            if best is not None:
                faults.append(f"Step {number} comes after the best moves were named.")
            elif read is None:
                faults.append(f"Step {number} is '{step[:80]}', which is no step of this kind here.")
            elif read["best"]:
                best = [int(move) for move in read["best"].split(", ")]
            else:
                faults += [f"Step {number}: {fault}." for fault in self._faults_of(read, state, candidates, moves)]
                moves.append(int(read["move"]))
        if not own and best is not None and (left := sorted(set(candidates) - set(moves))):
            faults.append(f"Nothing is said of {_list(left)}.")
        if best is None:
            faults.append("The steps end without naming the best moves.")
        else:
            outcomes = self._outcomes(state.tobytes())
            right_ones = [move for move in candidates if outcomes[move] == outcomes.max()]
            if sorted(best) != right_ones:
                faults.append(f"The best moves are {_list(right_ones)}, and the steps name others.")
            if answer.strip() not in map(str, best):
                faults.append(f"The answer '{answer[:80]}' is none of the moves that the steps call best.")
        return faults

    def _faults_of(self, read: re.Match[str], state: States, candidates: list[int], said: list[int]) -> Iterator[str]:
        """What is wrong with what a step says of a move."""
        move, verb, reply = int(read["move"]), read["verb"], read["reply"]
        if move not in candidates or move in said:
            yield f"{move} was looked at before" if move in said else f"{move} is no move to look at here"
            return
        right = _VERBS[int(self._outcomes(state.tobytes())[move])]
        if verb != right:
            yield f"{move} {right}, and is said to be one that {verb}"
        elif (verb == "loses") != (reply is not None):
            yield f"the reply that wins against {move} is due" if verb == "loses" else "there is no reply to name"
        elif reply is not None and int(reply) not in self._winning_replies(state, move):
            yield f"the reply {reply} does not win against {move}"


def _list(moves: Sequence[int]) -> str:
    return ", ".join(map(str, moves))


def _turned(face: Rows) -> Rows:
    """A quarter of a turn."""
    return tuple("".join(column) for column in zip(*reversed(face), strict=True))


TICTACTOE = Positions(
    "tictactoe",
    "positions of tic-tac-toe explained by the solver; harder has six empty cells and more",
    question="Tic-tac-toe, {} to move. Which cell?",
    weights={"3-empty": 0.3, "4-empty": 0.4, "5-empty": 0.3},
    empties={"3-empty": (2, 3), "4-empty": (4, 4), "5-empty": (5, 5), HARDER: (6, 9)},
)
CONNECT4 = Positions(
    "connect4",
    "late positions of Connect Four explained by the solver; harder has 17 empty cells and more",
    question="Connect 4, {} to move. Which column?",
    weights={"late": 0.5, "middle": 0.5},
    empties={"late": (4, 10), "middle": (11, 16), HARDER: (17, 22)},
)
