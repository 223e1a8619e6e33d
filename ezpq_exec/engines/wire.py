"""The worker's end of its stream: frames stay whole, whichever threads send them.

The main thread sends answers, and any thread of a job may send what it logs. A signal handler may
log while another frame is half sent, and may raise an exception there; then the rest of that frame
is sent before the next one.
"""

from __future__ import annotations

import socket
import threading
from collections import deque

from .channel import Bytes, header, send

__all__ = ["Wire"]


class Wire:
    """Sends frames to the parent.

    Attributes:
        job: the run that is under way, 0 between jobs.
        last: the last run that has sent something before its answer.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.job = 0
        self.last = 0
        self._lock = threading.RLock()  # guards the next two, and the order on the stream
        self._busy = False  # in the midst of a frame
        self._told: deque[tuple[bytes, list[int]]] = deque()  # frames, and what is sent of each

    def answer(self, head: bytes, body: Bytes = b"") -> bool:
        """Send a frame between jobs, on the main thread; False if the parent is gone."""
        try:
            with self._lock:
                if self._told:
                    self._flush()
                self._busy = True
                send(self.sock, head, body)
                self._busy = False
                if self._told:  # by a signal's handler, in the midst of that
                    self._flush()
        except ConnectionError:
            return False
        return True

    def tell(self, kind: int, body: bytes) -> None:
        """Send something of the run that is under way; in vain if the parent is gone."""
        self.last = self.job
        data = header(self.job, kind, body) + body
        try:
            with self._lock:
                self._told.append((data, []))
                while self._told and not self._busy:
                    self._flush()
        except ConnectionError:
            pass

    def _flush(self) -> None:
        self._busy = True
        try:
            while self._told:
                data, sent = self._told[0]
                if sum(sent) < len(data):
                    # Sending, and noting how much was sent, are one call in C, so that no exception
                    # comes between the two.
                    sent.extend(map(self.sock.send, (memoryview(data)[sum(sent) :],)))
                else:
                    self._told.popleft()
        finally:
            self._busy = False
