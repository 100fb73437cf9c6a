"""Commands of program search."""
