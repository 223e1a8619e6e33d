"""Programs without a stdout, or without a folder: their jobs run as anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gates import PATIENCE

TESTS = Path(__file__).parent
WITHOUT = {
    "streams": "sys.stdout = sys.stderr = None",
    "an open stream": "sys.stdout = open(os.devnull, 'w'); sys.stdout.close()",
    "a stream that anybody reads": """
heard, told = os.pipe()
sys.stdout = os.fdopen(told, "w")
sys.stdout.write("unread")
os.close(heard)
""",
    "a folder": """
os.mkdir("gone")
os.chdir("gone")
os.rmdir(os.getcwd())
""",
    "the descriptor 0": "os.close(0)",
    "the descriptor 1": "os.close(1)",
    "the descriptor 2": "os.close(2)",
    "all three": "os.closerange(0, 3)",
}
PROGRAM = '''
import os, sys, workload
from ezpq_exec import PriorityExecutor
from ezpq_exec.engines.spawned import SpawnedEngine
answer = os.dup(1)
{without}
before = sys.stdout

def say():
    """Write to whatever is in the place of stdout and stderr."""
    return workload.add(0 * os.write(1, b" ") + 40, 0 * os.write(2, b" ") + 2)

with PriorityExecutor(1, engine={engine}) as executor:
    total = executor.submit(say).result()
os.write(answer, str((total, sys.stdout is before)).encode())
os._exit(0)
'''


@pytest.mark.parametrize("engine", ["'processes'", "SpawnedEngine()"])
@pytest.mark.parametrize("without", WITHOUT)
def test_jobs_run_in_a_program_without(without: str, engine: str, tmp_path: Path) -> None:
    """And its streams, such as they are, are what they were."""
    if without == "a folder" and sys.platform != "linux":
        pytest.skip("a thread of its own folder is Linux's")
    program = PROGRAM.format(without=WITHOUT[without], engine=engine)
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr.strip(), done.returncode) == ("(42, True)", "", 0)
