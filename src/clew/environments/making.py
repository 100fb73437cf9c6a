"""Environments made from a recipe, and what goes wrong in them as sentences."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import Env

from clew.core.errors import ClewError, UsageError, nearest
from clew.recipes.ppo import EnvironmentSettings


class EnvironmentFaultError(ClewError):
    """An environment raised, gave no numbers, or never ended."""


def make(settings: EnvironmentSettings) -> Env[Any, Any]:
    """One environment as the recipe says. Raises `UsageError` for a name or arguments that there are not."""
    limit = {"max_episode_steps": settings.max_episode_steps} if settings.max_episode_steps else {}
    name = settings.id
    if "\0" in name or not name.strip():
        raise UsageError("environment.id names no environment; CartPole-v1 is one.")
    try:
        with _quietly():
            return gymnasium.make(name, disable_env_checker=True, **limit, **settings.arguments)
    except gymnasium.error.Error as error:
        known = [each for each in gymnasium.registry if "/" not in each or each.startswith("clew/")]
        hint = nearest(name, known) if name not in gymnasium.registry else ""
        raise UsageError(f"There is no environment {name}: {_line(error)}.{hint}") from error
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The environment {name} needs the module '{error.name}', which is not installed here."
        ) from error
    except Exception as error:  # what an environment's own constructor raises may be anything
        raise UsageError(
            f"The environment {name} could not be made with {settings.kwargs}: {type(error).__name__}: {_line(error)}."
        ) from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without Gymnasium's advice on newer versions, which is no concern of a run's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _here() -> Iterator[None]:
    """With modules of the folder that the command is run in."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.pop(0)


def registered(name: str) -> None:
    """Import the module before the colon of an environment's name, so that it is known. Raises `UsageError`."""
    module, colon, _ = name.partition(":")
    if not colon:
        return
    try:
        with _here():
            importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"The environment {name} is of the module {module}, which cannot be imported: {error}."
        ) from error


def _line(error: BaseException) -> str:
    said = " ".join(str(error).split()).rstrip(".")
    return (said if len(said) <= 300 else f"{said[:297]}...") or "it says nothing more"


def fault(name: str, doing: str, error: BaseException) -> EnvironmentFaultError:
    """The sentence for what an environment raised."""
    return EnvironmentFaultError(
        f"The environment {name} raised {type(error).__name__} {doing}: {_line(error)}. The run stopped there, and "
        "what was saved before is whole. Mend the environment; gymnasium.utils.env_checker.check_env may show more."
    )
