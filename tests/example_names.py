"""Names that products have, and what each one says: at least one for every type of the tables."""

from refsys.missions.examples import examples

#: type, name, product type, satellite, place in storage without the date
EXAMPLES = [(each.type, each.name, each.product_type, each.satellite, each.key) for each in examples()]
