"""One block of the guide, as it stands there but for the address, name and password."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.clients.telling import doing

code_path, url, user, password, folder = sys.argv[1:6]
code = Path(code_path).read_text("utf-8")
for written, meant in (("http://127.0.0.1:8080", url), ("anna", user), ("SECRET", password)):
    code = code.replace(written, meant)
os.chdir(folder)
with doing("run"):
    exec(compile(code, code_path, "exec"), {"__name__": "__main__"})
