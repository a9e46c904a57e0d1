"""What is known about each mission, as tables: product types, their attributes, footprints and places in storage."""

from refsys.missions.model import AttributeDefinition, AttributeRule, Document, ProductType, Recognised
from refsys.missions.registry import TypeRegistry, load_types, storage_base

__all__ = [
    "AttributeDefinition",
    "AttributeRule",
    "Document",
    "ProductType",
    "Recognised",
    "TypeRegistry",
    "load_types",
    "storage_base",
]
