"""What the tests have run: functions and classes that a worker imports by name, and needs no pytest."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from gates import hold, say

FOREVER = 3600.0


def add(a: int, b: int) -> int:
    return a + b


def echo(value: Any) -> Any:
    return value


def keywords(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def fail(kind: type[BaseException], *args: Any) -> NoReturn:
    raise kind(*args)


def forever() -> None:
    while True:
        time.sleep(FOREVER)


def sleep_for(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


class TwoArguments(Exception):
    """Pickles, but does not unpickle: its __reduce__ remembers one argument of two."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__(f"{first} and {second}")


class WillNotPickle:
    """Says no when asked to be carried."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("I stay where I am")


class WillNotUnpickle:
    """Can be sent, never received."""

    def __reduce__(self) -> tuple[Any, ...]:
        return fail, (ValueError, "not on this side")


class HangsInSetstate:
    """An argument that never arrives."""

    def __init__(self) -> None:
        self.ballast = 1

    def __setstate__(self, state: object) -> None:
        hang_while_unpickling()


def hang_while_unpickling() -> None:
    time.sleep(FOREVER)


class SlowToUnpickle:
    """A result that the parent needs some time to take in."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return sleep_for, (self.seconds,)


def unpicklable_result() -> WillNotPickle:
    return WillNotPickle()


def hold_and_return(gate: str, value: Any) -> Any:
    hold(gate)
    return value


def say_and_return(gate: str, value: Any) -> Any:
    say(gate, value)
    return value


# Deaths ---------------------------------------------------------------------------------------


def die(exitcode: int) -> None:
    os._exit(exitcode)


def signal_self(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(FOREVER)


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def die_leaving_descendant(gate: str) -> None:
    """End, while a forked child lives on that holds every descriptor."""
    child = os.fork()
    if child == 0:
        time.sleep(FOREVER)
    say(gate, child)
    os._exit(7)


# Stubbornness ---------------------------------------------------------------------------------


def ignore_sigterm() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    forever()


def catch_everything() -> None:
    while True:
        try:
            time.sleep(FOREVER)
        except BaseException:  # noqa: S112
            continue


def stop_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    forever()


def hold_the_gil() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


STUBBORN: dict[str, Callable[[], None]] = {
    "sleeps": forever,
    "ignores SIGTERM": ignore_sigterm,
    "catches every exception": catch_everything,
    "stops itself": stop_itself,
    "holds the GIL": hold_the_gil,
}


# In C -----------------------------------------------------------------------------------------


def read_in_c(gate: str, holds_gil: bool) -> int:
    """Wait in a call of C's library until a byte comes, with the GIL or without; how many came."""
    libc = (ctypes.PyDLL if holds_gil else ctypes.CDLL)(None)
    passes = os.open(f"{gate}/passes", os.O_RDONLY)
    byte = ctypes.create_string_buffer(1)
    say(gate, os.getpid())
    try:
        return int(libc.read(passes, byte, 1))
    finally:
        os.close(passes)


def poll_in_c(gate: str) -> tuple[int, str | None]:
    """Wait in a call of C's library that a signal ends; what it gave, and its error."""
    libc = ctypes.CDLL(None, use_errno=True)
    say(gate, os.getpid())
    answer = libc.poll(None, 0, -1)
    return answer, errno.errorcode.get(ctypes.get_errno())


def sleep_and_measure(gate: str, seconds: float) -> float:
    """Sleep as Python does; for how many seconds that was."""
    say(gate, os.getpid())
    begun = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - begun


# Trees: each says the pids that it is responsible for, then waits to be killed ------------------


def child(gate: str) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
    say(gate, os.getpid(), process.pid)
    forever()


def child_that_listens(gate: str) -> None:
    """Its child says that its parent has gone, if it comes to that."""
    heard, told = os.pipe()
    if os.fork() == 0:
        os.close(told)
        say(gate, os.getppid(), os.getpid())
        os.read(heard, 1)
        say(gate, "gone")
        os._exit(0)
    forever()


def grandchild(gate: str) -> None:
    first = os.fork()
    if first == 0:
        second = os.fork()
        if second:
            say(gate, os.getppid(), os.getpid(), second)
        forever()
    forever()


def session_leaver(gate: str) -> None:
    first = os.fork()
    if first == 0:
        os.setsid()
        say(gate, os.getppid(), os.getpid())
    forever()


def double_forker(gate: str) -> None:
    """Have a daemon: its parent is gone, and it is in a session of its own."""
    first = os.fork()
    if first == 0:
        os.setsid()
        daemon = os.fork()
        if daemon:
            os._exit(0)
        say(gate, os.getpid())
        forever()
    os.waitpid(first, 0)
    say(gate, os.getpid())
    forever()


def fork_bomb(gate: str) -> None:
    """Fork many that stay, and some lines whose every member forks the next and ends at once.

    No line outlives a minute, whatever becomes of the test.
    """
    end = time.monotonic() + 60
    for _ in range(30):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    for _ in range(6):
        if os.fork() == 0:
            while time.monotonic() < end:
                if os.fork():
                    os._exit(0)
            os._exit(0)
    say(gate, os.getpid())
    forever()


def run_in_child_and_return(gate: str) -> int:
    """Start a process that outlives the job, and return its pid."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
    process.returncode = 0  # nobody is to warn of it
    say(gate, process.pid)
    return process.pid


# Initializers ---------------------------------------------------------------------------------

_initialized_with: object = None


def initialize(value: object) -> None:
    global _initialized_with
    _initialized_with = value


def initialized_with() -> object:
    return _initialized_with


def failing_initializer(text: str) -> NoReturn:
    raise ValueError(text)


def dying_initializer(gate: str) -> NoReturn:
    say(gate, os.getpid())
    os._exit(9)


# The parent -----------------------------------------------------------------------------------


def numbers_to_add_for(seconds: float) -> range:
    """As many numbers as take about that long to be added up, which one C call does."""
    count = 10**6
    while True:
        before = time.monotonic()
        sum(range(count))
        took = time.monotonic() - before
        if took >= seconds / 8:
            return range(int(count * seconds / took))
        count *= 2


def times_called(path: str) -> int:
    """Leave a trace of having run; how many there were with it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, b".")
        return os.lseek(descriptor, 0, os.SEEK_CUR)  # where ours ends, whoever has come since
    finally:
        os.close(descriptor)


