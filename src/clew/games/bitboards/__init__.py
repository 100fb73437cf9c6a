"""Rules as compiled functions of bitboards: what the search runs between two evaluations."""
