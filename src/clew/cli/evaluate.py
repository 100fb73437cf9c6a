"""`clew evaluate`: what a bundle is worth on held-out data."""

from __future__ import annotations

from clew.cli.main import Commands, dispatch

COMMANDS: Commands = {
    "proofs": ("clew.cli.proofs.evaluate", "bits per byte, next lines found, and what guidance is worth to the prover"),
    "games": ("clew.cli.games.evaluate", "games against random, perfect or searching players, or another model"),
}


def main(arguments: list[str]) -> int:
    """Run `clew evaluate`."""
    return dispatch(
        COMMANDS, arguments, program="clew evaluate", about="Evaluates a model: on held-out data, or in games."
    )
