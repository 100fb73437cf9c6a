"""One game between a person and a thinker, from Python: `clew.play`."""

from __future__ import annotations

from pathlib import Path

from clew.core.errors import UsageError
from clew.core.randomness import key
from clew.games.game import Game
from clew.games.opponents import load_model
from clew.games.players import PLAYOUTS
from clew.games.rollouts import rollouts
from clew.games.rules import find_game
from clew.games.search import SearchSettings
from clew.games.states import States
from clew.games.thinking import Thinker, Thought

DEFAULT_MODEL = Path("data/models/latest.onnx")


class Table:
    """A game as it stands, its moves so far, and a thinker that says what it would play.

    Printed, or as a cell of a notebook, it is the board.
    """

    def __init__(self, game: Game, thinker: Thinker, *, person: int = 0) -> None:
        """`person`: the seat of who calls `move`, 0 (the first move) or 1."""
        self.game, self.person = game, person
        self._thinker = thinker
        self._positions: list[States] = [game.initial()[0]]
        self.moves: list[str] = []
        """The moves so far, as they are written."""

    @property
    def state(self) -> States:
        """The position, uint64[3]."""
        return self._positions[-1]

    @property
    def board(self) -> str:
        """The position as text."""
        return self.game.draw(self.state)

    @property
    def mover(self) -> int:
        """The seat that is to move, 0 or 1."""
        return int(self.game.mover(self.state[None])[0])

    @property
    def winner(self) -> int | None:
        """The seat that has won, 0 or 1; 2 for a draw; None while the game goes on."""
        won_by = int(self.game.winner(self.state[None])[0])
        return None if won_by == 0 else won_by - 1

    @property
    def legal_moves(self) -> list[str]:
        """How the legal moves are written."""
        legal = self.game.legal_mask(self.state[None])[0]
        return [self.game.move_name(action) for action in range(self.game.num_actions) if legal[action]]

    def think(self) -> Thought:
        """What the thinker makes of the position: its move, values, visits, the line it expects."""
        return self._thinker.think(self.state, len(self._positions) - 1)

    def put(self, action: int) -> None:
        """Play a legal action for whoever is to move. Raises `UsageError` for one that is not."""
        played = self.game.play(self.state[None], [action])[0]
        self.moves.append(self.game.move_name(action))
        self._positions.append(played)
        self._thinker.advance(action)

    def answer(self) -> Thought:
        """Let the thinker move; return what it thought."""
        thought = self.think()
        self.put(thought.action)
        return thought

    def move(self, text: str) -> Table:
        """Play the move that is written so, then the thinker's answers until it is the person's turn again.

        Raises `UsageError` for a move that is none, or is not legal here, with the game as it was.
        """
        if self.winner is not None:
            raise UsageError("The game is over. Begin another one, or take a move back with undo().")
        self.put(self.game.parse_move(self.state, str(text)))
        return self.catch_up()

    def catch_up(self) -> Table:
        """Let the thinker move until it is the person's turn."""
        while self.winner is None and self.mover != self.person:
            self.answer()
        return self

    def undo(self) -> bool:
        """Go back to the person's last move; False where there is none."""
        turns = [place for place in range(len(self._positions) - 1) if self._mover_at(place) == self.person]
        if not turns:
            return False
        del self._positions[turns[-1] + 1 :]
        del self.moves[turns[-1] :]
        self._thinker.reset()
        return True

    def _mover_at(self, place: int) -> int:
        return int(self.game.mover(self._positions[place][None])[0])

    def __repr__(self) -> str:
        told = {None: f"{'XO'[self.mover]} to move", 0: "X has won", 1: "O has won", 2: "a draw"}[self.winner]
        return f"{self.board}\n{told}"


def thinker_for(
    game: Game, model: Path | str | None, *, simulations: int = 200, seed: int = 42, threads: int = 1
) -> Thinker:
    """Who plays by the net in `model` with so many simulations a move, or (None) by a search with random playouts.

    Raises `UsageError` for neither a net nor simulations, `BundleError` for a file that is no net of the game.
    """
    if model is None:
        if not simulations:
            raise UsageError("Without a model there is nothing to play by but a search: give it --simulations.")
        evaluate, settings, name = rollouts(game, key(seed, "playouts")), PLAYOUTS, "the search"
    else:
        evaluate = load_model(Path(model), game, threads=threads).evaluate
        # PUCT's visits tell what the search thinks; those of Gumbel are dealt out evenly by design.
        settings, name = SearchSettings(method="puct"), str(model)
    return Thinker(game, evaluate, simulations=simulations, settings=settings, seed=seed, name=name)


def play(
    game: str | Game,
    model: Path | str | None = None,
    *,
    simulations: int = 200,
    second: bool = False,
    seed: int = 42,
    threads: int = 1,
) -> Table:
    """A game against a net, or against a search without one: a `Table` whose `move("3")` plays and is answered.

    `game`: its name, a file with a game of one's own, or the game itself. `second`: the thinker has the first move.
    Raises `UsageError` for a game that is not known, `BundleError` for a model that is none of the game's.
    """
    found = find_game(game) if isinstance(game, str) else game
    thinker = thinker_for(found, model, simulations=simulations, seed=seed, threads=threads)
    return Table(found, thinker, person=1 if second else 0).catch_up()
