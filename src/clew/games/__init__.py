"""Games: rules, search, self-play, replay, arena, solvers. The host and the evidence of policy/value nets."""

from clew.games.compiled import forget_stale_code

forget_stale_code()
