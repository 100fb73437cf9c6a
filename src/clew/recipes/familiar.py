"""Flags and keys that users of earlier trainers know, in terms of the recipe's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clew.core.errors import UsageError, nearest
from clew.recipes.base import Section, Training

_MIN_RATIO, _CONSTANT, _START = "lr_min_ratio", "no_lr_schedule", "start_step"


@dataclass(frozen=True)
class Familiar:
    """Names of an earlier tool: `renamed` says which of the recipe's own means the same, with the same value."""

    renamed: Mapping[str, str]

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether `values` that name no objective are a recipe of the earlier tool."""
        return False

    def completed(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`values` of a recipe of the earlier tool, which names no objective, with what it means besides."""
        return dict(values)

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


SUPERVISED_MARKS = frozenset(("dataset.num_samples", "model.hidden_dim", "model.input_dim", "model.action_dim"))
RL_MARKS = frozenset(
    ("dataset.num_trajectories", "dataset.trajectory_length", "training.gae_lambda", "training.clip_coef")
)
PREFERENCE_MARKS = frozenset(("training.beta", "dataset.num_pairs"))
"""Dotted keys by which a playbook's recipe of a kind is known: it has at least one, and none of the other kinds."""


@dataclass(frozen=True)
class Playbook(Familiar):
    """Keys of a training playbook: its recipes have sections (model, dataset, training) and name no objective."""

    kind: type[Section] = Section
    """The class of the recipe."""
    marks: frozenset[str] = frozenset()
    """Dotted keys of which such a recipe has at least one."""
    foreign: frozenset[str] = frozenset()
    """Dotted keys that it has none of: they are marks of another kind."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Dotted key of the playbook -> dotted key of the recipe that means the same, with the same value."""
    meant: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key of the recipe -> its value in a recipe that names no objective and does not say otherwise."""

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether it has a mark of this kind and of no other."""
        keys = {f"{section}.{key}" for section, inner in values.items() if isinstance(inner, Mapping) for key in inner}
        return bool(keys & self.marks) and not keys & self.foreign

    def completed(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The recipe in its own keys, with what a recipe of the playbook means. Raises `UsageError`."""
        found = self.nested(values, where)
        for dotted, value in self.meant.items():
            _put(found, dotted, value, replaces=False)
        return found

    def nested(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`values` with the recipe's own keys in place of the playbook's. Raises `UsageError` for an unknown key,
        naming the nearest of both, and for two that mean the same."""
        found: dict[str, Any] = {}
        sections = {dotted.partition(".")[0] for dotted in self.moved}
        for section, inner in values.items():
            if section not in sections or not isinstance(inner, Mapping):
                _put(found, str(section), inner, replaces=True)
                continue
            self._check_known(section, inner, where)
            for key, value in inner.items():
                dotted = f"{section}.{key}"
                own = self.moved.get(dotted, dotted)
                if not _put(found, own, value, replaces=False):
                    raise UsageError(f"{where}: '{dotted}' and '{own}' mean the same; give one of them.")
        return found

    def _check_known(self, section: str, keys: Iterable[Any], where: str) -> None:
        own = self.kind.model_fields[section].annotation if section in self.kind.model_fields else None
        familiar = [dotted.partition(".")[2] for dotted in self.moved if dotted.startswith(f"{section}.")]
        known = [*familiar, *(own.model_fields if isinstance(own, type) and issubclass(own, Section) else ())]
        for key in keys:
            if key not in known:
                raise UsageError(
                    f"{where}: unknown key '{section}.{key}'.{nearest(str(key), known)} Known here: {', '.join(known)}."
                )


def _put(values: dict[str, Any], dotted: str, value: Any, *, replaces: bool) -> bool:
    """Put `value` at a dotted key; return whether that was free, or holds it now since this `replaces`.

    A section is merged with what is there of it already.
    """
    section, _, key = dotted.rpartition(".")
    within = values
    if section:
        inner = values.get(section, {})
        if not isinstance(inner, Mapping):
            return True  # told by the check of the recipe: a section is due there
        within = values[section] = dict(inner)
    if isinstance(value, Mapping) and isinstance(within.get(key), Mapping):
        value = {**within[key], **value} if replaces else {**value, **within[key]}
    elif key in within and not replaces:
        return False
    within[key] = value
    return True


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
