"""The bytes of offers on their way into storage: the same for all protocols.

leash       what stops the threads of an attempt
incoming    a file's bytes in order, over as many connections and ranges as it takes
digests     checksums of what passes by
arriving    archives, unpacked while they come or from a copy
placing     one offer: received, verified, stored
bringing    the offers of a step, in threads, into one batch of storage
"""

from refsys.ingestion.fetching.bringing import Bringing, Outcome

__all__ = ["Bringing", "Outcome"]
