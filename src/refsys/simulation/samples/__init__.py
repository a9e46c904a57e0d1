"""Format-true sample products: small rasters that open, manifests that agree with the bytes, orbits that exist."""

from refsys.simulation.samples.bulk import make_many
from refsys.simulation.samples.scenes import make_samples

__all__ = ["make_many", "make_samples"]
