"""What a launched process takes over from the program: who it is to multiprocessing, and the trackers.

The stdlib's processes and loky's have that of their program, and libraries rely on it. A tracker
clears away the shared memory and semaphores that are left at the end of those who use them. If a job
looked at the program's shared memory with a tracker of its own, this would clear it away at the
job's end, under the program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from multiprocessing import process
from types import ModuleType
from typing import Any, NamedTuple

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Bequest", "bequest", "inherit", "trackers"]

# Here private names are used: there is no other way, and multiprocessing and loky themselves do it so
# for the processes that they start. Read in CPython 3.10, 3.11 and 3.13, and in loky 3.5 and 3.7, which has
# the trackers of 3.14.
_process: Any = process
_TRACKERS = ("multiprocessing.resource_tracker", "loky.backend.resource_tracker")


def trackers() -> tuple[int, int]:
    """The descriptors of the two trackers, which are started if need be. They are to be inherited.

    Raises:
        OSError: the system has no process, or no descriptor, to spare.
    """
    from multiprocessing import resource_tracker

    from loky.backend import resource_tracker as loky_tracker

    return _known(resource_tracker.getfd()), _known(loky_tracker.getfd())


def _known(descriptor: int | None) -> int:
    if descriptor is None:
        raise OSError("a tracker of shared memory has not started")
    return descriptor


class Bequest(NamedTuple):
    """Who the program is.

    Attributes:
        authkey: with which its processes know each other.
        name: of the process that launches another.
        pid: of that, too.
        folder: where the program was started.
    """

    authkey: bytes
    name: str
    pid: int
    folder: str | None


def bequest() -> Bequest:
    """What this process has to leave."""
    me = process.current_process()
    return Bequest(bytes(me.authkey), str(me.name), os.getpid(), _process.ORIGINAL_DIR)


def inherit(from_: Bequest, descriptors: Sequence[int]) -> None:
    """Take it over, in a process that was just launched; that has no stdin of its own, either.

    Args:
        from_: what the program's `bequest` gave.
        descriptors: what its `trackers` gave.
    """
    process.current_process().authkey = from_.authkey
    _process.ORIGINAL_DIR = from_.folder
    _process._parent_process = _process._ParentProcess(from_.name, from_.pid, None)  # noqa: SLF001
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for good
    of_modules = dict(zip(_TRACKERS, descriptors, strict=True))
    for name in of_modules.keys() & sys.modules.keys():  # a `.pth` file has imported it, say
        _hand_over(sys.modules[name], of_modules[name])
    sys.meta_path.insert(0, _Trackers(of_modules))


def _hand_over(module: ModuleType, descriptor: int) -> None:
    module.__dict__["_resource_tracker"]._fd = descriptor  # noqa: SLF001


class _Trackers:
    """Gives each tracker's module the program's tracker when it is imported, which few jobs do.

    Args:
        descriptors: by the module's name.
    """

    def __init__(self, descriptors: dict[str, int]) -> None:
        self._descriptors = descriptors

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find what it is for, and nothing else."""
        if name not in self._descriptors:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_hand_over(module: ModuleType) -> None:
            run(module)
            if module.__name__ == name:  # all modules of a zip file have one loader
                _hand_over(module, self._descriptors[name])

        setattr(spec.loader, "exec_module", run_and_hand_over)  # noqa: B010 - mypy knows it as a method
        return spec
