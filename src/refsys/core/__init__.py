"""Floor 0: the vocabulary. Pure values and functions; no input or output of any kind."""
