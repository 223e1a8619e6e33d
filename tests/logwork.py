"""Jobs that log, warn and print, for workers to import by name."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from gates import hold, say
from workload import WillNotUnpickle

NAME = "ezpq_exec_tests.job"

log = logging.getLogger(NAME)


class Refuses:
    """Neither pickles nor shows itself."""

    def __reduce__(self) -> Any:
        raise TypeError("I stay where I am")

    def __repr__(self) -> str:
        raise ValueError("nor am I shown")


class OwnWarning(UserWarning):
    """A category that wants two arguments."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__(f"{first} and {second}")


class Collector(logging.Handler):
    """The test's handler: keeps what comes, and lets wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.news = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.news:
            self.records.append(record)
            self.news.notify_all()

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    def wait_for(self, count: int, patience: float) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.records) >= count, patience), self.texts


@contextlib.contextmanager
def collected(level: int = logging.INFO, handler: Collector | None = None) -> Iterator[Collector]:
    """In the program: a handler of the jobs' logger, at that level."""
    handler = handler or Collector()
    log.addHandler(handler)
    log.setLevel(level)
    try:
        yield handler
    finally:
        log.setLevel(logging.NOTSET)
        log.removeHandler(handler)


def note(*texts: str) -> int:
    for text in texts:
        log.info("%s", text)
    return len(texts)


def note_all() -> None:
    """One of each kind."""
    log.info("plain %d of %s", 1, "two", extra={"order": [1, 2], "refuses": Refuses()})
    try:
        int("as intended")
    except ValueError:
        log.exception("caught")
    log.warning("x" * 1_000_000)
    log.warning("here", stack_info=True)


def note_what_does_not_arrive() -> None:
    """Log something with an attribute that unpickles nowhere."""
    logging.getLogger(NAME).info("odd", extra={"odd": WillNotUnpickle()})


def is_logged(level: int) -> bool:
    return log.isEnabledFor(level)


def note_and_hold(gate: str, text: str) -> int:
    log.info(text)
    return hold(gate)


def note_and_die(text: str) -> None:
    log.info(text)
    os.kill(os.getpid(), signal.SIGKILL)


def leave_thread(gate: str, text: str) -> int:
    """Return, while a thread waits at the gate to log something."""

    def work() -> None:
        hold(gate, "held")
        log.info(text)

    threading.Thread(target=work).start()
    return os.getpid()


def note_much(text: str, count: int, *, threads: int) -> bytes:
    """Log from many threads at once; a result of some size."""

    def work() -> None:
        for number in range(count):
            log.info("%s %d", text, number)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return text.encode() * 5000


def note_in_fork(texts: list[str], forks: int) -> list[str]:
    """Log here and in forks, at the same time."""
    children = []
    for _ in range(forks):
        pid = os.fork()
        if pid == 0:
            for _ in range(200):
                log.info("in a fork")
            os._exit(0)
        children.append(pid)
    for text in texts:
        log.info("%s", text)
    for pid in children:
        os.waitpid(pid, 0)
    return texts


def flood(gate: str, size: int, count: int) -> int:
    """Log more than anybody keeps."""
    say(gate, os.getpid())
    for number in range(count):
        log.info("%d %s", number, "x" * size)
    return count


def flood_and_count(gate: str, size: int, path: str) -> None:
    """As `flood`, for ever, with the number of records logged so far in a file."""
    say(gate, os.getpid())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for number in range(10**6):
        log.info("%d %s", number, "x" * size)
        os.pwrite(descriptor, b"%7d" % (number + 1), 0)


def flood_in_thread(gate: str, size: int, count: int) -> int:
    """As `flood`, in a thread that the job leaves behind, once the gate is opened."""

    def later() -> None:
        hold(gate, "ready")
        flood(gate, size, count)

    threading.Thread(target=later).start()
    return count


def note_by_root(text: str) -> None:
    """By the function that configures logging where nobody did."""
    logging.warning(text)  # noqa: LOG015


def configure(path: str) -> None:
    """An initializer as people have it."""
    logging.basicConfig(filename=path, level=logging.DEBUG, format="%(message)s")


def warn(text: str, category: type[Warning] = UserWarning) -> int:
    warnings.warn(text, category, stacklevel=1)
    return os.getpid()


def warn_own() -> None:
    warnings.warn(OwnWarning(1, 2), stacklevel=1)


def warn_of_nowhere() -> None:
    """Be warned with a class, of a module and in a file that the parent does not have."""

    class Local(UserWarning):
        pass

    Local.__module__ = "elsewhere"
    warnings.warn_explicit("from afar", Local, "elsewhere.py", 7, module="elsewhere")
