"""What is known about each mission, as tables: product types, their attributes, footprints and places in storage."""

from refsys.missions.model import COLLECTIONS, AttributeDefinition, AttributeRule, Document, ProductType, Recognised
from refsys.missions.registry import TypeRegistry, load_types, storage_base
from refsys.missions.tables import TableError

__all__ = [
    "COLLECTIONS",
    "AttributeDefinition",
    "AttributeRule",
    "Document",
    "ProductType",
    "Recognised",
    "TableError",
    "TypeRegistry",
    "load_types",
    "storage_base",
]
