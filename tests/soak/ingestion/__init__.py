"""Passes of three satellites from four stations, with all faults, while the system is killed and frozen."""
