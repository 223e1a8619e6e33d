"""A stdlib future that takes little memory until somebody waits, and may then fetch its own answer.

The stdlib's makes a Condition as it begins; this one does when it is first asked for. Where the job
was handed over by the very thread that submitted it, and nobody has asked for the condition since,
that thread *alone* knows of the future; so when it waits, it can fetch the answer, and resolve the
future, without a word to the loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .condition import NOBODY, SharedCondition
from .jobs import Job
from .owner import Owner

if TYPE_CHECKING:
    from .offers import Handover

__all__ = ["LightFuture"]

T = TypeVar("T")


def _what_sets(do: Callable[[Future[None]], object]) -> dict[str, Any]:
    """The attributes of a new future that `do` sets, and to what."""
    future: Future[None] = Future()
    before = dict(vars(future))
    do(future)
    return {name: value for name, value in vars(future).items() if before[name] is not value}


# Read in CPython 3.10 to 3.14: what a future begins with, and what becomes of one that nobody knows
# of but us, so that nobody waits for it, and it has no callbacks. Not to call the stdlib's methods
# for that spares a third of what a future costs.
_BLANK = {name: value for name, value in vars(Future()).items() if name != "_condition"}
_RUNNING = _what_sets(Future.set_running_or_notify_cancel)["_state"]
_RESOLVED = _what_sets(lambda future: future.set_result(None))["_state"]


class _ListLater:
    """An attribute that is a list, from when somebody first asks for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, future: Any, owner: type) -> Any:
        if future is None:
            return self
        own: list[Any] = []
        setattr(future, self._name, own)  # which is found before this from now on
        return own


class _WaitersInFork:
    """`_waiters` in a fork of the program: nobody would wake who waits for a job of the parent's.

    It is asked before the list that a future may have had at the fork, since it can be set, too.
    """

    def __get__(self, future: Any, owner: type) -> Any:
        if future is None:
            return self
        if not future.done():
            future.owner.check_process()
        return vars(future).setdefault("_waiters", [])

    def __set__(self, future: Any, value: list[Any]) -> None:
        vars(future)["_waiters"] = value


