"""`clew play`: a person against a model in the terminal, with what the search thinks."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from clew.cli.flags import Options, Positional, parse
from clew.core.errors import EXIT_DONE, UsageError
from clew.core.files import exists

if TYPE_CHECKING:
    from clew.games.rules import Game, States
    from clew.games.thinking import Thinker, Thought

DEFAULT_MODEL = Path("data/models/latest.onnx")
SHOWN_MOVES = 5
HELP = "Write a move, or: undo (take back your last move), hint (what the search would play), board, quit."


class PlayOptions(Options):
    """Play a game against a model."""

    env_id: Positional[str]
    """The game: tictactoe, connect4, othello, or a file of your own, my_game.py."""
    model: Path | None = None
    """The model's ONNX file; by default data/models/latest.onnx where it is there, else random playouts."""
    without_model: bool = False
    """Let the search play without a model, by random playouts, in any case."""
    simulations: int = pydantic.Field(default=200, ge=0)
    """Simulations a move; 0: the net's policy alone."""
    first: bool = False
    """You have the first move (so it is by default)."""
    second: bool = False
    """The model has the first move."""
    hints: bool = False
    """Show what the search thinks before each of your moves too."""
    seed: int = 42
    """All draws are functions of this."""
    threads: int = pydantic.Field(default=1, ge=0)
    """CPU threads of the net; 0: all cores."""


def main(arguments: list[str]) -> int:
    """Run `clew play`."""
    options = parse(PlayOptions, arguments, program="clew play")
    if options.first and options.second:
        raise UsageError("You cannot have both seats: name --first or --second.")

    from clew.games.rules import find_game

    game = find_game(options.env_id)
    thinker, said = _thinker(options, game)
    print(f"{game.display_name}. {said}\nYou are {'O' if options.second else 'X'}. {HELP}\n")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text are then no move
    Session(game, thinker, human=1 if options.second else 0, hints=options.hints).play()
    return EXIT_DONE


def _thinker(options: PlayOptions, game: Game) -> tuple[Thinker, str]:
    """Who plays against the person, and a sentence about it."""
    from clew.core.randomness import key
    from clew.games.players import PLAYOUTS
    from clew.games.rollouts import rollouts
    from clew.games.search import SearchSettings
    from clew.games.thinking import Thinker

    if options.model is not None and options.without_model:
        raise UsageError("--model and --without-model contradict each other: leave one out.")
    path = options.model or DEFAULT_MODEL
    if options.without_model or (options.model is None and not exists(path)):
        why = "" if options.without_model else f"There is no model {path}. "
        if not options.simulations:
            raise UsageError(f"{why}Without a model there is nothing to play by but a search: give it --simulations.")
        evaluate = rollouts(game, key(options.seed, "playouts"))
        said = f"{why}You play against a search without a model: {options.simulations} simulations of random play."
        settings, name = PLAYOUTS, "the search"
    else:
        from clew.games.opponents import load_model

        evaluate = load_model(path, game, threads=options.threads).evaluate
        how = f"with {options.simulations} simulations a move" if options.simulations else "by its policy alone"
        said = f"You play against {path}, {how}."
        # PUCT's visits tell what the search thinks; those of Gumbel are dealt out evenly by design.
        settings, name = SearchSettings(method="puct"), str(path)
    return Thinker(
        game, evaluate, simulations=options.simulations, settings=settings, seed=options.seed, name=name
    ), said


class Session:
    """One game between a person, who sits at seat `human` (0 or 1), and a thinker."""

    def __init__(self, game: Game, thinker: Thinker, *, human: int, hints: bool) -> None:
        self._game, self._thinker, self._human, self._hints = game, thinker, human, hints
        self._positions: list[States] = [game.initial()[0]]

    def play(self) -> None:
        """Play until the game is over or the person leaves."""
        while self._game.winner(self._positions[-1][None])[0] == 0:
            if self._mover() == self._human:
                print(self._game.draw(self._positions[-1]) + "\n")
                if self._hints:
                    self._show(self._think(), "The search would play")
                if not self._ask():
                    print("\nThe game is left as it stands. Until next time!")
                    return
            else:
                thought = self._think()
                self._show(thought, "Clew plays")
                self._move(thought.action)
        print(self._game.draw(self._positions[-1]) + "\n")
        winner = int(self._game.winner(self._positions[-1][None])[0])
        print("A draw." if winner == 3 else "You win!" if winner == self._human + 1 else "Clew wins.")

    def _ask(self) -> bool:
        """Ask until a move is made or taken back; False when the person leaves."""
        while True:
            if sys.stdin is None:  # the command was started with a closed standard input
                return False
            try:
                text = input("Your move: ").strip()
            except EOFError:
                return False
            if not sys.stdin.isatty():
                print(text)
            word = text.lower()
            if word in ("quit", "exit", "q"):
                return False
            if word in ("", "help", "?"):
                print(HELP)
            elif word == "board":
                print(self._game.draw(self._positions[-1]) + "\n")
            elif word == "hint":
                self._show(self._think(), "The search would play")
            elif word == "undo":
                if self._undo():
                    return True
                print("There is no move of yours to take back.")
            else:
                try:
                    action = self._game.parse_move(self._positions[-1], text)
                except UsageError as error:
                    print(error)
                    continue
                self._move(action)
                return True

    def _mover(self) -> int:
        return int(self._game.mover(self._positions[-1][None])[0])

    def _think(self) -> Thought:
        return self._thinker.think(self._positions[-1], len(self._positions) - 1)

    def _move(self, action: int) -> None:
        self._positions.append(self._game.play(self._positions[-1][None], [action])[0])
        self._thinker.advance(action)

    def _undo(self) -> bool:
        """Go back to the person's last move; False where there is none."""
        turns = [index for index in range(len(self._positions) - 1) if self._mover_at(index) == self._human]
        if not turns:
            return False
        del self._positions[turns[-1] + 1 :]
        self._thinker.reset()
        return True

    def _mover_at(self, index: int) -> int:
        return int(self._game.mover(self._positions[index][None])[0])

    def _show(self, thought: Thought, who: str) -> None:
        print(f"{who} {self._game.move_name(thought.action)} (value {thought.value:+.2f}).")
        print(f"  {'move':>5}  {'visits':>7}  {'value':>6}  {'prior':>6}")
        for move in thought.best(SHOWN_MOVES):
            value = thought.action_values[move]
            shown = "" if math.isnan(value) else f"{value:+.2f}"
            visits = thought.visits[move]
            print(f"  {self._game.move_name(move):>5}  {visits:>7}  {shown:>6}  {thought.priors[move]:>6.1%}")
        print(f"  expected: {' '.join(self._game.move_name(move) for move in thought.line)}\n")
