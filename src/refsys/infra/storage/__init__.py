"""Object storage: bytes under keys, in a local folder or in an S3 bucket, behind one blocking interface.

Keys are relative paths (`S1/SAR/IW_GRDH_1S/2021/08/09/NAME/manifest.safe`). Calls block: steps make them in a thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from refsys.infra.storage.model import (
    Batch,
    BytesWriter,
    MissingObject,
    ObjectInfo,
    OpenBatch,
    Partial,
    Reader,
    Storage,
    StorageFull,
    object_key,
)

if TYPE_CHECKING:
    from refsys.infra.settings import Settings

__all__ = [
    "Batch",
    "BytesWriter",
    "MissingObject",
    "ObjectInfo",
    "OpenBatch",
    "Partial",
    "Reader",
    "Storage",
    "StorageFull",
    "object_key",
    "open_storage",
    "storage_folder",
]


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name. Raises ConfigurationError where it cannot be that."""
    if settings.storage_url.startswith("s3://"):
        from refsys.infra.storage.s3 import S3Storage

        return S3Storage.of(settings.storage_url, settings.s3)
    from refsys.infra.storage.local import LocalStorage

    return LocalStorage(storage_folder(settings))


def storage_folder(settings: Settings) -> Path:
    """The folder of local storage: the one that `storage_url` names, else one in the state folder."""
    if settings.storage_url:
        return Path(unquote(urlsplit(settings.storage_url).path))
    return settings.state_dir / "storage"
