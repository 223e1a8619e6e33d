"""The CPU time and peak memory of this process, and the present memory of any process."""

from __future__ import annotations

import os
import sys
import time

__all__ = ["Meter", "resident", "usage"]

_LINUX = sys.platform == "linux"

# Seconds: jobs that took no longer, all together, have not waited for a process that they started, nor
# touched more memory than a megabyte or two. To ask the system for both costs more than such a job does.
BRIEF = 100e-6

if sys.platform == "win32":

    def usage() -> tuple[float, int]:
        """CPU seconds of this process; its peak is not known."""
        return time.process_time(), 0

    def _of_children() -> float:
        return 0.0

    def _peak() -> int:
        return 0

else:
    import resource

    _of = resource.getrusage
    _SELF, _CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    _RSS_UNIT = 1 if sys.platform == "darwin" else 1024

    def usage() -> tuple[float, int]:
        """CPU seconds of this process and of the children it waited for, and its peak in bytes."""
        own_user, own_system, peak, *_ = _of(_SELF)
        return own_user + own_system + _of_children(), peak * _RSS_UNIT

    def _of_children() -> float:
        user, system, *_ = _of(_CHILDREN)
        return user + system

    def _peak() -> int:
        return _of(_SELF).ru_maxrss * _RSS_UNIT


class Meter:
    """What this process uses for jobs that it runs one after another.

    >>> meter = Meter()
    >>> cpu_time, peak = meter.read(took=1.0)
    >>> cpu_time > 0, meter.read(took=0.0)[1] == peak
    (True, True)
    """

    def __init__(self) -> None:
        self._peak = _peak()
        self._children = _of_children()
        self._unseen = 0.0  # seconds that jobs have taken since both were looked at
        self._before = self._children  # so all that this process itself has used is the first job's

    def read(self, took: float) -> tuple[float, int]:
        """CPU seconds since the last reading, children included, and this process's peak in bytes.

        Args:
            took: seconds for the job, packing its result included. As long as jobs are `BRIEF`, taken
                together, their children's time and the peak are those of the reading before.
        """
        self._unseen += took
        if self._unseen > BRIEF:
            self._unseen = 0.0
            self._peak = _peak()
            self._children = _of_children()
        used = time.process_time() + self._children
        spent, self._before = used - self._before, used
        return max(0.0, spent), self._peak


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
