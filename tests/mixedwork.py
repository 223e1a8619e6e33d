"""Jobs that go well or wrong in several ways; a worker imports this by name, and quickly."""

from __future__ import annotations

import os
import signal
from typing import Any

from gates import say
from workload import die, fail, forever, signal_self


def job(folder: str, gate: str, number: int, kind: str) -> int:
    """Leave a trace of having run, then do what that kind does; else the pid."""
    descriptor = os.open(f"{folder}/trace", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{number} ".encode())
    os.close(descriptor)
    if kind == "is killed":
        say(gate, number)
        forever()
    doing: dict[str, tuple[Any, ...]] = {
        "good": (os.getpid,),
        "raises": (fail, ValueError, number),
        "dies": (die, 3),
        "is shot": (signal_self, signal.SIGKILL),
        "is late": (forever,),
    }
    what, *args = doing[kind]
    return int(what(*args))
