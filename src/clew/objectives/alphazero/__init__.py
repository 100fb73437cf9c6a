"""Objective `alphazero`: a policy/value net from self-play: objective, feed, gate, publishing, and what it does beside
the loop."""

from clew.objectives.alphazero.objective import prepare as prepare
