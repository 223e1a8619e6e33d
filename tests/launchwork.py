"""What launched processes call in tests."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["die", "end", "tell", "use_an_executor"]


def end(code: int) -> None:
    """End with that exit code."""
    raise SystemExit(code)


def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def tell(descriptor: int, *args: object) -> None:
    """Write what came, and how modules are found."""
    os.write(descriptor, pickle.dumps((args, sys.path, sorted(sys.modules))))


def use_an_executor(answers: Connection) -> None:
    """As a process of multiprocessing."""
    from ezpq_exec import PriorityExecutor

    with PriorityExecutor(1) as executor:
        answers.send(executor.submit(abs, -2).result())
