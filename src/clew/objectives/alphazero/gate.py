"""The champion of a run: the net that a candidate must beat to replace it, kept in the run's folder.

It is part of the run's state and not of the model folder, so that a resumed run challenges the champion of that time.
"""

from __future__ import annotations

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
from clew.games.rules import GameInfo, known_game
from clew.models.policy_value import PolicyValueNet
from clew.recipes.alphazero import AlphaZeroRecipe


class Champion:
    """Plays each evaluation's games and remembers who won them."""

    def __init__(self, recipe: AlphaZeroRecipe, info: GameInfo, folder: Path) -> None:
        self._recipe, self._game, self._folder = recipe, known_game(info.env_id), folder / "champions"
        self._step: int | None = None
        self.records: list[dict[str, Any]] = []
        """The contract's record of each evaluation."""

    @property
    def file(self) -> Path | None:
        """The champion's ONNX file; None while there is none."""
        return None if self._step is None else self._folder / f"step_{self._step:08d}.onnx"

    @property
    def last_record(self) -> dict[str, Any] | None:
        """The record of the newest evaluation."""
        return self.records[-1] if self.records else None

    def challenge(
        self, net: PolicyValueNet, step: int, observations: Callable[[], NDArray[np.float32]]
    ) -> dict[str, float]:
        """Let `net`, as it is after `step` steps, play the champion, or random play while there is none.

        Returns the figures of the games. A score above the threshold makes it the champion. Nothing is played where
        the rules of the game are not known here.
        """
        wanted = self._recipe.games
        if self._game is None or not wanted.eval_games:
            return {}

        def evaluate(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            return evaluate_in_torch(net, batch)

        simulations = wanted.eval_simulations
        opponent: Player = random_player(self._game)
        if self.file is not None:
            opponent = net_player(
                self._game, PolicyValueModel(self.file).evaluate, simulations=simulations, name="champion"
            )
        candidate = net_player(self._game, evaluate, simulations=simulations, name="candidate")
        result = play_match(
            self._game,
            candidate,
            opponent,
            wanted.eval_games,
            seed=key(self._recipe.seed, "evaluation games", step) % 2**63,
            # Two nets that always choose their best move would play one game again and again.
            opening_plies=0 if self.file is None else 2,
        )
        crowned = replaces_champion(result, wanted.eval_win_threshold)
        shown = step + self._recipe.outputs.start_step
        every = self._recipe.training.checkpoint_every
        record = result.record(
            step=shown,
            opponent="random" if self._step is None else "best",
            opponent_iteration=None if self._step is None else self._step // every,
            became_new_best=crowned,
            current_iteration=shown // every,
            timestamp=int(datetime.now(UTC).timestamp()),
        )
        self.records.append(record)
        if crowned:
            publish_policy_value(
                net,
                self._folder / f"step_{step:08d}.onnx",
                observations(),
                {"env_id": self._game.env_id, "step": str(shown)},
            )
            self._step = step
        return {f"{name}_against_{record['opponent']}": float(record[name]) for name in ("win_rate", "draw_rate")}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"step": self._step, "records": self.records}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._step, self.records = state["step"], list(state["records"])
