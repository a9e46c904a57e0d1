"""Three-letter pieces of names: what an index on arrays needs to find a name by any piece of it."""

from __future__ import annotations

#: Characters of a gram; a piece shorter than this cannot be looked up.
GRAM_SIZE = 3


def name_grams(name: str) -> list[str]:
    """The distinct 3-grams of a name in lower case, sorted: `S1A_` → `["1a_", "s1a"]`.

    Lower case serves searches that mind case and those that do not alike; who minds it rechecks the name. A name that
    contains a piece contains all of the piece's grams. Shorter texts than three characters have none.
    """
    lowered = name.lower()
    return sorted({lowered[start : start + GRAM_SIZE] for start in range(len(lowered) - GRAM_SIZE + 1)})
