"""Simulated stations that offer files: XBIP (WebDAV) and EDIP (FTP, FTPS), with faults by script.

with XbipStation() as station:
    session = station.session("S1A_20241114143038056552")
    session.publish_channel(1, blocks=3)
    session.publish_dsib(1)
    …                                      # an inbox polls station.url

The servers come with the extra `demo`.
"""

from refsys.simulation.files.base import FileStation
from refsys.simulation.files.ftp import EdipStation
from refsys.simulation.files.tree import Layout, Node, Tree
from refsys.simulation.files.webdav import XbipStation

__all__ = ["EdipStation", "FileStation", "Layout", "Node", "Tree", "XbipStation"]
