"""Worker processes without keepers: for macOS, Windows, and where Linux lacks what keepers need.

Each worker is a loky process with a socket of its own and an attendant in this process, which does
all that takes a while. The thread that calls `wait` does the rest, and never waits but there. A
worker's end is told by the system's own wait for processes, never by the end of its socket, which
its descendants may hold open.

What is missing, compared to keepers: deadlines are kept by this process, and only while its threads
can run; descendants are looked up at the moment of the kill, so those that have left the worker's
tree (their parent is dead) stay, as do those of a worker that ended by itself; a worker that
outlives this process ends itself, for which it needs its GIL; there are no stack dumps; and each
worker takes as long to start as an interpreter does.
"""

from __future__ import annotations

import dataclasses
import selectors
import threading
from collections import deque
from typing import Any

from .. import packing
from ..jobs import Verdict
from ..reports import Finished, Lost, Ready, Report, Said, Stopped, Unstartable
from . import obituary, wear
from .answers import outcome_of
from .attendant import PATIENCE, Attendant
from .base import Capabilities, Setup
from .channel import Frame, Garbled, Kind, header
from .lone import no_initializer
from .pickling import PicklingEngine
from .sockets import pair
from .worker import surroundings

__all__ = ["SpawnedEngine"]

_IN, _OUT = selectors.EVENT_READ, selectors.EVENT_WRITE


