"""Floor 5: roles, wiring, embedded services, supervision."""
