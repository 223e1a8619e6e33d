"""Have ezpq_exec, and nothing else, take this Linux for macOS ("darwin") or Windows ("win32").

With this folder on PYTHONPATH and the system's name in PRETEND, each module of the package sees
`sys`, `os`, `signal`, `socket`, `select` and the like without what is not there, and with what is
there only. Workers inherit the two variables, so they are fooled, too. What is below the package
(loky, multiprocessing, the kernel) stays that of Linux: so this shows that the package asks for
nothing that is not there, and goes the right way; not that the other system does as expected.
"""

from __future__ import annotations

import builtins
import errno
import importlib.abc
import importlib.machinery
import os
import selectors
import socket
import struct
import sys
import time
import types
from collections.abc import Mapping, Sequence
from multiprocessing.context import get_spawning_popen
from typing import Any

_NO_LINUX = {
    "os": "memfd_create pidfd_open eventfd eventfd_read eventfd_write sched_getaffinity",
    "select": "epoll EPOLLIN EPOLLOUT",
    "selectors": "EpollSelector",
    "signal": "pidfd_send_signal SIGRTMIN SIGRTMAX SIGPWR",
    "socket": "SCM_CREDENTIALS SO_PEERCRED",
}
_NO_UNIX = {
    "os": "fork register_at_fork killpg getpgid getpgrp setpgid setsid getuid geteuid fchmod mkfifo "
    "waitid wait wait3 wait4 WNOHANG set_blocking uname posix_fallocate EX_OK O_NONBLOCK O_CLOEXEC",
    "select": "poll POLLIN POLLOUT",
    "selectors": "PollSelector",
    "signal": "pause pthread_sigmask pthread_kill SIG_BLOCK SIG_UNBLOCK alarm setitimer siginterrupt "
    "SIGKILL SIGHUP SIGQUIT SIGCHLD SIGSTOP SIGCONT SIGTSTP SIGUSR1 SIGUSR2 SIGPIPE SIGALRM",
    "socket": "AF_UNIX send_fds recv_fds SCM_RIGHTS MSG_DONTWAIT",
}
_NOT_THERE = {"darwin": ("fcntl_ofd",), "win32": ("fcntl", "resource", "pwd", "grp", "termios")}


class _Fake(types.ModuleType):
    """A module as it is elsewhere: some names are missing, some are others."""

    def __init__(self, real: types.ModuleType, missing: set[str], there: Mapping[str, Any]) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(there)
        self.__dict__["_real"] = real
        self.__dict__["_missing"] = missing

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_missing"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} there")
        return getattr(self.__dict__["_real"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_real"], name, value)

    def __dir__(self) -> list[str]:
        return [name for name in dir(self.__dict__["_real"]) if hasattr(self, name)]


# Windows ----------------------------------------------------------------------------------------


class _Socket(socket.socket):
    """A socket that can be shared with a process that is being started."""

    def share(self, pid: int | None) -> bytes:
        """What the process of that pid makes a socket of; here, the one that is being started."""
        popen: Any = get_spawning_popen()
        return str(popen.duplicate_for_child(self.fileno())).encode()


def _from_share(data: bytes) -> socket.socket:
    return _Socket(fileno=int(data))


def _tcp_pair(*_: Any) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other = server.accept()[0]
    return _Socket(fileno=one.detach()), _Socket(fileno=other.detach())


def _have_pid_early() -> None:
    """There, a process is made first and told what to do then, so that its pid is known by then."""
    from loky.backend.popen_loky_posix import Popen

    Popen.pid = None


def _coarse() -> float:
    """The monotonic clock of Windows before Python 3.13: 64 ticks a second."""
    return time.monotonic() // (1 / 64) / 64


def _locking(file: int, mode: int, size: int) -> None:
    """As `msvcrt.locking`; it gives up sooner. `size` bytes, from where the file stands."""
    import fcntl

    kind = fcntl.F_UNLCK if mode == 0 else fcntl.F_WRLCK
    where = os.lseek(file, 0, os.SEEK_CUR)
    wanted = struct.pack("hhlli4x", kind, os.SEEK_SET, where, size, 0)
    try:
        fcntl.fcntl(file, 37, wanted)  # F_OFD_SETLK: the lock is the open file's, as it is there
    except BlockingIOError:
        time.sleep(0.01)
        raise OSError(errno.EDEADLK, "somebody else has it") from None


def _windows() -> dict[str, Any]:
    msvcrt = types.ModuleType("msvcrt")
    vars(msvcrt).update(locking=_locking, LK_UNLCK=0, LK_LOCK=1)
    return {
        "msvcrt": msvcrt,
        "os": {"name": "nt", "O_BINARY": 0},
        "socket": {"socketpair": _tcp_pair, "fromshare": _from_share},
        "selectors": {"DefaultSelector": selectors.SelectSelector},
        "time": {"monotonic": _coarse},
    }


def _macos() -> dict[str, Any]:
    return {"selectors": {"DefaultSelector": selectors.PollSelector}}  # where it has kqueue


# How it is done ---------------------------------------------------------------------------------


def _fakes(platform: str) -> dict[str, types.ModuleType]:
    there = {"win32": _windows, "darwin": _macos}[platform]()
    missing = {name: set(names.split()) for name, names in _NO_LINUX.items()}
    if platform == "win32":
        for name, names in _NO_UNIX.items():
            missing[name] |= set(names.split())
    made = {name: it for name, it in there.items() if isinstance(it, types.ModuleType)}
    for name in ("os", "select", "selectors", "signal", "socket", "time"):
        real = importlib.import_module(name)
        made[name] = _Fake(real, missing.get(name, set()), there.get(name, {}))
    made["sys"] = _Fake(sys, set(), {"platform": platform})
    return made


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads modules that import the fakes."""

    platform: str
    fakes: Mapping[str, types.ModuleType]
    missing: Sequence[str]

    def exec_module(self, module: types.ModuleType) -> None:
        """See `importlib.abc.Loader`."""

        def fooled(name: str, *args: Any) -> Any:
            if name in self.missing:
                raise ModuleNotFoundError(f"No module named {name!r} there", name=name)
            level = args[3] if len(args) > 3 else 0
            if level == 0 and name in self.fakes:
                return self.fakes[name]
            module = builtins.__import__(name, *args)
            if name.startswith("loky") and "win32" in self.platform:
                _have_pid_early()
            return module

        vars(module)["__builtins__"] = {**vars(builtins), "__import__": fooled}
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        if name.partition(".")[0] != "ezpq_exec":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def pretend(platform: str) -> None:
    """Fool what of the package is imported from now on."""
    _Loader.platform = platform
    _Loader.fakes = _fakes(platform)
    _Loader.missing = _NOT_THERE[platform]
    sys.meta_path.insert(0, _Finder())


if os.environ.get("PRETEND"):
    pretend(os.environ["PRETEND"])
