"""OData as the Production Interface Delivery Point (PRIP) speaks it, at `/prip/odata/v1` (spec: distribution 6)."""
