"""Floor 1: what the system stands on: settings, PostgreSQL, work, storage, XML, telemetry."""
