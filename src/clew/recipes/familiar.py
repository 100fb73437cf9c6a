"""Flags that users of earlier self-play trainers know, in terms of the recipe's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clew.core.errors import UsageError

RENAMED = {
    "--steps": "--max-steps",
    "--lr": "--learning-rate",
    "--grad-clip": "--clip",
    "--checkpoint-interval": "--checkpoint-every",
    "--log-interval": "--log-every",
    "--eval-interval": "--evaluate-every",
    "--lr-warmup-steps": "--warmup-steps",
    "--lr-warmup-start-ratio": "--warmup-start-ratio",
    "--lr-total-steps": "--schedule-steps",
}
"""Familiar flag -> the recipe's, with the same value."""

_MIN_RATIO = "--lr-min-ratio"
_CONSTANT = "--no-lr-schedule"


def translated(
    arguments: Sequence[str], *, peak: float, lowest: float, renamed: Mapping[str, str] = RENAMED
) -> list[str]:
    """`arguments` of `clew train alphazero` with the recipe's own flags in place of the familiar ones.

    The learning rate at the end stays a share of the peak: `--lr-min-ratio` times `--lr`, where one is given;
    `peak` and `lowest` are the recipe's. `--start-step` also moves the schedule. Raises `UsageError`.
    """
    found: list[str] = []
    ratio: str | None = None
    waiting = list(arguments)
    while waiting:
        flag, joined, value = waiting.pop(0).partition("=")
        if flag == _CONSTANT:
            found += ["--schedule", "constant"]
            continue
        if flag == _MIN_RATIO:
            ratio = value if joined else _value(flag, waiting)
            continue
        flag = renamed.get(flag, flag)
        found.append(f"{flag}{joined}{value}")
        if flag == "--start-step":
            found += ["--schedule-start", value] if joined else [_value(flag, waiting, keep=True), "--schedule-start"]
    return found + _minimum(found, ratio, peak, lowest)


LOOP_RENAMED = {
    **{flag: own for flag, own in RENAMED.items() if flag != "--steps"},
    "--mcts-start-sims": "--simulations",
    "--mcts-max-sims": "--max-simulations",
    "--mcts-sim-ramp-rate": "--simulation-ramp",
}


def translated_for_loop(arguments: Sequence[str], *, peak: float, lowest: float) -> list[str]:
    """As `translated`, for `clew loop`, whose `--steps` are those of one iteration."""
    return translated(arguments, peak=peak, lowest=lowest, renamed=LOOP_RENAMED)


def _minimum(found: Sequence[str], ratio: str | None, peak: float, lowest: float) -> list[str]:
    rate = _given("--learning-rate", found)
    if "--min-learning-rate" in found or (ratio is None and rate is None):
        return []
    try:
        share = float(ratio) if ratio is not None else lowest / peak
        return ["--min-learning-rate", repr((float(rate) if rate is not None else peak) * share)]
    except ValueError:
        # A number that is none is told by the flag's own check.
        if ratio is None:
            return []
        raise UsageError(f"{_MIN_RATIO} {ratio}: a number is due, such as 0.1.") from None


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
