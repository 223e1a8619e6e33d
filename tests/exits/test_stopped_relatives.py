"""What is stopped in the program's process group does it no harm when a worker ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gates import Gate
from programs import started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers need Linux")

# A process group without a tie to another in its session is what services have, and what runs in a
# container; `started` makes one. The kernel sends SIGHUP to all of it when the last such tie goes
# and something in it is stopped.
STOPPED = """
import signal, subprocess
hung_up = []
signal.signal(signal.SIGHUP, lambda *_: hung_up.append(1))
stopped = subprocess.Popen(["sleep", "600"])
stopped.send_signal(signal.SIGSTOP)
while open(f"/proc/{stopped.pid}/stat").read().rpartition(")")[2].split()[0] != "T":
    pass
"""

ENDS = {
    "closes": "ex = executor(1); ex.submit(abs, -1).result(); ex.shutdown()",
    "kills": """
ex = executor(1)
error = ex.options(timeout=0.1).submit(signal.pause).exception()
assert isinstance(error, TimeoutError), error
ex.shutdown()
""",
    "resizes": "ex = executor(2); list(ex.map(abs, range(9))); ex.resize(1); ex.shutdown()",
}


@pytest.mark.parametrize("way", ENDS)
def test_a_worker_that_ends_does_not_hang_up_its_program(
    way: str, gate: Gate, tmp_path: Path
) -> None:
    """Neither by itself nor killed, though a child of the program is stopped."""
    code = f"{STOPPED}\n{ENDS[way]}\nprint('hung up:', hung_up)\nstopped.kill(); stopped.wait()\n"
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("hung up: []")
        assert program.ends() == 0
