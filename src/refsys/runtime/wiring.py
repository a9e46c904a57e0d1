"""Who takes part: the packages that own a schema, and the stages that run steps."""

from __future__ import annotations

from typing import Final

#: Packages with migrations, in the order of their floors.
MIGRATED_PACKAGES: Final = ("refsys.infra", "refsys.catalogue", "refsys.ingestion", "refsys.distribution")
