"""A worker: reads a job, runs it, answers, and reads the next. Imports next to nothing.

It runs on the process's main thread. The keeper beside it, not this code, sees to deadlines; all
that is owed to it is the page (what is being run since when) and, where a deadline comes earlier
than the keeper would wake, a word on the pipe. Where there is no keeper there is no page, and the
parent is told of each job that begins.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from .. import packing
from .channel import HEADER, SMALL, Frame, Kind, Reader, header, receive, send
from .counter import Counter
from .jobqueue import Lookout, next_message
from .page import Page
from .parcels import Arrival, Parcel
from .usage import usage

__all__ = ["DEADLINE", "serve", "surroundings"]

DEADLINE = struct.Struct("<d")
_ELSEWHERE = (Kind.BEHIND, Kind.PARCEL)  # the message is
_MARGIN = 0.002  # seconds by which a keeper's waking must lie ahead to be relied on


class Alarm:
    """Tells the keeper of deadlines, and only of those that it would otherwise sleep through.

    The keeper wakes at the last time that it was told of, and then looks at the page for itself;
    so a later deadline needs no word while that time is still to come.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._told = 0.0

    def set(self, deadline: float, now: float) -> None:
        """A job with this deadline has begun."""
        if not now + _MARGIN < self._told <= deadline:
            self._told = deadline
            os.write(self._pipe, DEADLINE.pack(deadline))


def serve(
    sock: socket.socket,
    page: Page | None,
    alarm: Alarm | None,
    queue: socket.socket | None = None,
    counter: Counter | None = None,
) -> None:
    """Run the jobs that come by `queue`, or if there is none by `sock`, until that is closed."""
    cpu_before = 0.0
    for frame in _frames(sock) if queue is None else _messages(queue, sock, page, counter):
        if frame.kind != Kind.CALL:
            if not _obey(frame, sock, counter):
                return
            continue
        number, timeout = frame.number, frame.stamp
        started = time.monotonic()
        if page is not None:
            page.begin(number, started, started + timeout if timeout else float("inf"))
            if timeout and alarm is not None:
                alarm.set(started + timeout, started)
        elif not _say(sock, header(number, Kind.STARTED, b"", started)):
            return
        kind, body, ended = _execute(frame.body, counter)
        del frame
        cpu, rss = usage()
        _flush()
        if page is not None:
            if page.condemned == number:
                _await_death()
            page.end()
        head = header(number, kind, body, started, ended, max(0.0, cpu - cpu_before), rss)
        cpu_before = cpu
        if not _answer(number, head, body, sock, page, queue, counter):
            return
        del body


def _obey(frame: Frame, sock: socket.socket, counter: Counter | None) -> bool:
    """Do what is no job; False if there is no more to do."""
    if frame.kind == Kind.SETUP:
        return _set_up(sock, frame)
    if counter is not None:
        counter.tidy(frame.body)
    return True


def _frames(sock: socket.socket) -> Iterator[Frame]:
    """What the parent sends, until it closes the socket; none is kept once it is given away."""
    reader = Reader()
    frames: deque[Frame] = deque()
    while True:
        while frames:
            yield frames.popleft()
        try:
            frames.extend(receive(sock, reader))
        except (EOFError, ConnectionError):
            return


def _messages(
    queue: socket.socket, sock: socket.socket, page: Page | None, counter: Counter | None
) -> Iterator[Frame]:
    """What the parent sends by the queue, and on the stream and as parcels behind it."""
    behind = _frames(sock)
    lookout = Lookout()
    while True:
        fetched = page is not None and page.was_fetched
        frame = next_message(queue, lookout if fetched else None)
        if frame is not None and frame.kind in _ELSEWHERE:
            is_parcel = frame.kind == Kind.PARCEL
            frame = counter.next() if is_parcel and counter is not None else next(behind, None)
        if frame is None:
            return
        yield frame
        del frame


def _answer(
    number: int,
    head: bytes,
    body: bytes | Parcel,
    sock: socket.socket,
    page: Page | None,
    queue: socket.socket | None,
    counter: Counter | None,
) -> bool:
    """Send an answer to where it is waited for; False if the parent is gone."""
    if isinstance(body, Parcel):
        return counter is not None and _hand_in(counter, body, head, sock)
    if page is not None and page.direct == number and len(body) <= SMALL and queue is not None:
        return _say(queue, head + body)  # a message is one piece
    return _say(sock, head, body)


def _say(sock: socket.socket, head: bytes, body: bytes = b"") -> bool:
    """Tell the parent; False if it is gone."""
    try:
        send(sock, head, body)
    except ConnectionError:
        return False
    return True


def _hand_in(counter: Counter, parcel: Parcel, head: bytes, sock: socket.socket) -> bool:
    """Send a large result; False if the parent is gone."""
    try:
        counter.send(parcel, head, sock)
    except ConnectionError:
        return False
    except OSError as failure:  # too many descriptors on their way
        error = packing.pack_error(failure)
        _, number, _, *times = HEADER.unpack(head)
        return _say(sock, header(number, Kind.RAISED, error, *times), error)
    return True


def _execute(packed: Any, counter: Counter | None) -> tuple[int, bytes | Parcel, float]:
    """Run one call; its answer's kind and body, and when the function was done."""
    ended = 0.0
    try:
        if isinstance(packed, Arrival) and counter is not None:
            function, args, kwargs = counter.open(packed)
        else:
            function, args, kwargs = packing.load_call(packed)
        value = function(*args, **kwargs)
        ended = time.monotonic()
        body = packing.pack(value) if counter is None else counter.pack(value)
        if isinstance(body, Parcel) and counter is not None:
            del function, args, kwargs, value  # what it refers to in its call's memory goes back
            counter.seal(body)
    except BaseException as error:  # whatever a job raises is its outcome, SystemExit included
        ended = ended or time.monotonic()
        if counter is not None:
            counter.clear()
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next or error.__traceback__
        return Kind.RAISED, packing.pack_error(error), ended
    return Kind.RETURNED, body, ended


def _set_up(sock: socket.socket, frame: Frame) -> bool:
    """Make this process look as the parent did, run the initializer; False if there is no more to do."""
    try:
        surroundings, packed = packing.unpack(frame.body)
        _imitate(surroundings)
        if packed is None:
            return True
        initializer, initargs = packing.unpack(packed)
        initializer(*initargs)
        kind, body = Kind.READY, b""
    except BaseException as error:  # the user's code, whose failure is news for the parent
        kind, body = Kind.UNFIT, packing.pack_error(error)
    _flush()
    return _say(sock, header(os.getpid(), kind, body), body) and kind == Kind.READY


def surroundings() -> dict[str, Any]:
    """What a worker takes over from the process that it works for."""
    try:
        cwd = os.getcwd()
    except OSError:  # somebody removed it
        cwd = None
    return {
        "path": list(sys.path),
        "argv": list(sys.argv),
        "environ": dict(os.environ),
        "cwd": cwd,
    }


def _imitate(parent: Mapping[str, Any]) -> None:
    sys.path[:] = parent["path"]
    sys.argv[:] = parent["argv"]
    if parent["environ"] != dict(os.environ):
        os.environ.clear()
        os.environ.update(parent["environ"])
    if parent["cwd"] is not None:
        with contextlib.suppress(OSError):  # removed meanwhile: then there is none to be in
            os.chdir(parent["cwd"])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # None, or closed by a job, or its reader is gone


def _await_death() -> None:
    """The keeper has decided; an answer now would contradict it."""
    while True:
        signal.pause()
