"""The scheduler against a model of it, on random events: the short form of `tests/soak/model.py`."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

MODEL = Path(__file__).parent / "soak" / "model.py"
STEPS = 20_000


def test_the_scheduler_does_what_the_model_says() -> None:
    """Whatever callers, workers and time do to it; the seed is printed with what fails."""
    seed = random.SystemRandom().randrange(10**9)
    run = subprocess.run(
        [sys.executable, str(MODEL), "--steps", str(STEPS), "--seed", str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-4000:]}"
    assert int(run.stdout.splitlines()[1].split()[0]) >= STEPS
