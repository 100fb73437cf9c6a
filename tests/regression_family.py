"""A family of ten lines for tests: a line through points, added to the table and used by the ordinary commands."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from clew.core import files
from clew.core.evidence import Evidence
from clew.core.randomness import generator
from clew.export.source import manifest_json
from clew.export.traced import publish, trace
from clew.recipes.base import Recipe, Section
from clew.recipes.families import Family
from clew.runs.progress import Evaluation
from clew.training.checkpoint import read_checkpoint
from clew.training.objective import Loss, Objective

SLOPES = np.array([3.0, -1.0, 0.5], np.float32)


class Points(Section):
    """The evidence."""

    points: str = "points.json"
    """File of the points."""


class RegressionRecipe(Recipe):
    """A line through points."""

    objective: Literal["regression"] = "regression"
    """Squared error."""
    name: str = "line"
    """Name of the model."""
    data: Points = Points()
    """The evidence."""


def write_points(path: Path, count: int = 64) -> None:
    """Points on a plane, without noise."""
    inputs = generator(0, "points").standard_normal((count, 3)).astype(np.float32)
    files.write_json(path, {"inputs": inputs.tolist(), "outputs": (inputs @ SLOPES).tolist()})


class PreparedPoints:
    """Points that were read."""

    def __init__(self, recipe: RegressionRecipe) -> None:
        self.recipe, path = recipe, Path(recipe.data.points)
        self.held = files.read_json(path, what="a file of points")
        self.evidence = Evidence("points", str(path), files.sha256_of_file(path))

    def describe(self) -> list[str]:
        return [f"{len(self.held['outputs'])} points"]

    def keep(self, folder: Path) -> None:
        pass


class Regression(Objective):
    """The ten lines."""

    def __init__(self, prepared, folder, placement):
        self.recipe, self.model = prepared.recipe, nn.Linear(3, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.points = torch.tensor(prepared.held["inputs"]), torch.tensor(prepared.held["outputs"])

    def batch(self, step, shard):
        rows = shard.rows(self.recipe.training.batch_size)
        chosen = torch.from_numpy(generator(self.recipe.seed, "batch", step).integers(0, 48, rows.stop))[rows.start :]
        return self.points[0][chosen], self.points[1][chosen]

    def loss(self, batch):
        return Loss(F.mse_loss(self.model(batch[0]).squeeze(1), batch[1]), {}, torch.tensor(float(len(batch[1]))))

    @torch.no_grad()
    def evaluate(self, step):
        error = F.mse_loss(self.model(self.points[0][48:]).squeeze(1), self.points[1][48:])
        return Evaluation({"squared_error": float(error)}, watched="squared_error")


def export(source, folder, format="onnx"):
    """A bundle with the traced net."""
    model = nn.Linear(3, 1, bias=False)
    model.load_state_dict(read_checkpoint(source.checkpoint, with_optimizer=False).model)
    graph = trace(model, {"inputs": torch.zeros(2, 3)}, ["outputs"], name="line", arrange=lambda out: (out,))
    inputs = generator(0, "export").standard_normal((8, 3)).astype(np.float32)
    with files.whole_folder(folder) as temporary:
        parity = publish(graph, model, temporary / "model.onnx", {"inputs": inputs}, choices={}, metadata={})
        manifest = manifest_json(source, temporary, family="regression") | {"parity": parity.as_json()}
        files.write_json(temporary / "bundle.json", manifest)
    return manifest


def evaluate(bundle):
    """How far the slopes that the bundle has are from the true ones."""
    session = onnxruntime.InferenceSession(str(Path(bundle) / "model.onnx"))
    (outputs,) = session.run(None, {"inputs": np.eye(3, dtype=np.float32)})
    return {"largest_error_of_a_slope": float(np.abs(outputs[:, 0] - SLOPES).max())}


FAMILY = Family(
    objective="regression",
    recipe="regression_family:RegressionRecipe",
    prepare="regression_family:PreparedPoints",
    make="regression_family:Regression",
    place="data.points",
    exporter="regression_family:export",
    evaluator="regression_family:evaluate",
)
