"""Ground stations as this system meets them: who asks them, how, and how much at the same time.

client     StationClient: authenticated requests over HTTP, and streams for threads
sharing    Stations: what all inboxes and processes together may ask of one: connections, bytes a second, its breaker
"""

from refsys.infra.stations.sharing import Held, Station, Stations

__all__ = ["Held", "Station", "Stations"]
