"""The executor's side of a cluster: a thread with an event loop, and a session with each Dask worker.

The scheduler tells it which Dask workers there are (`following`). It keeps a session with each that
may be used, and tells the engine of them through an inbox.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from typing import Any, NamedTuple

from ...inbox import Inbox
from .connecting import CONNECT, UnfitError
from .following import FIRST_PAUSE, LONGEST_PAUSE, Following, Listed
from .session import Session, Silence
from .terms import Terms

__all__ = ["Liaison", "News"]

_log = logging.getLogger("ezpq_exec")


class News(NamedTuple):
    """`what`: "joined", "said", "gone" or "removed" of a session; "broken" or "over" of the whole."""

    what: str
    session: Session | None = None
    details: tuple[Any, ...] = ()


class Liaison:
    """Connects to a cluster, and stays connected.

    Args:
        address: the scheduler's.
        connection: arguments for Dask's `connect`.
        terms: which Dask workers may be used, and for how many jobs.
        silence: for how long a Dask worker may be silent.
        reconnect_timeout: seconds for which the scheduler may be away.
        inbox: where `News` is put.
    """

    def __init__(
        self,
        address: str,
        connection: dict[str, Any],
        terms: Terms,
        silence: Silence,
        reconnect_timeout: float,
        inbox: Inbox[News],
    ) -> None:
        self._following = Following(address, connection, reconnect_timeout, self)
        self._connection = connection
        self._terms = terms
        self._silence = silence
        self._inbox = inbox
        self._setup = b""
        self._listed: Listed = {}
        self._sessions: dict[str, Session] = {}  # those that are connected, by address
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._unfit: dict[str, UnfitError] = {}
        self._is_known = False  # the scheduler has said which Dask workers there are
        self._awaited: set[str | None] = set()  # Dask workers for which `start` waits
        self._first: Future[int] = Future()
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop  # this and the next from `start` on
        self._thread: threading.Thread

    # From the engine's thread ---------------------------------------------------------------

    def start(self, setup: bytes) -> int:
        """Connect, and wait for the workers that are there; how many jobs they can run at once.

        Raises:
            OSError: the scheduler could not be reached in time.
            UnfitError: it is not one that can be used.
        """
        self._setup = setup
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="ezpq_exec-dask")
        self._thread.start()
        try:
            return self._first.result()
        except BaseException:
            self.end()
            self._thread.join()
            raise

    def end(self) -> None:
        """Follow no more; "over" is told when no session is left, or again if that was so before."""
        try:
            self._loop.call_soon_threadsafe(self._closing.set)
        except RuntimeError:  # its thread has ended
            self._inbox.put(News("over"))

    def join(self) -> None:
        """Wait for the end of its thread, which has said that it is over."""
        self._thread.join()

    # Its own thread -------------------------------------------------------------------------

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as failure:  # a defect of ours, or no more memory
            _log.critical("the connection to a Dask cluster failed", exc_info=True)
            self._break(failure)
        finally:
            self._loop.run_until_complete(_end_all())
            asyncio.set_event_loop(None)
            self._loop.close()
            self._inbox.put(News("over"))

    async def _serve(self) -> None:
        follower = asyncio.ensure_future(self._follow())
        await self._closing.wait()
        follower.cancel()
        await asyncio.wait([follower])
        self._listed.clear()
        for address, keeper in list(self._keepers.items()):
            if address not in self._sessions:
                keeper.cancel()  # it is connecting, or waiting to
        if self._keepers:
            await asyncio.wait(self._keepers.values())

    async def _follow(self) -> None:
        try:
            await self._following.run()
        except (OSError, UnfitError) as failure:
            self._break(failure)
        except Exception as failure:  # a defect of ours: nobody must wait for it for ever
            _log.critical("the roster of a Dask cluster cannot be followed", exc_info=True)
            self._break(failure)

    def _break(self, failure: BaseException) -> None:
        if not self._first.done():
            self._first.set_exception(failure)
        elif not self._closing.is_set():
            self._inbox.put(News("broken", None, (failure,)))

    # What is heard of the scheduler: see `Listener` --------------------------------------------

    def all_are(self, listed: Listed) -> None:
        """These are there, and no others."""
        for address in self._listed.keys() - listed.keys():
            self.one_left(address)
        for address, worker in listed.items():
            self.one_came(address, worker)
        if not self._is_known:
            self._is_known = True
            self._loop.call_later(CONNECT, self._settle)
            self._awaited = set(self._keepers)
            self._arrived(None)

    def one_came(self, address: str, worker: dict[str, Any]) -> None:
        """One more."""
        self._listed[address] = worker
        slots = self._terms.slots_of(address, worker)
        if slots and address not in self._keepers:
            keeper = asyncio.ensure_future(self._keep(address, worker, slots))
            self._keepers[address] = keeper
            keeper.add_done_callback(lambda _: self._kept(address))

    def one_left(self, address: str) -> None:
        """One less."""
        self._listed.pop(address, None)
        self._unfit.pop(address, None)
        session = self._sessions.get(address)
        if session is not None:
            self._inbox.put(News("removed", session))
        elif address in self._keepers:
            self._keepers[address].cancel()

    # Sessions -------------------------------------------------------------------------------

    def _arrived(self, address: str | None) -> None:
        """A Dask worker has been tried. When all have been, `start` may return."""
        self._awaited.discard(address)
        if self._is_known and not self._awaited:
            self._settle()

    def _settle(self) -> None:
        if not self._first.done():
            self._first.set_result(sum(session.slots for session in self._sessions.values()))

    def _kept(self, address: str) -> None:
        """The session with a worker is over; if the worker is there again, begin another one."""
        del self._keepers[address]
        if address in self._listed and address not in self._unfit:
            self.one_came(address, self._listed[address])

    async def _keep(self, address: str, worker: dict[str, Any], slots: int) -> None:
        """Have a session with that worker, and another when one has ended, while it is listed."""
        pause = FIRST_PAUSE
        where = f"the Dask worker at {address}"
        common = self._connection, self._setup, self._silence, self._told
        while address in self._listed:
            session = Session(address, worker["host"], slots, *common)
            try:
                await session.run()
                pause = FIRST_PAUSE
            except UnfitError as failure:
                self._reject(address, failure)
                return
            except OSError as failure:
                _log.info("no connection to %s: %r", where, failure)
            except Exception as failure:  # it speaks otherwise than we do; to ask again is no use
                self._reject(address, UnfitError(f"{where} cannot be used: {failure!r}"))
                return
            finally:
                self._sessions.pop(address, None)
                self._arrived(address)
            if address in self._listed:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _reject(self, address: str, failure: UnfitError) -> None:
        """Do without that worker. If there is no other that can be used, the executor breaks."""
        _log.warning("%s", failure)
        self._unfit[address] = failure
        if not self._sessions and all(
            address in self._unfit
            for address, worker in self._listed.items()
            if self._terms.slots_of(address, worker)
        ):
            self._break(failure)

    def _told(self, session: Session, what: str, *details: Any) -> None:
        if what == "joined":
            self._sessions[session.address] = session
        self._inbox.put(News(what, session, details))
        self._arrived(session.address)


async def _end_all() -> None:
    """Cancel all other tasks of this thread, and wait for their end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
