"""Work in stages that can be broken off anywhere: each is done once, whatever was killed between, and noted when done.

A stage leaves files that are written whole or not at all, and is gone through again where it was not noted as done: so
it must find what an earlier try of it left. What needs torch runs as a `clew` command of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import EXIT_DONE, EXIT_INTERRUPTED, ClewError, UsageError
from clew.core.supervisor import Child, Supervisor
from clew.recipes import base
from clew.recipes.base import Recipe
from clew.runs.progress import InterruptedRunError

STATE, RECIPE = "loop.json", "recipe.yaml"
HEADING = "# Written by clew loop."

Say = Callable[[str], None]


def say_on_stderr(text: str) -> None:
    """How a loop speaks."""
    print(f"loop: {text}", file=sys.stderr, flush=True)


class Stages:
    """The stages of a loop in its folder, where the state and the recipe of an earlier call are gone on with."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        *,
        what: str,
        say: Say = say_on_stderr,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`what`: what the loop is about, as in "traces". `more`: further keys of the state, as they are at first.

        Raises `UsageError` where the folder is of another loop, or of this one with another recipe.
        """
        self.folder, self.say = folder, say
        self.state = self._begun(recipe, what, dict(more or {}))

    def _begun(self, recipe: Recipe, what: str, more: dict[str, Any]) -> dict[str, Any]:
        path, sha256 = self.folder / STATE, base.sha256(recipe)
        if files.is_file(path):
            state = files.read_json(path, what="the state of a loop")
            if not isinstance(state, dict) or not {"recipe_sha256", "stages", *more} <= state.keys():
                raise UsageError(f"{path} is not the state of a loop over {what}. Name another --folder.")
            if state["recipe_sha256"] != sha256:
                raise UsageError(
                    f"The loop in {self.folder} was begun with another recipe, which is {self.folder / RECIPE}. Go on "
                    "with that one, or name another --folder."
                )
            return state
        files.check_output(self.folder / RECIPE, files.text_output("the recipe of a loop", HEADING))
        files.write_text(self.folder / RECIPE, f"{HEADING}\n{base.to_yaml(recipe)}")
        return {"recipe_sha256": sha256, "stages": {}, **more}

    def do(self, name: str, work: Callable[[], None]) -> None:
        """Do a stage, unless it was done, and note how long it took."""
        if name in self.state["stages"]:
            return
        self.say(name)
        began = time.monotonic()
        try:
            work()
        except KeyboardInterrupt:
            raise self.interrupted() from None
        self.state["stages"][name] = round(time.monotonic() - began, 1)
        files.write_json(self.folder / STATE, self.state)

    def call(self, supervisor: Supervisor, what: str, *arguments: str) -> None:
        """Run a `clew` command to its end. Raises `InterruptedRunError`, or `ClewError` where it failed."""
        child = supervisor.start(Child(what, list(arguments), restarts=0))
        try:
            while child.running:
                time.sleep(0.05)
        except KeyboardInterrupt:
            self.say(f"stopping: the {what} ends first")
            child.ask_to_end()
            child.wait()
            raise self.interrupted() from None
        if child.code == EXIT_INTERRUPTED:
            raise self.interrupted()
        if child.code != EXIT_DONE:
            raise ClewError(
                f"The {what} ended with exit code {child.code}; what it said stands above. What was done before it is "
                "kept: mend the cause and give the same command again."
            )

    def interrupted(self) -> InterruptedRunError:
        """What is raised when the user stops the loop."""
        return InterruptedRunError(f"stopped; go on with the same command, in the same folder ({self.folder})")
