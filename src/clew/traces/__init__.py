"""Reasoning traces: their schema, where they are kept, datasets built of them, and what answers are worth."""
