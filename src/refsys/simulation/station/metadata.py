"""`$metadata` and the service document: clients made with OData libraries read them first."""

from __future__ import annotations

from typing import Final

METADATA: Final = b"""<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
 <edmx:DataServices>
  <Schema Namespace="OData.CSC" xmlns="http://docs.oasis-open.org/odata/ns/edm">
   <ComplexType Name="Checksum">
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
   <EntityContainer Name="Container">
    <EntitySet Name="Products" EntityType="OData.CSC.Product"/>
   </EntityContainer>
  </Schema>
 </edmx:DataServices>
</edmx:Edmx>
"""

SERVICE_DOCUMENT: Final = {
    "@odata.context": "$metadata",
    "value": [{"name": "Products", "kind": "EntitySet", "url": "Products"}],
}