class LightFuture(Future[T]):
    """The future of a job, as far as waiting for it goes. `JobFuture` is all of it."""

    # Set on the class, since most futures never have their own.
    _handover: Handover | None = None
    _was_alone: bool | None = None  # None: it was not handed over
    _lazy_condition: SharedCondition | None = None
    _refused = False  # it was cancelled, and whoever waits for it was told so

    def __init__(self, job: Job, owner: Owner) -> None:
        # Future.__init__ is not called: what it sets is on the class, or made when asked for.
        self._job = job
        self._owner = owner

    # `_condition` is concurrent.futures' own name, read in CPython 3.10 to 3.14, where
    # `Future.__init__` sets it and all else locks it, waits on it and notifies it.
    @property
    def _condition(self) -> Any:  # type: ignore[override]
        return self._lazy_condition or self._make_condition()

    def _make_condition(self) -> SharedCondition:
        """Make it: somebody asks for it, for the first time, or for the first time since `handed_over`."""
        with SharedCondition.lock():
            condition = self._lazy_condition
            if condition is not None:
                return condition
            self._lazy_condition = condition = SharedCondition(self._owner)
        record = self._handover
        if record is not None:
            self._owner.remind(record)
        return condition

    def done(self) -> bool:
        """Whether it has a result, raises something, or was cancelled."""
        # Nothing has happened to it if it has no condition, unless a thread may fetch the answer.
        is_known = self._lazy_condition is not None or self._handover is not None
        return is_known and super().done()

    def result(self, timeout: float | None = None) -> T:
        """What the job returned, or an exception: its own, or one that says what befell it.

        Args:
            timeout: seconds to wait for it; None (default): for ever.

        Raises:
            TimeoutError: it is not done yet; the job goes on.
            CancelledError: the job was cancelled.
        """
        if self._lazy_condition is NOBODY:  # it was resolved before anybody asked
            return self._result  # type: ignore[return-value]
        return super().result(self._fetch(timeout) if self._handover is not None else timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `result`, but give the exception back; None if the job returned."""
        return super().exception(self._fetch(timeout) if self._handover is not None else timeout)

    def _fetch(self, timeout: float | None) -> float | None:
        """Fetch the answer, if no other thread has begun to; how much is left of `timeout`."""
        record = self._handover
        with SharedCondition.lock():
            if record is None or (timeout is not None and timeout <= 0):
                return timeout
            if record.claimed:
                self._owner.remind(record)
                return timeout
            record.claimed = True
        began = time.monotonic()
        self._owner.fetch(record, timeout)
        return None if timeout is None else max(0.0, timeout - (time.monotonic() - began))

    def handed_over(self, record: Handover) -> None:
        """The job was handed over by the thread that submits it, which knows this future alone."""
        self._handover = record
        self._was_alone = False
        self._lazy_condition = None  # so it is noticed when somebody else asks for it

    def resolve_alone(self, value: T) -> bool:
        """Resolve it on the thread that waits. False if somebody else waits, too: then the loop does."""
        with SharedCondition.lock():
            if self._lazy_condition is not None or self._job.condemned is not None:
                return False
            self._was_alone = True
            self.resolve(value)
            self._handover = None
        return True

    def resolve(self, value: T) -> None:
        """As `set_result`, at less cost where nobody has ever waited."""
        with SharedCondition.lock():
            if self._lazy_condition is None:  # so there is no callback either, and it is not done
                self._result = value
                self._state = _RESOLVED
                self._lazy_condition = NOBODY  # last: Ctrl-C may come between any two of these
                return
        super().set_result(value)

    @property
    def is_unseen(self) -> bool:
        """Whether nobody has ever waited for it, cancelled it, or fetched its answer."""
        return self._lazy_condition is None and self._was_alone is None

    def resolve_unseen(self, value: T) -> bool:
        """As `resolve`, if it `is_unseen` still; False, and nothing done, if it is not."""
        with NOBODY:  # the lock that all conditions share
            if self._lazy_condition is not None or self._was_alone is not None:
                return False
            self._result = value
            self._state = _RESOLVED
            self._lazy_condition = NOBODY
        return True

    def fail(self, error: BaseException) -> None:
        """Resolve it with what the job raised, or with what befell it."""
        super().set_exception(error)

    def set_result(self, result: T) -> NoReturn:
        """Refused, as are the other two: what became of a job is for its executor to say.

        Raises:
            RuntimeError: always.
        """
        raise self._is_not_yours("set_result")

    def set_exception(self, exception: BaseException | None) -> NoReturn:
        """See `set_result`."""
        raise self._is_not_yours("set_exception")

    def set_running_or_notify_cancel(self) -> NoReturn:
        """See `set_result`."""
        raise self._is_not_yours("set_running_or_notify_cancel")

    def _is_not_yours(self, what: str) -> RuntimeError:
        return RuntimeError(
            f"{what}() is for those who make futures: {self!r} is resolved by its executor alone; "
            "cancel() and kill() end a job early"
        )

    def forestall(self) -> bool:
        """Let nobody cancel the job any more; False if somebody has."""
        with SharedCondition.lock():
            if self._lazy_condition is None:  # so nobody has, and it is not done
                self._state = _RUNNING
                return True
        if not self._refused and not self.running():
            self._refused = not super().set_running_or_notify_cancel()
        return not self._refused

    def was_resolved_alone(self) -> bool:
        """Whether `resolve_alone` has resolved it. If not, it can no longer do so."""
        if self._was_alone is None:
            return False
        with SharedCondition.lock():
            if not self._was_alone and self._lazy_condition is None:
                self._lazy_condition = SharedCondition(self._owner)
            self._handover = None
            return self._was_alone and self.done()


for _name, _value in _BLANK.items():
    if type(_value) is list:
        _value = _ListLater(_name)
    setattr(LightFuture, _name, _value)


def _refuse_waiters_in_child() -> None:
    """Have `concurrent.futures.wait` and its `as_completed` say what waiting for a result says."""
    setattr(LightFuture, "_waiters", _WaitersInFork())  # noqa: B010 - as `_BLANK` is set below


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_refuse_waiters_in_child)
