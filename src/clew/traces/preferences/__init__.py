"""Preferences: pairs of answers of which one is preferred, from files, from ratings, from a checker."""
