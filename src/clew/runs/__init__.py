"""Runs: one training in one folder, listed, opened and compared from Python. No torch here.

for run in clew.runs.list():
    print(run.folder.name, run.status)
clew.runs.open("tactics").curves()
"""

from clew.runs.folder import Run as Run
from clew.runs.folder import find_run as open
from clew.runs.folder import list_runs as list

__all__ = ["Run", "list", "open"]
