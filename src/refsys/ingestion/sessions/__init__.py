"""Acquisition sessions: which blocks there are, when one is complete, what production is told."""

from refsys.ingestion.sessions.model import Channel, Handover, Session, SessionBlocks, StoredBlock
from refsys.ingestion.sessions.names import session_file_of
from refsys.ingestion.sessions.noting import note_offers, note_said, note_stored, open_sessions
from refsys.ingestion.sessions.reading import fetch_session, list_handovers, list_sessions, session_blocks

__all__ = [
    "Channel",
    "Handover",
    "Session",
    "SessionBlocks",
    "StoredBlock",
    "fetch_session",
    "list_handovers",
    "list_sessions",
    "note_offers",
    "note_said",
    "note_stored",
    "open_sessions",
    "session_blocks",
    "session_file_of",
]