def flaky(path: str, failures: int, do: Callable[..., Any], *args: Any) -> int:
    """Do that so many times instead of returning the number of the call."""
    number = times_called(path)
    if number <= failures:
        do(*args)
    return number


def hold_and_fail(gate: str, kind: type[BaseException], *args: Any) -> NoReturn:
    """Wait to be let go, then raise."""
    hold(gate)
    raise kind(*args)


class HoldsWhenUnpickled(Exception):
    """Arrives when a gate is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _held, self.args


def _held(gate: str) -> Exception:
    hold(gate)
    return HoldsWhenUnpickled(gate)


def hold_and_exit(gate: str) -> NoReturn:
    """End the process without a word when let go."""
    hold(gate)
    os._exit(3)


def hold_at_sigterm(gate: str) -> None:
    """Say so when SIGTERM comes, and end only when let go."""

    def handler(*_: object) -> NoReturn:
        hold(gate, "asked to end")
        os._exit(4)

    heard, told = os.pipe()  # not `pause`, which misses what comes just before it
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told)
    signal.signal(signal.SIGTERM, handler)
    say(gate, os.getpid())
    while True:
        os.read(heard, 1)


def be_deaf_and_exit(gate: str) -> NoReturn:
    """Hear the signal for a stack dump only when let go, and end the process then."""
    signals = {signal.SIGRTMAX - 1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    hold(gate)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    os._exit(3)


def close_descriptors(first: int) -> None:
    """As code does that makes a daemon of its process."""
    os.closerange(first, 1024)


def fork_and_come_back(child: Callable[..., Any], *args: Any) -> int:
    """Fork; the child does that and comes back, too. What its exit code was."""
    pid = os.fork()
    if pid == 0:
        return int(child(*args))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
