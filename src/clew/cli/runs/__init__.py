"""Commands about runs of any family."""
