"""What makes traces and questions whose answers and steps can be checked."""

from clew.traces.generators.base import SPLITS, Generator, Split, split_of
from clew.traces.generators.table import GENERATORS, find_generator

__all__ = ["GENERATORS", "SPLITS", "Generator", "Split", "find_generator", "split_of"]
