"""Apart: ground stations and sample products, for demos and tests."""
