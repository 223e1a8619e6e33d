"""Real programs, started and watched from outside: what they print, and that nothing is left of them."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from conftest import eventually
from gates import PATIENCE

__all__ = ["Program", "started"]

TESTS = Path(__file__).parent
PROMPTLY = 15.0  # seconds for what takes a fraction of one; most of it is for a busy machine

PRELUDE = """
import os, signal, sys, threading
import kinwork, workload
from concurrent.futures import wait
from gates import hold, say
from ezpq_exec import ExecutorFull, PriorityExecutor, as_completed
GATE = sys.argv[1]

def executor(workers=2, **options):
    engine = os.environ.get("ENGINE", "processes")
    if engine == "spawned":
        from ezpq_exec.engines.spawned import SpawnedEngine
        engine = SpawnedEngine()
    return PriorityExecutor(workers, engine=engine, **options)

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())  # a line at once, whatever strikes
"""

_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
"""


class Program:
    """One that runs. It leads a session, and so a process group, of its own."""

    def __init__(self, process: subprocess.Popen[bytes], output: int, keys: int | None) -> None:
        self._process = process
        self._output = output
        self._keys = keys
        self._text = b""
        self._watched: dict[int, int] = {}  # pid to pidfd
        self.pid = process.pid

    def heard(self, line: str) -> None:
        """Wait for that line on its standard output."""
        while f"{line}\n".encode() not in self._text.replace(b"\r\n", b"\n"):
            assert self._read(), f"{line!r} was awaited, and this came: {self.said()}"

    def heard_while(self, line: str, act: Callable[[], object]) -> None:
        """As `heard`, with something done again and again until the line comes."""
        until = time.monotonic() + PATIENCE
        while f"{line}\n".encode() not in self._text:
            assert time.monotonic() < until, f"{line!r} was awaited, and this came: {self.said()}"
            act()
            if select.select([self._output], [], [], 0.2)[0]:
                assert self._read(), self.said()

    def said(self) -> str:
        """What it has printed; all of it, if it has ended."""
        return self._text.decode()

    def _read(self) -> bool:
        if not select.select([self._output], [], [], PATIENCE)[0]:
            return False
        try:
            data = os.read(self._output, 65536)
        except OSError:  # how a terminal ends
            return False
        self._text += data
        return bool(data)

    def is_blocked(self) -> bool:
        """Whether its main thread sleeps."""
        status = Path(f"/proc/{self.pid}/task/{self.pid}/stat").read_text()
        return status.rsplit(")", 1)[1].split()[0] == "S"

    def blocks(self) -> None:
        """Wait until its main thread sleeps."""
        assert eventually(self.is_blocked)

    def watch(self) -> list[int]:
        """Remember all the processes that it has now, and return their ids."""
        pids = [process.pid for process in psutil.Process(self.pid).children(recursive=True)]
        for pid in pids:
            if pid not in self._watched:
                try:
                    self._watched[pid] = os.pidfd_open(pid)
                except ProcessLookupError:
                    continue
        return pids

    def ctrl_c(self) -> None:
        """Have it, and all processes of its group, interrupted; by the terminal, if it has one."""
        if self._keys is not None:
            os.write(self._keys, b"\x03")
        else:
            os.killpg(self.pid, signal.SIGINT)

    def hang_up(self) -> None:
        """Close its terminal."""
        assert self._keys is not None
        os.close(self._keys)
        self._keys, self._output = None, os.open(os.devnull, os.O_RDONLY)

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to those that are left of its process group."""
        os.killpg(self.pid, number)

    def exit_code(self) -> int:
        """Wait for its end, and leave alone what may be left of it."""
        return self._process.wait(PROMPTLY)

    def ends_while(self, act: Callable[[], object]) -> int:
        """Wait for its end, with something done again and again until it comes; its exit code."""
        until = time.monotonic() + PROMPTLY
        while True:
            try:
                return self._process.wait(0.2)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < until, "it goes on"
            act()

    def all_let_go(self) -> None:
        """Wait until nobody holds its output any more: whoever it started, watched or not."""
        until = time.monotonic() + PROMPTLY
        while select.select([self._output], [], [], max(0.0, until - time.monotonic()))[0]:
            if not self._read():
                return
        raise AssertionError("somebody holds its output still")

    def ends(self) -> int:
        """Wait for its end, and of all that was watched; its exit code."""
        code = self.exit_code()
        self.all_end()
        return code

    def all_end(self) -> None:
        """Wait for the end of all that was watched."""
        until = time.monotonic() + PROMPTLY
        for pid, pidfd in self._watched.items():
            left = max(0.0, until - time.monotonic())
            assert select.select([pidfd], [], [], left)[0], f"{pid} is still there"
        while self._read():  # nobody holds its other end any more
            pass

    def close(self) -> None:
        """Kill what is left, and let go."""
        for pidfd in self._watched.values():
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(pidfd)
        self._process.kill()
        self._process.wait(PATIENCE)
        for descriptor in {self._output, self._keys} - {None}:
            assert descriptor is not None
            os.close(descriptor)


@contextmanager
def started(
    code: str,
    gate: str,
    *,
    folder: Path,
    how: str = "script",
    engine: str = "processes",
) -> Iterator[Program]:
    """Start a program: as a "script", by "-m", by "-c", or as a script in a "terminal"."""
    text = PRELUDE + (_TERMINAL if how == "terminal" else "") + code
    (folder / "program.py").write_text(text)
    what = {"-m": ["-m", "program"], "-c": ["-c", text]}.get(how, [str(folder / "program.py")])
    root = TESTS.parent
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (root, TESTS, folder))),
        "ENGINE": engine,
    }
    keys = None
    if how == "terminal":
        keys, theirs = pty.openpty()
        output = keys
    else:
        output, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, *what, gate],
            stdin=theirs if keys is not None else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=environ,
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    program = Program(process, output, keys)
    try:
        yield program
    finally:
        program.close()
