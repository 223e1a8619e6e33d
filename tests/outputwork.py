"""Jobs that write to stdout and stderr, for workers to import by name."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

from gates import hold, say


def write_all(text: str) -> str:
    """By Python, by C, and by another process."""
    print(text)
    print("error", text, file=sys.stderr)
    ctypes.CDLL(None).puts(f"C {text}".encode())
    subprocess.run(["/bin/sh", "-c", f"echo child {text}; echo child >&2"], check=True)
    return text


def print_and_leave(text: str, path: str) -> int:
    """In a file, too: as often as this runs."""
    print(text)
    with open(path, "a", encoding="utf-8") as trace:
        trace.write(text)
    return os.getpid()


def write_and_hold(gate: str, text: str) -> int:
    print(text)
    return hold(gate)


def write_and_exit(text: str) -> None:
    print(text)
    sys.stdout.flush()
    os._exit(3)


def write_and_fail(path: str) -> None:
    """The first time it fails."""
    first = not os.path.exists(path)
    with open(path, "w", encoding="utf-8"):
        pass
    print("first" if first else "second")
    if first:
        raise ConnectionError


def write_bytes(count: int, last: bytes) -> None:
    os.write(1, b"\xff" * count + last)


def close_stdout() -> None:
    print("before")
    sys.stdout.flush()
    os.close(1)


def leave_writer(gate: str) -> int:
    """Return, while a process waits at the gate to write something."""
    pid = os.fork()
    if pid == 0:
        hold(gate, "held")
        os.write(1, b"late\n")
        say(gate, "written")
        os._exit(0)
    return pid


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))
