"""`$metadata`: clients made with OData libraries read it first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from refsys.simulation.station.filters import ValueKind
from refsys.simulation.station.query import EntitySet

_TYPES: Final[Mapping[ValueKind, str]] = {
    "text": 'Type="Edm.String"',
    "id": 'Type="Edm.Guid" Nullable="false"',
    "instant": 'Type="Edm.DateTimeOffset" Precision="6"',
    "number": 'Type="Edm.Int64"',
    "boolean": 'Type="Edm.Boolean"',
}
_FRAME: Final = """<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
 <edmx:DataServices>
  <Schema Namespace="OData.CSC" xmlns="http://docs.oasis-open.org/odata/ns/edm">
%s   <EntityContainer Name="Container">
%s   </EntityContainer>
  </Schema>
 </edmx:DataServices>
</edmx:Edmx>
"""
_PRODUCT: Final = """   <ComplexType Name="Checksum">
    <Property Name="Algorithm" Type="Edm.String"/>
    <Property Name="Value" Type="Edm.String"/>
    <Property Name="ChecksumDate" Type="Edm.DateTimeOffset" Precision="6"/>
   </ComplexType>
   <ComplexType Name="TimeRange">
    <Property Name="Start" Type="Edm.DateTimeOffset" Precision="6"/>
    <Property Name="End" Type="Edm.DateTimeOffset" Precision="6"/>
   </ComplexType>
   <EntityType Name="Product" HasStream="true">
    <Key><PropertyRef Name="Id"/></Key>
    <Property Name="Id" Type="Edm.Guid" Nullable="false"/>
    <Property Name="Name" Type="Edm.String" Nullable="false"/>
    <Property Name="ContentType" Type="Edm.String"/>
    <Property Name="ContentLength" Type="Edm.Int64"/>
    <Property Name="OriginDate" Type="Edm.DateTimeOffset" Precision="6"/>
    <Property Name="PublicationDate" Type="Edm.DateTimeOffset" Precision="6"/>
    <Property Name="EvictionDate" Type="Edm.DateTimeOffset" Precision="6"/>
    <Property Name="Online" Type="Edm.Boolean"/>
    <Property Name="ProductionType" Type="Edm.String"/>
    <Property Name="Checksum" Type="Collection(OData.CSC.Checksum)"/>
    <Property Name="ContentDate" Type="OData.CSC.TimeRange"/>
   </EntityType>
"""
_ORDER_ACTION: Final = """   <Action Name="Order" IsBound="true">
    <Parameter Name="Product" Type="OData.CSC.Product"/>
    <Parameter Name="Priority" Type="Edm.Int64"/>
    <ReturnType Type="OData.CSC.Order"/>
   </Action>
"""


def edmx(sets: Iterable[EntitySet[Any]]) -> bytes:
    """The EDMX (OData CSDL 4.0) of entity sets."""
    types, names = "", ""
    for entities in sets:
        if entities.name == "Products":
            types += _PRODUCT
        else:
            types += _entity_type(entities)
        if entities.name == "Orders":
            types += _ORDER_ACTION
        names += f'    <EntitySet Name="{entities.name}" EntityType="OData.CSC.{entities.singular}"/>\n'
    return (_FRAME % (types, names)).encode()


def _entity_type(entities: EntitySet[Any]) -> str:
    keys = ["Id"] if "Id" in entities.kinds else ["SessionId", "Channel"]
    stream = ' HasStream="true"' if entities.name == "Files" else ""
    navigation = {
        name: f"OData.CSC.{target.singular}" if entities.is_single(name) else f"Collection(OData.CSC.{target.singular})"
        for name, target in entities.expands.items()
    }
    lines = [
        f'<EntityType Name="{entities.singular}"{stream}>',
        " <Key>" + "".join(f'<PropertyRef Name="{key}"/>' for key in keys) + "</Key>",
        *(f' <Property Name="{name}" {_TYPES[kind]}/>' for name, kind in entities.kinds.items()),
        *(f' <NavigationProperty Name="{name}" Type="{target}"/>' for name, target in navigation.items()),
        "</EntityType>",
    ]
    return "".join(f"   {line}\n" for line in lines)
