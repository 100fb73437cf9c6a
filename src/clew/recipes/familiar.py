"""Flags and keys that users of earlier self-play trainers know, in terms of the recipe's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clew.core.errors import UsageError
from clew.recipes.base import Training

_MIN_RATIO, _CONSTANT, _START = "lr_min_ratio", "no_lr_schedule", "start_step"


@dataclass(frozen=True)
class Familiar:
    """Names of an earlier tool: `renamed` says which of the recipe's own means the same, with the same value."""

    renamed: Mapping[str, str]

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether `values` that name no objective are a recipe of the earlier tool."""
        return False

    def nested(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`values` with the recipe's own keys in place of familiar ones that stand in its sections.

        Raises `UsageError`, naming `where`.
        """
        return dict(values)

    def flags(self, arguments: Sequence[str], training: Training) -> list[str]:
        """`arguments` with the recipe's own flags in place of the familiar ones.

        The learning rate at the end stays a share of the peak: `--lr-min-ratio` times `--lr`, where one is given;
        what is not given is that of `training`. `--start-step` also moves the schedule. Raises `UsageError`.
        """
        found: list[str] = []
        ratio: str | None = None
        waiting = list(arguments)
        while waiting:
            flag, joined, value = waiting.pop(0).partition("=")
            if flag == _flag(_CONSTANT):
                found += ["--schedule", "constant"]
                continue
            if flag == _flag(_MIN_RATIO):
                ratio = value if joined else _value(flag, waiting)
                continue
            name = flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else ""
            flag = _flag(self.renamed[name]) if name in self.renamed else flag
            found.append(f"{flag}{joined}{value}")
            if flag == _flag(_START):
                found += ["--schedule-start", value] if joined else [_value(flag, waiting, keep=True)]
                found += [] if joined else ["--schedule-start"]
        return found + _minimum_flag(found, ratio, training)

    def as_typed(self, given: Mapping[str, str], arguments: Sequence[str]) -> dict[str, str]:
        """`given` (key -> flag) with the flags as the user typed them in `arguments`, without those that follow."""
        typed = {argument.partition("=")[0] for argument in arguments}
        familiar = {_flag(own): _flag(name) for name, own in self.renamed.items() if _flag(name) in typed}
        found = {key: familiar.get(flag, flag) for key, flag in given.items()}
        return {key: flag for key, flag in found.items() if flag in typed}

    def keys(self, values: Mapping[str, Any], training: Training) -> dict[str, Any]:
        """`values` of a flat recipe with the recipe's own keys in place of the familiar ones, as `flags` has them."""
        found = {self.renamed.get(name, name): value for name, value in values.items()}
        if found.pop(_CONSTANT, False):
            found["schedule"] = "constant"
        if _START in found:
            found.setdefault("schedule_start", found[_START])
        ratio, rate = found.pop(_MIN_RATIO, None), found.get("learning_rate")
        if "min_learning_rate" not in found and (ratio is not None or rate is not None):
            found["min_learning_rate"] = _minimum(ratio, rate, training)
        return found


SELF_PLAY = Familiar(
    {
        "steps": "max_steps",
        "lr": "learning_rate",
        "grad_clip": "clip",
        "checkpoint_interval": "checkpoint_every",
        "log_interval": "log_every",
        "eval_interval": "evaluate_every",
        "lr_warmup_steps": "warmup_steps",
        "lr_warmup_start_ratio": "warmup_start_ratio",
        "lr_total_steps": "schedule_steps",
    }
)
SELF_PLAY_LOOP = Familiar(
    {
        **{name: own for name, own in SELF_PLAY.renamed.items() if name != "steps"},
        "mcts_start_sims": "simulations",
        "mcts_max_sims": "max_simulations",
        "mcts_sim_ramp_rate": "simulation_ramp",
    }
)
"""As `SELF_PLAY`, for `clew loop`, whose `--steps` are those of one iteration."""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _minimum(ratio: Any, rate: Any, training: Training) -> float:
    share = float(ratio) if ratio is not None else training.min_learning_rate / training.learning_rate
    return (float(rate) if rate is not None else training.learning_rate) * share


def _minimum_flag(found: Sequence[str], ratio: str | None, training: Training) -> list[str]:
    rate = _given("--learning-rate", found)
    if "--min-learning-rate" in found or (ratio is None and rate is None):
        return []
    try:
        return ["--min-learning-rate", repr(_minimum(ratio, rate, training))]
    except ValueError:
        # A number that is none is told by the flag's own check.
        if ratio is None:
            return []
        raise UsageError(f"{_flag(_MIN_RATIO)} {ratio}: a number is due, such as 0.1.") from None


def _given(flag: str, found: Sequence[str]) -> str | None:
    for index, argument in enumerate(found):
        if argument == flag and index + 1 < len(found):
            return found[index + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return None


def _value(flag: str, waiting: list[str], *, keep: bool = False) -> str:
    if not waiting:
        raise UsageError(f"{flag} needs a value. See `clew train alphazero --help`.")
    return waiting[0] if keep else waiting.pop(0)
