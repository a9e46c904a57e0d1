"""Floor 2: what is known about each mission, as tables."""
