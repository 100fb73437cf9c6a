"""Monte Carlo tree search guided by a policy/value evaluator: PUCT and Gumbel, many games in lockstep.

The leaves of all games (lanes) are evaluated as one batch a wave; between two evaluations everything is compiled.
"""

from clew.games.search.search import Evaluate, Search, SearchResult, SearchSettings, uniform

__all__ = ["Evaluate", "Search", "SearchResult", "SearchSettings", "uniform"]
