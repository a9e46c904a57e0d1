"""Floor 4: what operators do across stages: the parking lot, replay."""
