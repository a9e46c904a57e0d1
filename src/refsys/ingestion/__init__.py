"""Floor 4: from station interfaces to object storage."""