class SpawnedEngine(PicklingEngine):
    """Runs each job in a worker process, which can be killed with what is below it then."""

    capabilities = Capabilities(
        kills=True, recycles=True, isolates=True, relays=True, own_context=True
    )
    _setup = Setup()

    def __init__(self) -> None:
        self._initializer = b""
        self._attendants: dict[int, Attendant] = {}
        self._leaving: set[Attendant] = set()  # of these, nothing more is reported
        self._gone: deque[Attendant] = deque()  # attendants whose workers have ended
        self._reports: list[Report] = []
        self._closing = False
        self._lock = threading.Lock()  # guards that _bell is not used after it was closed

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        wear.check(setup)
        self._setup = setup
        self._initializer = packing.pack((setup.initializer or no_initializer, setup.initargs))
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = pair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector.register(self._ear, _IN)

    def start(self, slot: int) -> None:
        """See `Engine.start`."""
        try:
            body = packing.pack((surroundings(self._levels()), self._initializer))
            attendant = Attendant(slot, self._on_gone)
        except (OSError, RuntimeError) as failure:  # out of descriptors, or threads; no cwd
            self._reports.append(Unstartable(slot, failure))
            return
        self._attendants[slot] = attendant
        self._watch(attendant)
        self._send(attendant, header(0, Kind.SETUP, body), body)

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        """See `Engine.run`."""
        attendant = self._attendants.get(slot)
        if attendant is None:
            return  # it was lost this moment, as is being reported
        attendant.began = 0.0
        attendant.number = number
        self._send(attendant, header(number, Kind.CALL, payload), payload)

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        """See `Engine.kill`. The job cannot end by itself any more: its answer is not heard."""
        attendant = self._attendants.get(slot)
        if attendant is not None and attendant.number == number:
            attendant.reason = reason
            attendant.end(bare=force)

    def terminate(self, slot: int, number: int, reason: Verdict) -> None:
        """See `Engine.terminate`."""
        attendant = self._attendants.get(slot)
        if attendant is not None and attendant.number == number:
            attendant.reason = reason
            attendant.terminate()
            attendant.end(after=PATIENCE)

    def retire(self, slot: int) -> None:
        """See `Engine.retire`."""
        attendant = self._attendants.get(slot)
        if attendant is not None:
            self._dismiss(attendant, after=PATIENCE)

    def begun(self, slot: int, number: int) -> float | None:
        """See `Engine.begun`. Until its worker speaks, a job counts from its last byte sent.

        For the worker may be stopped, or a thread may hold its GIL.
        """
        attendant = self._attendants.get(slot)
        if attendant is None or attendant.number != number:
            return None
        return attendant.began or attendant.channel.moved_at

    def hear(self, slot: int, wanted: bool) -> None:
        """See `Engine.hear`."""
        attendant = self._attendants.get(slot)
        if attendant is not None and attendant.is_heard != wanted:
            attendant.is_heard = wanted
            self._watch(attendant, 0 if attendant.channel.is_flushed else _OUT)

    def wake(self) -> None:
        """See `Engine.wake`."""
        with self._lock:
            try:
                self._bell.send(b"!")
            except OSError:
                pass  # its buffer is full, so it rings already; or it is closed

    def close(self, *, kill: bool = False) -> None:
        """See `Engine.close`."""
        self._closing = True
        for attendant in list(self._attendants.values()):
            self._dismiss(attendant, after=PATIENCE if attendant.ready else 0.0)
        if kill:
            for attendant in self._leaving:
                attendant.end()
        self._stop_if_empty()

    def wait(self, timeout: float | None) -> list[Report]:
        """See `Engine.wait`."""
        if not self._reports:
            for key, events in self._selector.select(0 if self._gone else timeout):
                if key.data is None:
                    self._hush()
                else:
                    self._on_channel(key.data, events)
        # What a worker sent is reported before its end: if both were in one list, the scheduler
        # could give the slot a job in between.
        while self._gone and not self._reports:
            self._bury(self._gone.popleft())
        reports, self._reports = self._reports, []
        if reports and type(reports[-1]) is Stopped:
            self._let_go()
        return reports

    # What happens ---------------------------------------------------------------------------

    def _on_gone(self, attendant: Attendant) -> None:
        """Called by its thread."""
        self._gone.append(attendant)
        self.wake()

    def _hush(self) -> None:
        try:
            while self._ear.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _on_channel(self, attendant: Attendant, events: int) -> None:
        channel = attendant.channel
        try:
            if events & _OUT and channel.flush():
                self._watch(attendant)
            if events & _IN:
                for frame in channel.receive():
                    self._answer(attendant, frame)
        except BlockingIOError:
            pass
        except (Garbled, MemoryError) as failure:
            self._unwatch(attendant)
            attendant.spoilt = failure
            attendant.end()
        except (EOFError, OSError):  # it is gone; if not, there is no talking to it any more
            self._unwatch(attendant)
            attendant.end(after=PATIENCE)

    def _answer(self, attendant: Attendant, frame: Frame) -> None:
        if frame.kind in (Kind.LOGGED, Kind.WARNED):
            number = attendant.number if frame.number == attendant.number else 0
            said = Said(attendant.slot, number, attendant.pid, frame.kind, frame.body)
            self._reports.append(said)
        elif frame.kind == Kind.READY:
            attendant.ready = True
            attendant.pid = frame.number
            self._reports.append(Ready(attendant.slot, frame.number))
        elif frame.kind == Kind.UNFIT:
            cause = packing.unpack_error(frame.body)
            self._reports.append(Unstartable(attendant.slot, cause, fatal=True))
            self._dismiss(attendant, after=PATIENCE)
        elif frame.number != attendant.number or attendant.reason is not None:
            pass  # it is being killed, and was not quick enough
        elif frame.kind == Kind.STARTED:
            attendant.began = frame.stamp
        else:
            self._finish(attendant, frame)

    def _finish(self, attendant: Attendant, frame: Frame) -> None:
        attendant.number = 0
        attendant.tasks += 1
        worn = attendant.tasks == self._setup.max_tasks_per_child
        worn = worn or wear.outgrown(self._setup, frame, attendant.pid)
        slot = attendant.slot
        self._reports.append(Finished(slot, frame.number, outcome_of(frame), not worn))
        if worn:
            self._dismiss(attendant, after=PATIENCE)
            self.start(slot)

    def _bury(self, attendant: Attendant) -> None:
        """A worker is gone: report what it had still sent, or else the loss."""
        for frame in attendant.channel.drain():
            self._answer(attendant, frame)
        if self._reports:
            self._gone.appendleft(attendant)  # for the next `wait`
        elif attendant in self._leaving:
            self._leaving.remove(attendant)
            attendant.close()
            self._stop_if_empty()
        else:
            self._mourn(attendant)

    def _mourn(self, attendant: Attendant) -> None:
        slot = attendant.slot
        begun = attendant.job_begun()
        died = attendant.obituary(begun)
        del self._attendants[slot]
        self._unwatch(attendant)
        attendant.close()
        if attendant.ready:
            loss = dataclasses.replace(obituary.loss(died, begun), cause=attendant.spoilt)
            self._reports.append(Lost(slot, loss))
            self.start(slot)
        else:
            cause = attendant.failure or obituary.unready(died)
            self._reports.append(Unstartable(slot, cause, died=attendant.failure is None))

    # Holding and letting go -----------------------------------------------------------------

    def _send(self, attendant: Attendant, head: bytes, body: bytes) -> None:
        channel = attendant.channel
        try:
            if not channel.send(head, body):
                self._watch(attendant, _OUT)
        except OSError:
            pass  # the worker is gone, of which its attendant will tell

    def _watch(self, attendant: Attendant, also: int = 0) -> None:
        """Be woken by what it says, if that is to be heard, and `also` by that event."""
        sock, events = attendant.channel.sock, (_IN if attendant.is_heard else 0) | also
        if events and sock in self._selector.get_map():
            self._selector.modify(sock, events, attendant)
        elif events:
            self._selector.register(sock, events, attendant)
        else:
            self._unwatch(attendant)

    def _unwatch(self, attendant: Attendant) -> None:
        try:
            self._selector.unregister(attendant.channel.sock)
        except KeyError:
            pass  # its end has been seen

    def _dismiss(self, attendant: Attendant, after: float) -> None:
        """Have it leave, and see to it that it has, so many seconds from now."""
        del self._attendants[attendant.slot]
        self._leaving.add(attendant)
        self._unwatch(attendant)
        attendant.channel.close()
        attendant.end(after=after)

    def _stop_if_empty(self) -> None:
        if self._closing and not self._attendants and not self._leaving:
            self._reports.append(Stopped())

    def _let_go(self) -> None:
        self._selector.close()
        self._ear.close()
        with self._lock:
            self._bell.close()
