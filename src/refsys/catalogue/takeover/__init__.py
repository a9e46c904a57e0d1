"""Taking over what exists: products in our storage, the catalogues of other hubs and of the reference."""
