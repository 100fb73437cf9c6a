"""Objective `alphazero`: a policy/value net from self-play: objective, feed, gate, publishing, and the hooks that join
them to the loop."""

from clew.objectives.alphazero.objective import AlphaZero as AlphaZero
