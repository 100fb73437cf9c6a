"""What a learner writes for other programs: model files, and the statistics that a page polls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.core import files
from clew.export.onnx_policy_value import publish_policy_value
from clew.games.evidence import STATISTICS
from clew.games.rules import GameInfo
from clew.models.policy_value import PolicyValueNet
from clew.objectives.alphazero.gate import Champion, origin
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.runs.history import History, read_metrics
from clew.runs.progress import Progress

LATEST, BEST = "latest.onnx", "best.onnx"
_STEP_FILE = re.compile(r"model_step_(\d{6,})\.onnx")


class LearnerFiles:
    """The model folder and the statistics file of a run. Steps in them count from the recipe's `start_step`."""

    def __init__(self, recipe: AlphaZeroRecipe, info: GameInfo, folder: Path) -> None:
        self._recipe, self._info, self._run_folder = recipe, info, folder
        self._models = Path(recipe.outputs.model_dir)
        self._history = History()
        self._evaluations: list[dict[str, Any]] = []
        self._last_checkpoint: str | None = None
        self._rows = 0

    def began(self, progress: Progress, records: Sequence[dict[str, Any]]) -> None:
        """Take the history of a resumed run from its metrics, and `records` of the games that were played so far."""
        self._evaluations = list(records)
        self._history = History([self._point(row) for row in read_metrics(self._run_folder).steps])
        if progress.step and (newest := self._step_file(progress.step)).is_file():
            self._last_checkpoint = str(newest)

    @property
    def latest(self) -> Path:
        """The file that actors load."""
        return self._models / LATEST

    def logged(self, row: dict[str, Any], progress: Progress, *, rows: int) -> None:
        """Add a logged step; write the statistics where their interval says so."""
        self._history.append(self._point(row))
        self._rows = rows
        if progress.step % self._recipe.outputs.stats_interval == 0 or progress.step == self._planned:
            self._write(progress)

    def evaluated(self, record: dict[str, Any] | None, progress: Progress) -> None:
        """Add the record of an evaluation's games."""
        if record is not None:
            self._evaluations.append(record)
        self._write(progress)

    def publish(
        self, net: PolicyValueNet, observations: NDArray[np.float32], progress: Progress, champion: Champion
    ) -> None:
        """Write model_step_NNNNNN.onnx and latest.onnx, the champion's best.onnx where it changed; prune step files."""
        path = self._step_file(progress.step)
        metadata = origin(self._recipe, self._info, self._run_folder, progress.step)
        publish_policy_value(net, path, observations, metadata)
        content = path.read_bytes()
        files.write_bytes(self.latest, content)
        crowned = champion.file
        if crowned is not None:
            best, wanted = self._models / BEST, crowned.read_bytes()
            if not best.is_file() or best.read_bytes() != wanted:
                files.write_bytes(best, wanted)
        found = [(int(match[1]), file) for file in self._models.iterdir() if (match := _STEP_FILE.fullmatch(file.name))]
        for _, old in sorted(found)[: -self._recipe.outputs.max_checkpoints]:
            old.unlink(missing_ok=True)
        self._last_checkpoint = str(path)
        self._write(progress)

    @property
    def _planned(self) -> int:
        return self._recipe.training.max_steps

    def _step_file(self, step: int) -> Path:
        return self._models / f"model_step_{step + self._recipe.outputs.start_step:06d}.onnx"

    def _point(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": row["step"] + self._recipe.outputs.start_step,
            "total_loss": row["loss"],
            **{name: row[name] for name in ("value_loss", "policy_loss", "learning_rate", "grad_norm")},
        }

    def _write(self, progress: Progress) -> None:
        newest = self._history.newest
        crowned = [record for record in self._evaluations if record["became_new_best"]]
        start = self._recipe.outputs.start_step
        files.write_json(
            Path(self._recipe.outputs.stats),
            {
                "step": progress.step + start,
                "total_steps": self._planned + start,
                **{name: newest.get(name) for name in ("total_loss", "policy_loss", "value_loss", "learning_rate")},
                "samples_seen": progress.items_seen,
                "replay_buffer_size": self._rows,
                "last_checkpoint": self._last_checkpoint,
                "timestamp": int(datetime.now(UTC).timestamp()),
                "env_id": self._info.env_id,
                "history": self._history.points(),
                "last_eval": self._evaluations[-1] if self._evaluations else None,
                "eval_history": self._evaluations,
                "best_model": {"step": crowned[-1]["step"], "path": str(self._models / BEST)} if crowned else None,
            },
            replaces=STATISTICS,
        )
