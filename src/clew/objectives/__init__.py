"""Objectives: what "better" means. One file each: model, batches, loss, evaluation."""
