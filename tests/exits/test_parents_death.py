"""However the program ends: every worker, and all that it started, is gone with it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from gates import Gate
from programs import started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes by pidfd")

# One job has a child, and a grandchild in a session of its own; the other never lets go of the GIL.
BUSY = """
ex = executor(3)
fs = [ex.submit(kinwork.family, GATE), ex.submit(kinwork.hold_the_gil, GATE)]
idle = ex.submit(os.getpid).result()
tell("ready")
"""

ENDS = {
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); signal.pause()",
    "SIGHUP": "os.kill(os.getpid(), signal.SIGHUP); signal.pause()",
    "SIGQUIT": "os.kill(os.getpid(), signal.SIGQUIT); signal.pause()",
    "abort": "os.abort()",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "os._exit": "os._exit(3)",
    "exec": "os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    "SIGKILL of its group": "os.killpg(0, signal.SIGKILL)",
}


@pytest.mark.parametrize("end", ENDS)
def test_all_is_gone_however_the_program_ends(end: str, gate: Gate, tmp_path: Path) -> None:
    """Jobs that hold the GIL, have left their session, or are orphans, included."""
    code = BUSY + "open(GATE + '/passes', 'rb', buffering=0).read(1)\n"
    with started(code + ENDS[end], gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.watch()
        gate.open()
        program.ends()


def test_all_is_gone_when_the_terminal_hangs_up(gate: Gate, tmp_path: Path) -> None:
    code = BUSY + "fs[0].result()"
    with started(code, gate.path, folder=tmp_path, how="terminal") as program:
        program.heard("ready")
        gate.heard(2)
        program.watch()
        program.hang_up()
        assert program.ends() == -signal.SIGHUP


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_all_is_gone_when_it_is_killed_from_outside(
    number: int, gate: Gate, tmp_path: Path
) -> None:
    with started(BUSY + "wait(fs)", gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.watch()
        program.signal(number)
        assert program.ends() == -number


def test_a_stopped_program_that_is_killed_leaves_nothing(gate: Gate, tmp_path: Path) -> None:
    with started(BUSY + "wait(fs)", gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.watch()
        program.signal(signal.SIGSTOP)
        program.signal(signal.SIGKILL)
        assert program.ends() == -signal.SIGKILL


def test_a_handler_for_sigterm_may_end_the_program_in_good_order(
    gate: Gate, tmp_path: Path
) -> None:
    """The program's own handlers are not touched: SystemExit leaves the block, and jobs finish."""
    code = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
with executor(1) as ex:
    f = ex.submit(hold, GATE)
    f.add_done_callback(lambda f: tell("done"))
    tell("ready")
    f.result()
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard()
        program.blocks()
        program.watch()
        program.signal(signal.SIGTERM)
        gate.open()
        assert program.ends() == 5
        assert "done" in program.said()


@pytest.mark.parametrize("end", ENDS)
def test_a_spawned_worker_ends_with_the_program(end: str, gate: Gate, tmp_path: Path) -> None:
    """Where there are no keepers, a job that lets go of the GIL is ended, with its children."""
    code = """
ex = executor(3)
fs = [ex.submit(workload.child, GATE), ex.submit(hold, GATE)]
idle = ex.submit(os.getpid).result()
tell("ready")
open(GATE + '/passes', 'rb', buffering=0).read(1)
"""
    with started(code + ENDS[end], gate.path, folder=tmp_path, engine="spawned") as program:
        program.heard("ready")
        gate.heard(2)
        program.watch()
        gate.open(3)
        program.ends()


@pytest.mark.parametrize("engine", ["processes", "spawned"])
@pytest.mark.parametrize("after", [0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_all_is_gone_if_it_is_killed_while_workers_start(
    engine: str, after: float, gate: Gate, tmp_path: Path
) -> None:
    """At whichever moment: before the root, a keeper or a worker is up, or as it comes up."""
    code = f"""
ex = executor(2)
fs = [ex.submit(hold, GATE) for _ in range(4)]
threading.Event().wait({after})
os.kill(os.getpid(), signal.SIGKILL)
"""
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        assert program.exit_code() == -signal.SIGKILL
        program.all_let_go()
        assert "/ezpq_exec/" not in program.said()  # loky may complain, but no code of ours


def test_all_is_gone_with_the_reusable_executor(gate: Gate, tmp_path: Path) -> None:
    code = """
from ezpq_exec import get_reusable_executor
fs = [get_reusable_executor(2).submit(kinwork.family, GATE) for _ in range(2)]
tell("ready")
wait(fs)
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.watch()
        program.signal(signal.SIGKILL)
        assert program.ends() == -signal.SIGKILL


def test_an_executor_in_a_job_ends_with_the_program(gate: Gate, tmp_path: Path) -> None:
    code = """
ex = executor(1)
f = ex.submit(kinwork.nested_hold, GATE)
tell("ready")
f.result()
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        (inner,) = gate.pids()
        assert inner in program.watch()
        program.signal(signal.SIGKILL)
        assert program.ends() == -signal.SIGKILL
        assert not os.path.exists(f"/proc/{inner}/exe")
