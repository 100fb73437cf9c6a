"""A task's name or file to a program that fits its examples: what `clew synthesize` and `clew.synthesize` run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from clew.programs.contracts import find_task
from clew.programs.guidance import BundleGuide, Guide
from clew.programs.search.guided import search
from clew.programs.search.problem import Budget, Found, Line, of_task
from clew.programs.task import Task


def synthesize(
    task: Task | Path | str,
    model: Guide | Path | str | None = None,
    *,
    how: str = "auto",
    trace: Callable[[Line], None] | None = None,
    **budget: Any,
) -> Found:
    """Search for a program that fits the examples of `task`: a `.dsl` file, or the name of one that ships.

    `model`: a guide, or the folder of its bundle; None: by size. `how`: one of
    `clew.programs.search.guided.SEARCHES`. `budget`: fields of `Budget`, such as `seconds=2`. Raises `ProgramError`
    for a task that is wrong, `BundleError` for a model that is.
    """
    wanted = task if isinstance(task, Task) else find_task(str(task))
    guide = BundleGuide(model) if isinstance(model, (str, Path)) else model
    return search(of_task(wanted), guide, how=how, budget=replace(Budget(), **budget), trace=trace)
