"""Run by the peers' own Python: `pgstac_load.py DSN FILE` loads items as `pypgstac load items FILE` does, and prints
how long that took, without the start of Python and the imports."""

import json
import sys
import time

from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

dsn, path = sys.argv[1:]
database = PgstacDB(dsn=dsn)
loader = Loader(db=database)
database.connect()
started, cpu = time.perf_counter(), time.process_time()
loader.load_items(path, Methods.insert, False, 10_000)
database.close()
print(json.dumps({"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}))
