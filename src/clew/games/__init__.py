"""Games: rules, search, self-play, replay, arena, solvers. The host and the evidence of policy/value nets."""
