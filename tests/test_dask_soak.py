"""The soak on Dask in a short form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "soak" / "dask_soak.py"


def test_no_job_is_lost_or_runs_twice_while_dask_workers_are_killed() -> None:
    """In 300 jobs, with two Dask workers killed and replaced. By hand: 10,000, with 20."""
    command = [sys.executable, str(SCRIPT), "--jobs", "300", "--murders", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 jobs in" in done.stdout
