"""The Copernicus Reference System: production and distribution for Sentinel-1, -2 and -3."""

from importlib.metadata import version

__version__ = version("refsys")
