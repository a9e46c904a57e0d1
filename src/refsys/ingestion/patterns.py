"""What is odd in the patterns of inboxes, tried with names that products have: told before the first look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from refsys.infra.settings import InboxSettings, Settings
from refsys.ingestion.reference.patterns import weaknesses
from refsys.missions import TypeRegistry
from refsys.missions.examples import examples

_SUFFIXES: Final = ("", ".zip", ".ZIP", ".tgz", ".TGZ", ".tar", ".TAR", ".tar.gz")
_SESSION_TYPES: Final = ("session-block", "session-information")
_SATELLITES: Final = ("S1A", "S2B", "S3A")
_SESSIONS: Final = ("%s_20241114143038056552", "L20171109175634707000125")
_SESSION_FILES: Final = ("ch1_DSDB_00001.raw", "ch2_DSDB_00001.aisp", "ch1_DSIB.xml", "ch2_DSIB.XML")
_SESSION_PATHS: Final = (
    "{file}",
    "{session}/{file}",
    "{satellite}/{session}/{file}",
    "{satellite}/{session}/ch01/{file}",
    "{satellite}/DCS_04_{session}_dat/ch_1/{file}",
    "SGS_/{satellite}/DCS_04_{session}_dat/ch_1/{file}",
)


def pattern_weaknesses(settings: Settings, types: TypeRegistry) -> Iterator[str]:
    """Sentences, each with the inbox in it."""
    known = {mission: list(_paths(types, mission)) for mission in {inbox.mission for inbox in settings.inbox}}
    for inbox in settings.inbox:
        for told in _of_inbox(inbox, known[inbox.mission]):
            yield f"inbox {inbox.id}: {told}"


def _of_inbox(inbox: InboxSettings, paths: Sequence[str]) -> Iterator[str]:
    for name in ("match", "ignore"):
        yield from (f"{name}: {told}" for told in weaknesses(getattr(inbox, name)))
    match, ignore = re.compile(inbox.match), re.compile(inbox.ignore)
    taken = [path for path in paths if match.fullmatch(path)]
    of_mission = f" of {inbox.mission}" if inbox.mission else ""
    if not taken:
        yield f"match fits none of {len(paths)} example names{of_mission}: nothing may ever be taken"
    elif all(ignore.fullmatch(path) for path in taken):
        yield f"ignore leaves out every example name{of_mission} that match fits: nothing may ever be taken"


def _paths(types: TypeRegistry, mission: str) -> Iterator[str]:
    """Names as stations offer them: products in archives or not, files of sessions in their folders."""
    for example in examples():
        own = types.types[example.type].mission or example.name[:2]
        if example.type not in _SESSION_TYPES and mission in ("", own):
            yield from (example.name + suffix for suffix in _SUFFIXES)
    for satellite in _SATELLITES:
        for session in (each % satellite if "%s" in each else each for each in _SESSIONS):
            if mission in ("", satellite[:2]):
                for file in (f"DCS_04_{session}_{end}" for end in _SESSION_FILES):
                    yield from (path.format(satellite=satellite, session=session, file=file) for path in _SESSION_PATHS)
