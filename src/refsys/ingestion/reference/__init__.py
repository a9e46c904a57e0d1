"""Configuration of the reference's ingestion, read from its stream parameters and written as ours."""
