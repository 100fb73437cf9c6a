"""Commands of proof-step models."""
