"""Floor 3: the one owner of products: recognise, extract, describe, search, publish."""
