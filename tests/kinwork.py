"""Jobs with processes of their own, for the tests of keepers; a worker imports them by name."""

from __future__ import annotations

import multiprocessing
import os

import workload
from gates import hold, say


def family(gate: str) -> None:
    """Say the pids of this process, of a child, and of a daemon, in that order, and stay."""
    child = os.fork()
    if child == 0:
        workload.forever()
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            os.write(writer, str(os.getpid()).encode())
            workload.forever()
        os._exit(0)
    os.waitpid(between, 0)
    say(gate, os.getpid(), child, os.read(reader, 20).decode())
    workload.forever()


def hold_the_gil(gate: str) -> None:
    """Say the pid, and never let go of the GIL again."""
    say(gate, os.getpid())
    workload.hold_the_gil()


def pool_map(method: str) -> list[int]:
    """Use a pool of multiprocessing."""
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(abs, [-1, -2])


def nested_map() -> list[int]:
    """Use an executor in a worker of another."""
    from ezpq_exec import PriorityExecutor

    with PriorityExecutor(2) as executor:
        return list(executor.map(abs, [-1, -2]))


def nested_hold(gate: str) -> int:
    """Wait for a job that waits in a worker of an executor of its own."""
    from ezpq_exec import PriorityExecutor

    with PriorityExecutor(1) as executor:
        return executor.submit(hold, gate).result()
