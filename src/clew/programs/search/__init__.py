"""The search for a program: enumeration by cost, and the same search led by a model."""
