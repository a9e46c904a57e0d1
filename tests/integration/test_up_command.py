"""`refsys up` as a person runs it: a process in the foreground."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

REFSYS = Path(sys.executable).with_name("refsys")


def test_ctrl_c_stops_it_without_a_complaint(tmp_path):
    output = tmp_path / "output"
    with output.open("wb") as file:
        words = [REFSYS, "up", "--state", tmp_path / "state", "--set", "http.processes=1"]
        process = subprocess.Popen(words, stdout=file, stderr=file)
    try:
        wait_until(lambda: process.poll() is not None or "refsys is up at http://127." in output.read_text(), 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, output.read_text()
    finally:
        process.kill()
    told = output.read_text()
    assert "stopping …" in told
    assert "Traceback" not in told


def test_it_says_what_is_wrong_with_a_type_table_before_it_starts_anything(tmp_path):
    table = tmp_path / "types.yaml"
    table.write_text("types:\n  - id: mine\n")
    words = [REFSYS, "up", "--state", tmp_path / "state", "--set", f'type_tables=["{table}"]']
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "row 'mine' (line 2), column 'name': field required" in done.stderr
    assert not (tmp_path / "state").exists()
