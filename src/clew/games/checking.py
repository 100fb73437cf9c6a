"""Does a game keep to the protocol? Random games are played and every position of them is looked at.

What is asked of a game: `legal` and `play` are functions of the position and of nothing else; `legal` offers exactly
the moves that `play` takes, and `play` raises an error for all others; a move leaves nothing of the opponent's where
nothing was, and a winner is told by number, not by who asks; games end; the symmetries that the game says it has are
such; and whoever reads the board and writes a move back is understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clew.core.errors import ClewError, UsageError
from clew.core.randomness import generator
from clew.games.game import Game
from clew.games.own import GameError, Words
from clew.games.rules import find_game
from clew.games.symmetry import Symmetries, symmetries

FAILS = "fails"
"""legal or play failed, or gave what cannot be."""
MASK_LIES = "mask"
"""A move is offered that play refuses, or none while the game goes on."""
ILLEGAL_ACCEPTED = "illegal move"
"""play takes a move that is not offered."""
WINNER = "winner"
"""The winner is not who won."""
CELLS = "cells"
"""A move puts stones of the opponent's."""
ROUND_TRIP = "round trip"
"""A state that is stored and read again is another."""
NOT_A_FUNCTION = "not a function"
"""The same question has two answers."""
COMPILED = "compiled"
"""Compiled rules and the same rules in plain Python differ."""
ENDLESS = "endless"
"""A game goes on beyond max_plies."""
SYMMETRY = "symmetry"
"""A symmetry is none."""
BOARD = "board"
"""The drawing, or the reading of a move, fails or misleads."""

GAMES = 50
_TRIED = 6
"""Moves of each position that are played, and moves that are not offered."""
_MIRRORED = 300
"""Positions whose images are looked at."""
_ENOUGH_DECIDED = 30


@dataclass(frozen=True)
class Finding:
    """Something that breaks the protocol."""

    kind: str
    sentence: str
    """What is wrong, and after which moves."""
    moves: tuple[int, ...]
    """The actions that lead there from the first position."""


@dataclass
class Checked:
    """What was looked at, and what was found: the first of each kind."""

    game: Game
    games: int = 0
    positions: int = 0
    findings: list[Finding] = field(default_factory=list)


def check(game: Game | str, *, games: int = GAMES, seed: int = 0) -> list[Finding]:
    """What breaks the rules of the protocol in a game, or in the game of this name or file; nothing: an empty list.

    Raises `UsageError` for a name without a game, or a file that holds none.
    """
    return examine(find_game(game) if isinstance(game, str) else game, games=games, seed=seed).findings


def examine(game: Game, *, games: int = GAMES, seed: int = 0) -> Checked:
    """Play `games` random games and look at them; see `check`."""
    return _Examination(game, seed).run(games)


@dataclass(frozen=True)
class _Seen:
    """A position that was met, and what its rules said of it."""

    moves: tuple[int, ...]
    state: Words
    legal: int
    after: dict[int, Words]


class _Shipped:
    """Rules that ship, asked as a user's are."""

    def __init__(self, game: Game) -> None:
        self._game = game

    def legal_bits(self, state: Words) -> int:
        """Bits of the legal actions."""
        return sum(1 << int(action) for action in np.flatnonzero(self._game.legal_mask(_board(state))[0]))

    def after(self, state: Words, action: int) -> Words:
        """The state after an action. Raises `GameError`."""
        try:
            return _words(self._game.play(_board(state), [action])[0])
        except UsageError as error:
            raise GameError(str(error), refused=True) from error


