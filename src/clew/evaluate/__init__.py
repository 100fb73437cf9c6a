"""What a bundle is worth: figures on held-out evidence, and what its guidance is worth to a search. No torch."""
