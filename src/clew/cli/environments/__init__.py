"""Commands of policies in environments."""
