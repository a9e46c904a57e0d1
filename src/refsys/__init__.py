"""The Copernicus Reference System: production and distribution for Sentinel-1, -2 and -3."""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when somebody asks: that takes as long as all else that `refsys --help` does."""
    if name == "__version__":
        from importlib.metadata import version

        return version("refsys")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