class _Examination:
    def __init__(self, game: Game, seed: int) -> None:
        self._game, self._seed = game, seed
        self._rules: Any = game.rules or _Shipped(game)
        self._checked = Checked(game)
        self._seen: list[_Seen] = []
        self._wins = [0, 0]

    def run(self, games: int) -> Checked:
        for number in range(games):
            self._play_out(generator(self._seed, "check", number))
            self._checked.games += 1
            if self._has(FAILS, MASK_LIES):
                break  # nothing that follows could be trusted
        self._checked.positions = len(self._seen)
        self._look_at_winners()
        self._ask_again()
        self._compare_images()
        self._read_boards()
        return self._checked

    def _play_out(self, random: np.random.Generator) -> None:
        """One game, its moves drawn at random."""
        state = _words(self._game.initial()[0])
        moves: tuple[int, ...] = ()
        while not _winner(state):
            if len(moves) >= self._game.max_plies:
                self._find(
                    ENDLESS,
                    f"the game goes on after {len(moves)} moves, and {self._game.max_plies} are the most that it may "
                    "have. End it, or give the game a larger max_plies",
                    moves,
                )
                return
            try:
                legal = self._rules.legal_bits(state)
            except GameError as error:
                self._find(MASK_LIES if "offers no move" in str(error) else FAILS, str(error), moves)
                return
            offered = [action for action in range(self._game.num_actions) if legal >> action & 1]
            tried = [int(action) for action in random.permutation(offered)[:_TRIED]]
            after = self._try(state, tried, moves)
            if after is None:
                return
            self._seen.append(_Seen(moves, state, legal, after))
            others = [action for action in range(self._game.num_actions) if not legal >> action & 1]
            self._try_illegal(state, random.permutation(others)[:_TRIED].tolist(), moves)
            self._compare_with_compiled(self._seen[-1])
            state, moves = after[tried[0]], (*moves, tried[0])
        if _winner(state) < 3:
            self._wins[_winner(state) - 1] += 1

    def _try(self, state: Words, actions: Sequence[int], moves: tuple[int, ...]) -> dict[int, Words] | None:
        """The states after these legal actions; None where one fails."""
        found: dict[int, Words] = {}
        for action in actions:
            try:
                found[action] = self._rules.after(state, action)
            except GameError as error:
                if error.refused:
                    told = f"{self._name(action)} is offered, and play refuses it: {error}"
                    self._find(MASK_LIES, told, moves)
                else:
                    self._find(ROUND_TRIP if "to remember" in str(error) else FAILS, str(error), moves)
                return None
            self._look_at_move(state, action, found[action], moves)
        return found

    def _look_at_move(self, state: Words, action: int, after: Words, moves: tuple[int, ...]) -> None:
        player = state[2] & 1
        new = after[1 - player] & ~state[1 - player]
        if new:
            cell = new.bit_length() - 1
            row, column = divmod(cell, self._game.board_width)
            self._find(
                CELLS,
                f"{self._name(action)}, a move of the {_seat(player)} player, puts a stone of the other on row {row}, "
                f"column {column}",
                moves,
            )
        won_by = _winner(after)
        if won_by == 2 - player and not self._game.mover_may_lose:
            self._find(
                WINNER,
                f"the {_seat(player)} player moves {self._name(action)}, and the {_seat(1 - player)} is said to have "
                f"won (winner {won_by}; 1 is the first player and 2 the second, whoever moves). If a move can lose the "
                "game at once, give the game mover_may_lose=True",
                moves,
            )
        stored = self._game.to_blob(_board(after)[0])
        read = _words(self._game.from_blob(stored))
        if read != after:
            self._find(
                ROUND_TRIP, f"the position after {self._name(action)} is another one when it is stored and read", moves
            )

    def _try_illegal(self, state: Words, actions: Sequence[int], moves: tuple[int, ...]) -> None:
        for action in actions:
            try:
                self._rules.after(state, action)
            except GameError as error:
                if error.refused:
                    continue
            self._find(
                ILLEGAL_ACCEPTED,
                f"{self._name(action)} is not offered, and play takes it: it must raise an error, such as "
                f'ValueError("not legal")',
                moves,
            )

    def _compare_with_compiled(self, seen: _Seen) -> None:
        """The way the search goes, and the way above, must agree."""
        game, board = self._game, _board(seen.state)
        try:
            mask = game.legal_mask(board)[0]
            same = seen.legal == sum(1 << int(action) for action in np.flatnonzero(mask))
            for action, after in seen.after.items():
                same = same and _words(game.play(board, [action])[0]) == after
        except ClewError as error:
            self._find(COMPILED, str(error), seen.moves)
            return
        if not same:
            self._find(
                NOT_A_FUNCTION if game.rules is None or not game.rules.compiled else COMPILED,
                "legal or play gives one answer to Python and another to the search",
                seen.moves,
            )

    def _look_at_winners(self) -> None:
        for player in (0, 1):
            if self._wins[player] == 0 and self._wins[1 - player] >= _ENOUGH_DECIDED:
                self._find(
                    WINNER,
                    f"the {_seat(player)} player has won none of {sum(self._wins)} random games that were decided. The "
                    "winner is 1 for the first player and 2 for the second, whoever moves",
                    (),
                )

    def _ask_again(self) -> None:
        """Positions in another order than they were met in: what is kept outside of the state shows."""
        order = generator(self._seed, "check again").permutation(len(self._seen))
        for index in order:
            seen = self._seen[index]
            try:
                same = self._rules.legal_bits(seen.state) == seen.legal and all(
                    self._rules.after(seen.state, action) == after for action, after in seen.after.items()
                )
            except GameError:
                same = False
            if not same:
                self._find(
                    NOT_A_FUNCTION,
                    "legal or play answers otherwise when it is asked again. All that they depend on must be in the "
                    "position: extra_bytes are for what else there is to remember",
                    seen.moves,
                )
                return

    def _compare_images(self) -> None:
        if self._game.symmetry == "none" or self._has(NOT_A_FUNCTION):
            return
        try:
            found = symmetries(self._game, "auto")
        except UsageError as error:
            self._find(SYMMETRY, str(error), ())
            return
        order = generator(self._seed, "check images").permutation(len(self._seen))[:_MIRRORED]
        for number in range(1, len(found)):
            for index in order:
                if not self._is_image(self._seen[index], found, number):
                    self._find(
                        SYMMETRY,
                        f"the game says symmetry={self._game.symmetry!r}, and moves or results of the position and of "
                        f"its image (number {number}) are not images of one another",
                        self._seen[index].moves,
                    )
                    return

    def _is_image(self, seen: _Seen, found: Symmetries, number: int) -> bool:
        actions = found.actions[number]
        try:
            image = self._image(seen.state, found, number)
            legal = self._rules.legal_bits(image)
            if any(legal >> action & 1 != seen.legal >> int(actions[action]) & 1 for action in range(len(actions))):
                return False
            comes_from = {int(old): new for new, old in enumerate(actions)}
            return all(
                self._rules.after(image, comes_from[action]) == self._image(after, found, number)
                for action, after in seen.after.items()
            )
        except GameError:
            return False

    def _image(self, state: Words, found: Symmetries, number: int) -> Words:
        cells = self._game.cells
        blob = self._game.codec.to_blobs(_board(state))
        blob[:, :cells] = blob[:, found.observations[number][:cells]]
        return _words(self._game.codec.to_states(blob)[0])

    def _read_boards(self) -> None:
        """The drawing of each position, and each legal move written and read."""
        drawn: dict[str, Words] = {}
        for seen in self._seen:
            board = _board(seen.state)[0]
            try:
                text = self._game.draw(board)
                if not isinstance(text, str):
                    raise TypeError(f"draw returned {text!r} where text is due")
                names = {action: self._game.move_name(action) for action in seen.after}
                read = {action: self._game.parse_move(board, name) for action, name in names.items()}
            except Exception as error:  # the user's own
                self._find(
                    BOARD, f"drawing the board or reading a move raised {type(error).__name__}: {error}", seen.moves
                )
                return
            for action, name in names.items():
                if read[action] != action:
                    self._find(BOARD, f"the move {action} is written '{name}' and read as {read[action]}", seen.moves)
                    return
            other = drawn.setdefault(text, seen.state)
            if other[:2] != seen.state[:2]:
                self._find(BOARD, "the board is drawn as another one, with other stones, is", seen.moves)
                return

    def _has(self, *kinds: str) -> bool:
        return any(finding.kind in kinds for finding in self._checked.findings)

    def _find(self, kind: str, what: str, moves: tuple[int, ...]) -> None:
        """Keep the first finding of each kind."""
        if not self._has(kind):
            way = f"After {' '.join(map(self._name, moves))}: " if moves else "In the first position: "
            if kind == WINNER and not moves and "none of" in what:
                way = "In all games together: "
            self._checked.findings.append(Finding(kind, f"{way}{what.rstrip('.')}.", moves))

    def _name(self, action: int) -> str:
        try:
            return str(self._game.move_name(action))
        except Exception:  # the user's own: what is wrong with it is found elsewhere
            return str(action)


def _board(state: Words) -> Any:
    return np.array([state], np.uint64)


def _words(state: Any) -> Words:
    return int(state[0]), int(state[1]), int(state[2])


def _winner(state: Words) -> int:
    return state[2] >> 8 & 3


def _seat(player: int) -> str:
    return ("first", "second")[player]
