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
    from clew.games.table import Table
    from clew.games.thinking import Thought

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
    from clew.games.table import Table, thinker_for

    game = find_game(options.env_id)
    model, said = _opponent(options)
    thinker = thinker_for(game, model, simulations=options.simulations, seed=options.seed, threads=options.threads)
    print(f"{game.display_name}. {said}\nYou are {'O' if options.second else 'X'}. {HELP}\n")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text are then no move
    Session(Table(game, thinker, person=1 if options.second else 0), hints=options.hints).play()
    return EXIT_DONE


def _opponent(options: PlayOptions) -> tuple[Path | None, str]:
    """The model that plays against the person, and a sentence about it."""
    from clew.games.table import DEFAULT_MODEL

    if options.model is not None and options.without_model:
        raise UsageError("--model and --without-model contradict each other: leave one out.")
    path = options.model or DEFAULT_MODEL
    if options.without_model or (options.model is None and not exists(path)):
        why = "" if options.without_model else f"There is no model {path}. "
        if not options.simulations:
            raise UsageError(f"{why}Without a model there is nothing to play by but a search: give it --simulations.")
        how = f"{options.simulations} simulations of random play"
        return None, f"{why}You play against a search without a model: {how}."
    how = f"with {options.simulations} simulations a move" if options.simulations else "by its policy alone"
    return path, f"You play against {path}, {how}."


class Session:
    """The dialogue about one game at a terminal."""

    def __init__(self, table: Table, *, hints: bool) -> None:
        self._table, self._game, self._hints = table, table.game, hints

    def play(self) -> None:
        """Play until the game is over or the person leaves."""
        table = self._table
        while table.winner is None:
            if table.mover == table.person:
                print(table.board + "\n")
                if self._hints:
                    self._show(table.think(), "The search would play")
                if not self._ask():
                    print("\nThe game is left as it stands. Until next time!")
                    return
            else:
                thought = table.think()
                self._show(thought, "Clew plays")
                table.put(thought.action)
        print(table.board + "\n")
        print("A draw." if table.winner == 2 else "You win!" if table.winner == table.person else "Clew wins.")

    def _ask(self) -> bool:
        """Ask until a move is made or taken back; False when the person leaves."""
        table = self._table
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
                print(table.board + "\n")
            elif word == "hint":
                self._show(table.think(), "The search would play")
            elif word == "undo":
                if table.undo():
                    return True
                print("There is no move of yours to take back.")
            else:
                try:
                    action = self._game.parse_move(table.state, text)
                except UsageError as error:
                    print(error)
                    continue
                table.put(action)
                return True

    def _show(self, thought: Thought, who: str) -> None:
        print(f"{who} {self._game.move_name(thought.action)} (value {thought.value:+.2f}).")
        print(f"  {'move':>5}  {'visits':>7}  {'value':>6}  {'prior':>6}")
        for move in thought.best(SHOWN_MOVES):
            value = thought.action_values[move]
            shown = "" if math.isnan(value) else f"{value:+.2f}"
            visits = thought.visits[move]
            print(f"  {self._game.move_name(move):>5}  {visits:>7}  {shown:>6}  {thought.priors[move]:>6.1%}")
        print(f"  expected: {' '.join(self._game.move_name(move) for move in thought.line)}\n")
