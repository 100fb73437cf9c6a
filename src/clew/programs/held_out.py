"""Tasks that no model is trained on: drawn as demonstrations are, excluded from them by what they compute.

`clew programs demonstrate --exclude FILE` leaves out every program that computes what a task of the file does, whatever
it is called and however it is written; the tasks that ship with Clew are always left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from clew.programs.behaviour import computes
from clew.programs.demonstrating import draw_tasks
from clew.programs.demonstrations import Demonstration, Demonstrations, read
from clew.programs.drawing import SIZES
from clew.programs.grammar import FULL, Grammar
from clew.programs.search.problem import Problem

LONGER = {10: 0.4, 11: 0.3, 12: 0.3}
"""Sizes of programs longer than any demonstration."""
PER_POOL = 12
"""Held-out tasks from one bank: fewer than of demonstrations, so that their inputs differ more."""


def excluded(paths: Iterable[Path]) -> frozenset[str]:
    """What the tasks of these files compute. Raises `EvidenceError` for a file that is wrong."""
    return frozenset().union(*(computes(each.task for each in read(path).items) for path in paths))


def held_out(
    count: int,
    seed: int,
    grammar: Grammar = FULL,
    *,
    longer: bool = False,
    exclude: frozenset[str] = frozenset(),
    tell: Callable[[], None] = lambda: None,
) -> Demonstrations:
    """`count` tasks with their programs and no states, none that ships with Clew or is in `exclude`.

    `longer`: programs of 10 to 12 nodes, which no demonstration has; the bank holds none that is equal. `tell` is
    called after each.
    """
    purpose = "longer tasks" if longer else "held-out tasks"
    sizes = LONGER if longer else (SIZES if grammar.name == FULL.name else None)
    made = draw_tasks(count, seed, grammar, purpose=purpose, sizes=sizes, exclude=exclude, per_pool=PER_POOL, tell=tell)
    items = tuple(Demonstration(each.task, each.drawn.actions) for each in made)
    return Demonstrations(grammar, items, {"seed": seed, "tasks": purpose})


def problems(path: Path) -> list[Problem]:
    """The tasks of a file as a search is given them. Raises `EvidenceError` with file and line."""
    return [each.problem for each in read(path).items]
