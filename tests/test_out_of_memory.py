"""The system's own killer, in a memory cgroup that is too small: it takes one worker, one job fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import eventually
from gates import PATIENCE, Gate
from memorywork import MEBIBYTE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cgroups are for Linux")

LIMIT = 300 * MEBIBYTE

_PROGRAM = """
import os, sys
from pathlib import Path
Path(sys.argv[2], "cgroup.procs").write_text(str(os.getpid()))  # with all that it starts
from ezpq_exec import PriorityExecutor
from gates import hold
from memorywork import grow
with PriorityExecutor(2) as ex:
    other = ex.submit(hold, sys.argv[1], "other")
    error = ex.submit(grow, sys.argv[1]).exception()
    print(type(error).__name__, error.signal, "lack of memory" in str(error), flush=True)
    assert not other.done()
    print(list(ex.map(abs, [-1, -2, -3])), flush=True)
    other.result()
    print(ex.stats().workers_died, flush=True)
"""


def _own_group() -> tuple[Path, str]:
    """The directory of this process's memory cgroup, and the name of the file with its limit."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/"), "memory.limit_in_bytes"
        if not controllers:
            unified = Path("/sys/fs/cgroup") / path.lstrip("/")
            if (unified / "memory.max").exists():
                return unified, "memory.max"
    return Path("/nonexistent"), ""


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A cgroup below this process's own in which there is little memory."""
    above, limit = _own_group()
    group = above / f"ezpq_exec-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"this machine lets nobody make a memory cgroup: {error}")
    try:
        if not (group / limit).exists():
            pytest.skip("cgroups below this process's own have no limit of memory")
        (group / limit).write_text(str(LIMIT))
        yield group
    finally:
        assert eventually(lambda: _is_removed(group))


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # somebody is still in it
        return False
    return True


def test_the_systems_killer_fails_one_job(small_group: Path, gate: Gate) -> None:
    """The other worker, the executor and the program go on; the error says what it may have been."""
    tests = Path(__file__).parent
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tests.parent, tests)))}
    command = [sys.executable, "-c", _PROGRAM, gate.path, str(small_group)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as program:
        assert program.stdout is not None
        assert program.stdout.readline().split() == ["WorkerDied", "SIGKILL", "True"]
        assert program.stdout.readline() == "[1, 2, 3]\n"
        gate.open()
        assert program.stdout.readline() == "1\n"
        assert program.wait(PATIENCE) == 0
