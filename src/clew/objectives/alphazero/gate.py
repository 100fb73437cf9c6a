"""The champion of a run: the net that a candidate must beat to replace it, kept in the run's folder.

It is part of the run's state and not of the model folder, so that a resumed run challenges the champion of that time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.bundle.policy_value import PolicyValueModel
from clew.core.randomness import key
from clew.export.onnx_policy_value import evaluate_in_torch, publish_policy_value
from clew.games.arena import play_match, replaces_champion
from clew.games.players import Player, net_player, random_player
from clew.games.rules import Game, GameInfo, known_game
from clew.models.policy_value import PolicyValueNet
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.base import sha256
from clew.training.devices import Placement

BEAT = 60.0
"""Seconds after which the leader, while it plays, tells the processes that wait for it that it is still there."""


def origin(recipe: AlphaZeroRecipe, info: GameInfo, run_folder: Path, step: int) -> dict[str, str]:
    """Where the model of `step` of a run comes from: what stands in its file."""
    return {
        "env_id": info.env_id,
        "run": run_folder.name,
        "recipe_sha256": sha256(recipe),
        "step": str(step + recipe.outputs.start_step),
        "iteration": str(step // recipe.training.checkpoint_every),
    }


class Champion:
    """Plays each evaluation's games and remembers who won them."""

    def __init__(self, recipe: AlphaZeroRecipe, info: GameInfo, folder: Path) -> None:
        self._recipe, self._info, self._game, self._run_folder = recipe, info, known_game(info.env_id), folder
        self._step: int | None = None
        self.records: list[dict[str, Any]] = []
        """The contract's record of each evaluation."""

    @property
    def file(self) -> Path | None:
        """The champion's ONNX file; None while there is none."""
        return None if self._step is None else self._file_of(self._step)

    @property
    def last_record(self) -> dict[str, Any] | None:
        """The record of the newest evaluation."""
        return self.records[-1] if self.records else None

    def challenge(
        self, net: PolicyValueNet, step: int, observations: Callable[[], NDArray[np.float32]], placement: Placement
    ) -> dict[str, float]:
        """Let `net`, as it is after `step` steps, play the champion, or random play while there is none.

        Returns the figures of the games, the same in every process: the leader plays, and the others hear of it. A
        score above the threshold makes the net the champion, with a file that is verified on `observations()`. Nothing
        is played where the rules of the game are not known here.
        """
        if self._game is None or not self._recipe.games.eval_games:
            return {}
        if placement.leads:
            record = self._play(self._game, net, step, _Beat(placement))
            if record["became_new_best"]:
                metadata = origin(self._recipe, self._info, self._run_folder, step)
                publish_policy_value(net, self._file_of(step), observations(), metadata)
            placement.share(record)
        else:
            while (record := placement.share(None)) is None:
                pass  # the leader still plays
        self.records.append(record)
        if record["became_new_best"]:
            self._step = step
        return {f"{name}_against_{record['opponent']}": float(record[name]) for name in ("win_rate", "draw_rate")}

    def _play(self, game: Game, net: PolicyValueNet, step: int, beat: _Beat) -> dict[str, Any]:
        """Play the games; return their record."""
        wanted = self._recipe.games

        def evaluate(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            beat()
            return evaluate_in_torch(net, batch)

        simulations = wanted.eval_simulations
        opponent: Player = random_player(game)
        if self.file is not None:
            opponent = net_player(game, PolicyValueModel(self.file).evaluate, simulations=simulations, name="champion")
        result = play_match(
            game,
            net_player(game, evaluate, simulations=simulations, name="candidate"),
            opponent,
            wanted.eval_games,
            seed=key(self._recipe.seed, "evaluation games", step) % 2**63,
            # Two nets that always choose their best move would play one game again and again.
            opening_plies=0 if self.file is None else 2,
        )
        start, every = self._recipe.outputs.start_step, self._recipe.training.checkpoint_every
        return result.record(
            step=step + start,
            opponent="random" if self._step is None else "best",
            opponent_iteration=None if self._step is None else (self._step + start) // every,
            became_new_best=replaces_champion(result, wanted.eval_win_threshold),
            current_iteration=(step + start) // every,
            timestamp=int(datetime.now(UTC).timestamp()),
        )

    def _file_of(self, step: int) -> Path:
        return self._run_folder / "champions" / f"step_{step:08d}.onnx"

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"step": self._step, "records": self.records}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._step, self.records = state["step"], list(state["records"])


class _Beat:
    """Called now and then, lets the waiting processes hear of the leader: they give up on one that says nothing."""

    def __init__(self, placement: Placement) -> None:
        self._placement, self._last = placement, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last > BEAT:
            self._placement.share(None)
            self._last = time.monotonic()
