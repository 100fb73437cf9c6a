"""What lies in an environment below Gymnasium's wrappers: its limit, its state, its masks."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
from gymnasium import Env
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from clew.core.errors import UsageError


def limit(env: Env[Any, Any]) -> int | None:
    """Steps after which an episode is truncated; None for no limit."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            return int(env._max_episode_steps)
        env = env.env
    return None


def gives_state(env: Env[Any, Any]) -> bool:
    """Whether the environment gives and takes its state, and no wrapper around it has one of its own."""
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, TimeLimit | OrderEnforcing | PassiveEnvChecker):
            return False
        env = env.env
    return callable(getattr(env, "get_state", None)) and callable(getattr(env, "set_state", None))


def given(env: Env[Any, Any]) -> Any:
    """The state that the environment gives. Raises `UsageError` for one that is no JSON."""
    give: Any = getattr(env.unwrapped, "get_state")  # noqa: B009
    state = give()
    try:
        return json.loads(json.dumps(state, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The state that {type(env.unwrapped).__name__}.get_state() gives is no JSON ({error}). Give plain "
            "numbers, strings, lists and dictionaries."
        ) from error


def take_back(env: Env[Any, Any], state: Any, length: int) -> None:
    """Give the environment back its state, `length` steps into an episode."""
    take: Any = getattr(env.unwrapped, "set_state")  # noqa: B009
    take(state)
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            setattr(env, "_elapsed_steps", length)  # noqa: B010
        env = env.env


def masks_of(env: Env[Any, Any]) -> Any:
    """What its method `action_masks` says."""
    masks: Any = getattr(env.unwrapped, "action_masks")  # noqa: B009
    return masks()
