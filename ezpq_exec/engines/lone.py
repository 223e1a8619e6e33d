"""A worker process without a keeper: it reports its jobs' starts, and ends when the parent is gone.

Nothing kills it when its parent dies but a thread of its own, which must get the GIL for that: a
job that holds the GIL goes on until it lets go.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from multiprocessing import current_process

from . import severed
from .deafness import ignore
from .nesting import descend
from .worker import serve

__all__ = ["main", "no_initializer"]


def main(sock: socket.socket, lifeline: socket.socket, deep: int) -> None:
    """Run the jobs that come down `sock`, until it is closed; or until `lifeline` is torn."""
    descend(deep)
    ignore((signal.SIGINT,))  # it is the parent that decides what that ends
    # What loky set for this process would be passed on to pools that jobs start, and fail there.
    multiprocessing.set_start_method(None, force=True)
    threading.Thread(
        target=_die_with, args=(lifeline,), name="ezpq_exec-lifeline", daemon=True
    ).start()
    with severed.named():
        serve(sock, None, None)


def no_initializer() -> None:
    """Do nothing. It is after its initializer that a worker says it is ready; so each has one."""


def _die_with(lifeline: socket.socket) -> None:
    """Wait until the parent is gone; then kill what this process started, and itself."""
    try:
        lifeline.recv(1)
    except OSError:
        pass  # torn, too
    try:
        from loky.backend.utils import kill_process_tree

        kill_process_tree(current_process())
    finally:
        os._exit(1)
