"""From what is known of a dead worker to the `Loss` or the exception that tells of it."""

from __future__ import annotations

import signal
import time

from ..errors import WorkerDied
from ..jobs import Output, Verdict
from ..reports import Loss
from .messages import Died

__all__ = ["loss", "sudden", "unready"]

_SIGKILL = 9  # which has no name on Windows, where this is read, too


def _signal_name(exitcode: int | None) -> str | None:
    if exitcode is None or exitcode >= 0:
        return None
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


def loss(died: Died, begun: float | None, output: Output | None = None) -> Loss:
    """A worker's loss, as its keeper told it.

    `begun`: when it began what it had in hand; `output`: what that wrote.
    """
    return Loss(
        begun=begun,
        ended=died.ended,
        pid=died.pid,
        exitcode=died.exitcode,
        signal=_signal_name(died.exitcode),
        reason=Verdict[died.reason] if died.reason else None,
        stack=died.stack,
        survivors=died.survivors,
        peak=died.peak,
        output=output,
    )


def sudden(
    begun: float | None,
    pid: int | None,
    reason: str | None,
    cause: BaseException | None,
    output: Output | None,
) -> Loss:
    """The loss of a worker together with its keeper, which could not report it.

    If we have killed the keeper, we know why: for `reason`, a verdict's name, or for `cause`.
    """
    is_ours = reason is not None or cause is not None
    return Loss(
        begun=begun,
        ended=time.monotonic(),
        pid=pid,
        exitcode=-_SIGKILL if is_ours else None,
        signal="SIGKILL" if is_ours else None,
        reason=Verdict[reason] if reason else None,
        cause=cause,
        output=output,
        keeper_lost=not is_ours,
    )


def unready(died: Died) -> WorkerDied:
    """The error for a worker that died before it was ready."""
    how = _signal_name(died.exitcode) or f"exit code {died.exitcode}"
    return WorkerDied(
        f"a worker died before it was ready: {how} (pid {died.pid})",
        pid=died.pid,
        exitcode=died.exitcode,
        signal=_signal_name(died.exitcode),
        stack=died.stack,
    )
