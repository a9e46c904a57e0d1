"""OData as the Copernicus Data Space Ecosystem (CDSE) speaks it, at `/odata/v1` (spec: standards 2.1, 2.14)."""
