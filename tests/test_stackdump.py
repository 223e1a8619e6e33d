"""Stack dumps of a process about which little is to be learnt."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")

_A_WORKER = """
import os, signal, time
from ezpq_exec.engines import stackdump, tree

dump = stackdump.Dump()
heard, told = os.pipe()
me = os.getpid()
pid = os.fork()
if pid == 0:
    tree.die_with_parent(me)
    dump.become_source()
    os.write(told, b".")
    while True:
        signal.pause()
dump.become_reader()
os.read(heard, 1)

def refuse(*args, **kwargs):
    raise PermissionError(1, "Operation not permitted")

def end():
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


def said(code: str) -> list[str]:
    """What that program prints, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", _A_WORKER + code],
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_a_worker_that_is_gone_has_no_stacks() -> None:
    """The keeper goes on, and what the worker had said before is not taken for an answer."""
    lines = said("""
dump.take(pid)
print(dump.text() is not None)
end()
dump.take(pid)
print(dump.text(), dump.is_due)
""")
    assert lines == ["True", "None False"]


def test_a_worker_that_cannot_be_sent_a_signal_has_no_stacks() -> None:
    """One that has become another user's, which only its end will show."""
    lines = said("""
kill, stackdump.os.kill = os.kill, refuse
dump.take(pid)
print(dump.text(), dump.is_due)
stackdump.os.kill = kill
end()
""")
    assert lines == ["None False"]


def test_a_stopped_worker_is_not_waited_for() -> None:
    """However often it is asked: it cannot answer before it goes on, and no signal is left for then."""
    lines = said("""
os.kill(pid, signal.SIGSTOP)
os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
dump.take(pid)
dump.take(pid)
print(dump.text(), dump.is_due)
end()
""")
    assert lines == ["None False"]
