"""What a proof-step model is worth: on held-out files, and to the prover."""
