"""A call on its way through somebody else's executor, and what it brings back.

The lender calls the errand itself, if it runs jobs in this process, or else a copy that it has
unpickled. Whatever the function does becomes the answer, so a lender's future fails only through a
fault of the lender. A lender's worker imports this module and hardly anything else.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .. import packing
from ..jobs import Call
from . import board
from .shared import opened
from .usage import usage

__all__ = ["Answer", "Copy", "Errand", "PackedCall", "nothing", "owners_here"]


_here = threading.local()


def owners_here() -> tuple[object, ...]:
    """The owners of the errands that this thread is running, one within the other."""
    owners: tuple[object, ...] = getattr(_here, "owners", ())
    return owners


class Answer(NamedTuple):
    """What became of a call. Times are on the monotonic clock of the host that it ran on.

    `packed`: the value is pickled. So is every error that comes from another process.
    """

    returned: bool
    value: Any
    packed: bool
    started: float
    ended: float
    cpu_time: float
    max_rss: int | None
    pid: int


class Errand:
    """A call that the lender runs once at most, in this process or, as a copy, in another.

    Attributes:
        began: when it began here, in monotonic seconds.
        owner: whose it is.
        was_refused: it was withdrawn just as it was to be copied, so it was not.
    """

    __slots__ = ("_call", "_claims", "_copied", "began", "owner", "was_refused")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._claims = [None]  # whoever pops this item decides whether the errand runs
        self._copied = False
        self.began: float | None = None
        self.owner: object = None
        self.was_refused = False

    def __repr__(self) -> str:
        return "<Errand>"  # without the user's objects, whose own may fail

    def __call__(self) -> Answer | None:
        """Run it; None if it was withdrawn."""
        try:
            self._claims.pop()
        except IndexError:
            return None
        cpu = time.thread_time()
        started = self.began = time.monotonic()
        outer = owners_here()
        _here.owners = (*outer, self.owner)
        returned, value = _run(*opened(self._call))
        _here.owners = outer
        ended = time.monotonic()
        cpu = time.thread_time() - cpu
        return Answer(returned, value, False, started, ended, cpu, None, os.getpid())

    def __reduce__(self) -> tuple[Any, ...]:
        self._copied = True
        if not self._claims:
            self.was_refused = True
            raise pickle.PicklingError("this errand was withdrawn")
        function, args, kwargs = self._call
        return Copy, (function, args, dict(kwargs))

    def withdraw(self) -> bool:
        """Keep it from running from now on; whether it is certain that it has not begun."""
        try:
            self._claims.pop()
        except IndexError:
            return False
        return not self._copied

    @property
    def waits_here(self) -> bool:
        """Whether it has not begun, and was not copied to another process."""
        return bool(self._claims) and not self._copied


class Copy:
    """An errand in another process."""

    __slots__ = ("_call",)

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __call__(self) -> Answer:
        """Run it."""
        return _run_far_off(lambda: self._call, pack=False)


class PackedCall:
    """A call that was packed, for lenders (such as Dask) that ask more of a function than a call."""

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __repr__(self) -> str:
        return "<PackedCall>"  # which shows on Dask's dashboard

    def __call__(self) -> Answer:
        """Run it."""
        return run_packed(self._packed)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedCall, (self._packed,)

    def __dask_tokenize__(self) -> str:
        """Always a new token: of calls with equal tokens, Dask runs only one."""
        return os.urandom(16).hex()


def run_packed(packed: bytes) -> Answer:
    """Run a call that was packed by `packing.pack_call`, and pack what it returns."""
    return _run_far_off(lambda: packing.load_call(packed), pack=True)


def run_bundle(
    path: str, head: bytes, calls: Sequence[tuple[int, bytes]], *, strict: bool
) -> list[tuple[Any, ...] | None]:
    """Run calls that were packed, one after another; None for each that was taken back.

    Each answer is put on the page before the next call begins. If there is no room for it, the
    other calls are not run. `strict`: a result that does not pickle fails its job; else the lender
    may carry it in its own way.
    """
    answers: list[tuple[Any, ...] | None] = []
    for cell, packed in calls:
        ticket = (path, head, cell)
        if not board.begin(ticket):
            answers.append(None)
            continue
        answer = tuple(_run_far_off(lambda: packing.load_call(packed), pack=True, strict=strict))  # noqa: B023
        answers.append(answer)
        if len(answers) < len(calls) and not board.leave(ticket, answer):
            break
    return answers


def run_in_turn(errands: Sequence[Errand], answers: list[Answer | None]) -> list[Answer | None]:
    """Run errands of this process one after another; add to `answers` what each came to, None if withdrawn.

    So whoever has that list knows the answers of those that have ended before the last has.
    """
    for errand in errands:
        answers.append(errand())  # noqa: PERF401 - each as it comes
    return answers


def nothing() -> None:
    """Do nothing: an empty call, to find out whether a lender takes any."""


def _pack(value: Any, strict: bool) -> tuple[Any, bool]:
    try:
        return packing.pack(value), True
    except Exception:
        if strict:
            raise
        return value, False


def _run(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[bool, Any]:
    try:
        return True, function(*args, **kwargs)
    except BaseException as error:  # whatever a job raises is its outcome, SystemExit included
        return False, packing.without_our_frame(error)


def _run_far_off(load: Callable[[], tuple[Any, ...]], *, pack: bool, strict: bool = True) -> Answer:
    """Run a call in a process of the lender's, which may be on another host."""
    # On the main thread, all CPU time of the process counts for the job; else only the thread's.
    alone = threading.current_thread() is threading.main_thread()
    before = usage()[0] if alone else time.thread_time()
    started = time.monotonic()
    ended = 0.0
    try:
        function, args, kwargs = load()
        returned, value = _run(function, args, kwargs)
        ended = time.monotonic()
        if not returned:
            value = packing.pack_error(value)
        elif pack:
            value, pack = _pack(value, strict)
    except BaseException as error:  # the call does not unpickle here, or the result not pickle
        ended = ended or time.monotonic()
        returned, value = False, packing.pack_error(packing.without_our_frame(error))
    used, rss = usage()
    cpu = (used if alone else time.thread_time()) - before
    packed = pack or not returned
    return Answer(returned, value, packed, started, ended, max(0.0, cpu), rss or None, os.getpid())
