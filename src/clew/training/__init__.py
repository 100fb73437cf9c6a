"""Training: the one loop, what it runs on, and what it saves."""
