"""A worker: reads a job, runs it, answers, and reads the next. Imports next to nothing.

It runs on the process's main thread. Not this code, but the keeper beside it sees to deadlines. All
that the keeper needs is the page, which says what is run since when, and a message by the pipe
where a deadline comes before the keeper would wake. Without a keeper there is no page, and the
parent is told of each job that begins.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import packing
from ..contexts import own_copy
from .alarm import Alarm
from .arrivals import Arrival
from .bundles import claimed, jobs_in
from .channel import HEADER, NO_TICKET, SMALL, Frame, Kind, Reader, header, receive
from .forked import end_fork, mind_forks
from .jobqueue import BRISK, Lookout, next_message
from .outlet import Outlet, flush
from .parcels import Parcel
from .usage import Meter
from .wire import Wire

if TYPE_CHECKING:  # there are none but on Linux
    from .counter import Counter
    from .page import Page

__all__ = ["serve", "surroundings"]

_NEVER = float("inf")


def serve(
    sock: socket.socket,
    page: Page | None,
    alarm: Alarm | None,
    queue: socket.socket | None = None,
    counter: Counter | None = None,
) -> None:
    """Run the jobs that come by `queue`, or if there is none by `sock`, until that is closed."""
    meter = Meter()
    wire = Wire(sock)
    outlet = Outlet()
    mind_forks()
    for frame in _frames(sock) if queue is None else _messages(queue, wire, outlet, counter, page):
        if frame.kind != Kind.CALL:
            if not _obey(frame, wire, counter):
                return
            continue
        number, timeout = frame.number, frame.stamp
        started = time.monotonic()
        if page is not None:
            page.begin(number, started, started + timeout if timeout else _NEVER)
            if (timeout or frame.rss) and alarm is not None:
                alarm.watch(page, frame, started)
        elif not wire.answer(header(number, Kind.STARTED, b"", started)):
            return
        wire.job = number
        kind, body, ended = _execute(frame.body, counter)
        end_fork(body if kind == Kind.RAISED else None)
        wire.job = 0
        del frame
        cpu_time, rss = meter.read(time.monotonic() - started)
        outlet.flush()
        if page is not None:
            if page.condemned == number:
                _await_death()
            page.end()
        head = header(number, kind, body, started, ended, cpu_time, rss)
        if not _answer(number, head, body, wire, page, queue, counter):
            return
        del body


def _obey(frame: Frame, wire: Wire, counter: Counter | None) -> bool:
    """Carry out a message that is no job; False if the worker is to end."""
    if frame.kind == Kind.SETUP:
        return _set_up(wire, frame)
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
    queue: socket.socket,
    wire: Wire,
    outlet: Outlet,
    counter: Counter | None,
    page: Page | None,
) -> Iterator[Frame]:
    """What the parent sends by the queue, and on the stream and as parcels behind it."""
    behind = _frames(wire.sock)
    lookout = Lookout()
    is_brisk = False  # the last job was, so the next one is likely to be here soon, too
    while True:
        frame = next_message(queue, lookout if is_brisk else None)
        if frame is None:
            return
        if frame.kind == Kind.BUNDLE and page is not None:
            jobs = jobs_in(frame.body)
            began = time.monotonic()
            yield from claimed(jobs, page, partial(_decline, wire, page))
            is_brisk = time.monotonic() < began + BRISK * len(jobs)
        elif frame.kind == Kind.CALL:
            began = time.monotonic()
            yield frame
            is_brisk = time.monotonic() < began + BRISK
        elif frame.kind == Kind.BEHIND:  # it is large, and is not to be kept here while it is used
            yield from itertools.islice(behind, 1)
        elif frame.kind == Kind.PARCEL and counter is not None:
            yield from counter.next()
        elif frame.kind == Kind.CAPTURE:
            try:
                outlet.turn(wire.sock)
            except (OSError, ImportError):
                return  # jobs have left too few descriptors: the next one goes to a fresh worker
        else:
            yield frame
        del frame


def _decline(wire: Wire, page: Page, ticket: int) -> None:
    """Tell the parent that a job was called back; if it is gone, that will be noticed soon.

    The parent may have ordered its kill meanwhile. As with a job that has ended, either the worker
    dies for it, and says nothing, or it does not.
    """
    if page.condemned == ticket:
        _await_death()
    page.decline(ticket)
    wire.answer(header(ticket, Kind.DECLINED, b""))


def _answer(
    number: int,
    head: bytes,
    body: bytes | Parcel,
    wire: Wire,
    page: Page | None,
    queue: socket.socket | None,
    counter: Counter | None,
) -> bool:
    """Send an answer to where it is waited for; False if the parent is gone.

    What the job has logged is on the stream, and is to be read before.
    """
    if isinstance(body, Parcel):
        return counter is not None and _hand_in(counter, body, head, wire)
    is_awaited = page is not None and page.direct == number and wire.last != number
    if is_awaited and len(body) <= SMALL and queue is not None:
        return _say(queue, head + body)
    return wire.answer(head, body)


def _say(queue: socket.socket, message: bytes) -> bool:
    """Tell the parent in one piece; False if it is gone."""
    try:
        queue.sendall(message)
    except ConnectionError:
        return False
    return True


def _hand_in(counter: Counter, parcel: Parcel, head: bytes, wire: Wire) -> bool:
    """Send a large result; False if the parent is gone."""
    try:
        counter.send(parcel, head)
    except ConnectionError:
        return False
    except OSError as failure:  # too many descriptors on their way
        error = packing.pack_error(failure)
        _, number, _, *times = HEADER.unpack(head)
        return wire.answer(header(number, Kind.RAISED, error, *times), error)
    return wire.answer(header(NO_TICKET, Kind.PARCEL, b""))


def _execute(packed: Any, counter: Counter | None) -> tuple[int, bytes | Parcel, float]:
    """Run one call; its answer's kind and body, and when the function was done."""
    ended = 0.0
    try:
        if isinstance(packed, Arrival) and counter is not None:
            function, args, kwargs = counter.open(packed)
        else:
            function, args, kwargs = packing.load_call(packed)
        value = own_copy().run(function, *args, **kwargs)
        ended = time.monotonic()
        body = packing.pack(value) if counter is None else counter.pack(value)
        if isinstance(body, Parcel) and counter is not None:
            del function, args, kwargs, value  # so that `seal` sees what is still in use
            counter.seal(body)
    except BaseException as error:  # whatever a job raises is its outcome, SystemExit included
        ended = ended or time.monotonic()
        if counter is not None:
            counter.clear()
        return Kind.RAISED, packing.pack_error(packing.without_our_frame(error)), ended
    return Kind.RETURNED, body, ended


