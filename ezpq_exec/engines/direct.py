"""Runs a call in the calling thread, and returns its `Outcome`, with its times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..jobs import Outcome, Verdict

__all__ = ["run_here"]


def run_here(
    started: float, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Outcome:
    """Run a call, whatever it raises.

    Args:
        started: when its job began (monotonic seconds), which is now.
        function: what to call.
        args: with these arguments,
        kwargs: and these.

    Returns:
        Its outcome, with its times.

    >>> run_here(time.monotonic(), int, ("12",), {"base": 8}).value
    10
    >>> run_here(time.monotonic(), int, ("twelve",), {}).verdict.name
    'RAISED'
    """
    cpu = time.thread_time()
    try:
        value = function(*args, **kwargs)
        verdict = Verdict.RETURNED
    except BaseException as error:  # whatever a job raises is its outcome, SystemExit included
        value = error
        verdict = Verdict.RAISED
    return Outcome(
        verdict,
        value,
        started=started,
        ended=time.monotonic(),
        cpu_time=time.thread_time() - cpu,
        exitcode=0 if verdict is Verdict.RETURNED else 1,
    )
