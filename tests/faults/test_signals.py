"""Signals interrupt system calls all the time (EINTR), in the parent and in the workers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gates import Gate
from programs import started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, calls are not interrupted")

_STORM = """
from ezpq_exec import JobKilled, JobTimeout

def storm():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

def calm():
    signal.setitimer(signal.ITIMER_REAL, 0)

storm()
ex = executor(2, initializer=storm)
payload = bytes(3_000_000)
echoes = [ex.submit(workload.echo, payload) for _ in range(10)]
sums = list(ex.map(workload.add, range(2000), range(2000)))
assert sums == list(range(0, 4000, 2))
assert all(future.result(60) == payload for future in echoes)
assert isinstance(ex.options(timeout=0.1).submit(workload.forever).exception(60), JobTimeout)
held = ex.submit(hold, GATE)
while not held.running(): pass
assert held.kill()
assert isinstance(held.exception(60), JobKilled)
assert [f.result() for f in as_completed([ex.submit(abs, -1)], 60)] == [1]
ex.shutdown()
calm()
tell("all well")
"""


@pytest.mark.parametrize("engine", ["processes", "spawned"])
def test_a_storm_of_signals_disturbs_nothing(engine: str, gate: Gate, tmp_path: Path) -> None:
    """A thousand a second, handled in Python: results, payloads, timeouts and kills are as ever."""
    with started(_STORM, gate.path, folder=tmp_path, engine=engine) as program:
        program.heard("all well")
        assert program.ends() == 0
