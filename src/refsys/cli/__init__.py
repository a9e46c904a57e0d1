"""Floor 5: the `refsys` command."""
