"""Passes: which downlinks are expected, and what became of each."""
