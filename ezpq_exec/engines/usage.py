"""The CPU time and peak memory of this process, and the present memory of any process."""

from __future__ import annotations

import os
import sys
import time

__all__ = ["resident", "usage"]

_LINUX = sys.platform == "linux"

if sys.platform == "win32":

    def usage() -> tuple[float, int]:
        """CPU seconds of this process; its peak is not known."""
        return time.process_time(), 0

else:
    import resource

    _of = resource.getrusage
    _SELF, _CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    _RSS_UNIT = 1 if sys.platform == "darwin" else 1024

    def usage() -> tuple[float, int]:
        """CPU seconds of this process and of the children it waited for, and its peak in bytes."""
        own_user, own_system, peak, *_ = _of(_SELF)
        user, system, *_ = _of(_CHILDREN)
        return own_user + own_system + user + system, peak * _RSS_UNIT


def resident(pid: int) -> int:
    """The bytes of memory that a process has, what it shares included; 0 if it is gone, or hidden.

    Raises:
        ImportError: this is not Linux, and psutil is not installed.
    """
    return _from_proc(pid) if _LINUX else _by_psutil(pid)


def _from_proc(pid: int) -> int:
    if sys.platform == "win32":
        raise NotImplementedError("there is no /proc")
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as sizes:
            return int(sizes.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0  # the last: it is another user's, and hidden (hidepid)


def _by_psutil(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
