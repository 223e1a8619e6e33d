"""A direct line: the thread that waits for a job's answer reads it itself, and wakes nobody else.

The worker sends a small answer by its queue, where that thread sleeps in a plain read, if it finds
on the page that somebody does; else by its stream, to the loop. A thread that leaves the line
without the answer tells the loop, which listens there from then on.
"""

from __future__ import annotations

from ..jobs import Outcome
from .answers import outcome_of
from .channel import Frame, Kind, whole
from .jobqueue import JobQueue, Lookout, read_into, ticket_of
from .linelock import LINES
from .page import Page

__all__ = ["Line"]


class Line:
    """One thread's wait for one job's answer.

    Args:
        slot, ticket: which worker's, and which run of a job.
        lookout: given where the worker's last job took microseconds, so this one may, too.

    Attributes:
        over: the thread has left; what it got, it had got before.
    """

    __slots__ = (
        "_begun",
        "_hung_up",
        "_lookout",
        "_messages",
        "_outcome",
        "_page",
        "_queue",
        "over",
        "slot",
        "ticket",
    )

    def __init__(
        self,
        slot: int,
        ticket: int,
        queue: JobQueue,
        page: Page,
        lookout: Lookout | None = None,
    ) -> None:
        self.slot = slot
        self.ticket = ticket
        self.over = False
        self._begun = False
        self._hung_up = False  # LINES guards that no wait begins once it is set
        self._queue = queue
        self._page = page
        self._lookout = lookout
        self._messages: list[bytes] = []
        self._outcome: Outcome | None = None

    def wait(self, timeout: float | None) -> None:
        """Sleep until the answer is here, or it is clear that it will not come, or for `timeout` s.

        Wherever an exception strikes, an answer that was read is kept.
        """
        messages = self._messages
        try:
            with LINES:
                if self._hung_up:
                    return
                self._begun = True
                self._page.ask_directly(self.ticket)
            self._queue.set_patience(timeout)
            while not messages or (messages[-1] and ticket_of(messages[-1]) != self.ticket):
                read_into(messages, self._queue.entry, self._lookout)
        except (OSError, ValueError):
            pass  # the time is over, or the worker is gone
        finally:
            self.over = True

    @property
    def is_held(self) -> bool:
        """Whether the thread waits."""
        return self._begun and not self.over

    def hang_up(self) -> None:
        """Have the thread leave, or not begin to wait: no answer will come this way."""
        with LINES:
            self._hung_up = True
        if self.is_held:
            self._queue.send_back(self.ticket)

    @property
    def outcome(self) -> Outcome | None:
        """What the worker answered, if that came this way."""
        if self._outcome is None:  # made once: both the waiting thread and the loop ask for it
            frame = self._frame()
            self._outcome = None if frame is None else outcome_of(frame)
        return self._outcome

    def _frame(self) -> Frame | None:
        last = self._messages[-1] if self._messages else b""
        frame = whole(last) if last else None
        if frame is None or frame.number != self.ticket or frame.kind == Kind.HUNG_UP:
            return None
        return frame
