"""The executor's side of one Dask worker: the connection to its outpost, from its start to its end.

The end is told when it is certain that nothing runs there for us any more: the outpost has said so,
or its process is gone, or its lease must have run out. It is also told which jobs had begun, if
that is known.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

from distributed import rpc

from ... import packing
from . import garrison
from .clocks import Clock
from .connecting import UnfitError, answered, connected, installed
from .stream import Message, Stream

__all__ = ["Session", "Silence"]

# Seconds that connecting for the farewell may take, at first and at most. Dask tries for all of
# that time, even where nobody listens.
FIRST_ATTEMPT, LONGEST_ATTEMPT = 0.1, 2.0


class Silence:
    """For how long the other side may be silent, in seconds.

    Attributes:
        limit: silence of an outpost after which it is taken for gone.
        lease: silence of the executor after which an outpost kills what it runs. It is shorter than
            `limit` by more than the time that killing may take.
        pulse: time between two questions whether the other side is there.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.lease = limit / 2
        self.pulse = limit / 10


class Session:
    """The connection to one outpost.

    Args:
        address: of the Dask worker.
        host: where that is.
        slots: how many jobs it runs at once.
        connection: arguments for Dask's `connect`: its security.
        setup: a `Setup`, packed.
        silence: how long nothing may be heard.
        tell: is given what happens: ("joined",), ("said", messages), ("gone", cause, begun).

    `say` is for any thread, the rest for the event loop's.
    """

    def __init__(
        self,
        address: str,
        host: str,
        slots: int,
        connection: dict[str, Any],
        setup: bytes,
        silence: Silence,
        tell: Callable[..., object],
    ) -> None:
        self.address = address
        self.host = host
        self.slots = slots
        self.clock = Clock()
        self.heard_at = 0.0
        self._id = uuid.uuid4().hex
        self._connection = connection
        self._setup = setup
        self._silence = silence
        self._tell = tell
        self._stream: Stream | None = None
        self._echo = 0.0
        self._begun: frozenset[int] | None = None
        self._is_over = False

    def say(self, *message: Any) -> None:
        """Send an order to the outpost; in vain if it is gone."""
        if self._stream is not None:
            self._stream.say(*message)

    @property
    def is_fresh(self) -> bool:
        """Whether it was heard of lately."""
        return time.monotonic() - self.heard_at < 3 * self._silence.pulse

    async def run(self) -> None:
        """Connect, and pass on what is said, until that is over.

        Raises:
            OSError: it could not be reached; nothing was told then.
            UnfitError: it cannot run jobs for us; the same.
        """
        comm = await self._connect()
        self.heard_at = time.monotonic()
        stream = self._stream = Stream(comm, lambda: self._echo)
        stream.heard = self._hear
        self._tell(self, "joined")
        tasks = [
            asyncio.ensure_future(each)
            for each in (stream.send(), self._listen(stream), self._take_pulse(stream))
        ]
        cause: BaseException | None = None
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            cause = next(task.exception() for task in tasks if task.done())
        finally:
            self._stream = None
            for task in tasks:
                task.cancel()
            comm.abort()
            await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if not self._is_over:
                self._begun = await self._farewell()
        finally:
            self._tell(self, "gone", cause, self._begun)

    async def _connect(self) -> Any:
        where = f"the Dask worker at {self.address}"
        limit = self._silence.limit
        await installed(self.address, where, self._connection, "run", garrison.install, limit)
        greeting = {
            "op": garrison.GREETING,
            "session": self._id,
            "setup": self._setup,
            "lease": self._silence.lease,
        }
        comm = await connected(self.address, self._connection, greeting)
        try:
            self._check(await answered(comm.read(), limit))
        except BaseException:
            comm.abort()
            raise
        return comm

    def _check(self, greeting: dict[str, Any] | None) -> None:
        where = f"the Dask worker at {self.address}"
        if greeting is None:  # it has other names for what it was asked
            raise UnfitError(f"{where} has another version of ezpq_exec")
        if "failure" in greeting:
            failure = packing.unpack_error(greeting["failure"])
            raise UnfitError(f"{where} cannot run jobs: {failure!r}") from failure

    def _hear(self, stamp: float) -> None:
        self._echo = stamp
        self.heard_at = time.monotonic()

    async def _listen(self, stream: Stream) -> None:
        while not self._is_over:
            news = await stream.receive()
            rest = [message for message in news if not self._keep(message)]
            if rest:
                self._tell(self, "said", rest)

    def _keep(self, message: Message) -> bool:
        """Whether a message is for the session itself."""
        if message[0] == "pulse":
            self.clock.measured(message[1], message[2], time.monotonic())
        elif message[0] == "over":
            self._is_over = True
            self._begun = message[1]
        return message[0] in ("pulse", "over")

    async def _take_pulse(self, stream: Stream) -> None:
        while time.monotonic() - self.heard_at < self._silence.limit:
            stream.say("pulse", time.monotonic())
            await asyncio.sleep(self._silence.pulse)
        raise TimeoutError(f"nothing was heard of it for {self._silence.limit:g} s")

    async def _farewell(self) -> frozenset[int] | None:
        """Wait until nothing can run there: which jobs had begun; None if nobody knows."""
        attempt = FIRST_ATTEMPT
        while (left := self.heard_at + self._silence.limit - time.monotonic()) > 0:
            try:
                async with rpc(
                    self.address, timeout=min(left, attempt), connection_args=self._connection
                ) as worker:
                    ask = getattr(worker, garrison.FAREWELL)(session=self._id)
                    begun = await answered(ask, left)
            except OSError as failure:
                if _is_refusal(failure):
                    return None
                attempt = min(2 * attempt, LONGEST_ATTEMPT)
            else:
                return None if begun is None else frozenset(begun)
        return None


def _is_refusal(failure: BaseException | None) -> bool:
    """Whether nothing listens at that address: its process is gone."""
    while failure is not None:
        if isinstance(failure, ConnectionRefusedError):
            return True
        failure = failure.__cause__ or failure.__context__
    return False
