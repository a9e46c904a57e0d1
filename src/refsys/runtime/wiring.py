"""Who takes part: the packages that own a schema, and the stages that run steps."""

from __future__ import annotations

from refsys.infra.postgres import MIGRATED_PACKAGES

__all__ = ["MIGRATED_PACKAGES"]
