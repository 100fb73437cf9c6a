"""Gymnasium environments as evidence: what they take and give, many of them stepped together, their state kept, and
trajectories that were stored. No torch."""
