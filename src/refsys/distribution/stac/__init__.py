"""STAC 1.1: products as items, stored at publication and exported as stac-geoparquet."""
