"""How a training reports itself, for recipes of tools whose users read it by program."""

from __future__ import annotations

from clew.recipes.base import Recipe, Section


class Reporting(Section):
    """Where the run's folder goes, and what is printed of it."""

    checkpoint_dir: str = ""
    """Folder that the run's folder is made in, where the command line does not say; empty: runs."""
    structured: bool = False
    """Whether the lines on stderr are JSON, and the last line of stdout is a summary of the run, also JSON."""


class ReportedRecipe(Recipe):
    """A recipe that says how its training reports itself."""

    reporting: Reporting = Reporting()
    """Where the run's folder goes, and what is printed of it."""
