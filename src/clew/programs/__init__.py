"""Programs: a small typed language of integers and lists, its tasks, the search for a program that fits a task's
examples, demonstrations of that search, and what guidance is worth to it. No torch."""

from pathlib import Path

from clew.core.compiled import forget_stale_code

forget_stale_code(Path(__file__).parent)
