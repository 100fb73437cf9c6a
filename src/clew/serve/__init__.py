"""Traces, datasets and trainings over HTTP."""
