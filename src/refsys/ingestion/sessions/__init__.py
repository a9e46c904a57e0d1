"""Acquisition sessions: which blocks there are, when one is complete, what production is told."""

from refsys.ingestion.sessions.names import session_file_of
from refsys.ingestion.sessions.noting import note_offers, note_said, note_stored, open_sessions

__all__ = ["note_offers", "note_said", "note_stored", "open_sessions", "session_file_of"]
