"""Floor 4: packages and the interfaces through which users find and download products."""
