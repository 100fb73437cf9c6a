"""What do the heads of a guide learn? Each on tasks that it never saw, against guesses that need no model.

Demonstrations are made, a guide is trained on them, exported, and its bundle is measured as `clew evaluate programs`
does: policy accuracy beside the commonest action (of all, and in the same context) and chance, area under the guard's
curve, explained variance of value and latency. The short form is a minute of the full grammar with fewer tasks;
`--full` trains the preset `guide`. `--data` takes demonstrations that were made before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from common import emit, figure, say

from clew import recipes
from clew.export import export
from clew.programs.evaluation import evaluate, markdown
from clew.recipes import base
from clew.training import launch

SHORT = {"data.demonstrations": 300, "training.max_epochs": 4.0, "model.hidden_dim": 128}
FULL_DEMONSTRATIONS = 8000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the preset, as `clew train guide` trains it")
    parser.add_argument("--data", default="", help="demonstrations that `clew programs demonstrate` made")
    parser.add_argument("--seed", type=int, default=42, help="of the demonstrations, the weights and the batches")
    options = parser.parse_args()
    changes = {"data.path": options.data, "seed": options.seed}
    changes |= {"data.demonstrations": FULL_DEMONSTRATIONS} if options.full else SHORT
    recipe = base.changed(recipes.load("guide"), changes, "benchmarks/imitation.py")
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run, progress = launch.train(recipe, Path(folder), say=say, shows=options.full)
        seconds = time.perf_counter() - begun
        bundle, _ = export(str(run.folder), Path(folder) / "bundle", runs_dir=Path(folder))
        report = evaluate(bundle)
    say(markdown(report))
    heads = {name: each.value for name, each in report.heads.items()}
    emit(
        "imitation",
        {
            "policy_accuracy": figure(heads["policy_accuracy"], "share"),
            "policy_over_context_majority": figure(
                heads["policy_accuracy"] / heads["context_majority_accuracy"], "times", target=1.5
            ),
            "policy_over_chance": figure(heads["policy_accuracy"] / heads["chance_accuracy"], "times", target=3.0),
            "policy_accuracy_task_alone": figure(heads["policy_accuracy_task_alone"], "share"),
            "context_majority_accuracy": figure(heads["context_majority_accuracy"], "share"),
            "majority_accuracy": figure(heads["majority_accuracy"], "share"),
            "chance_accuracy": figure(heads["chance_accuracy"], "share"),
            "guard_auc": figure(heads["guard_auc"], "area", target=0.8),
            "value_explained_variance": figure(heads["value_explained_variance"], "share", target=0.5),
            "latency_explained_variance": figure(heads["latency_explained_variance"], "share", target=0.5),
            "held_out_states": figure(report.states, "states"),
            "training_seconds": figure(seconds, "s"),
            "states_per_second": figure(progress.items_seen / seconds, "states/s"),
        },
    )


if __name__ == "__main__":
    main()
