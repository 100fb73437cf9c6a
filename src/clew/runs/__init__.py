"""Runs: one training in one folder. No torch here."""