def _set_up(wire: Wire, frame: Frame) -> bool:
    """Take over the parent's surroundings, run the initializer; False if the worker is to end."""
    try:
        surroundings, packed = packing.unpack(frame.body)
        _imitate(surroundings)
        if surroundings["levels"] is not None:
            from .logsender import send_logs

            send_logs(wire, surroundings["levels"])
        if packed is None:
            return True
        initializer, initargs = packing.unpack(packed)
        initializer(*initargs)
        kind, body = Kind.READY, b""
    except BaseException as error:  # the user's code, whose failure is news for the parent
        kind, body = Kind.UNFIT, packing.pack_error(error)
    flush()
    return wire.answer(header(os.getpid(), kind, body), body) and kind == Kind.READY


def surroundings(levels: object = None) -> dict[str, Any]:
    """What a worker takes over from the process that it works for; `levels`: it sends its logs."""
    try:
        cwd = os.getcwd()
    except OSError:  # somebody removed it
        cwd = None
    return {
        "path": list(sys.path),
        "argv": list(sys.argv),
        "environ": dict(os.environ),
        "cwd": cwd,
        "levels": levels,
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


def _await_death() -> None:
    """Wait to be killed: the keeper has decided so, and an answer now would contradict it."""
    if sys.platform != "win32":  # where nobody is condemned
        while True:
            signal.pause()
