"""A progress bar, which moves when it is told to and looks at nothing by itself."""

from __future__ import annotations

import functools
from typing import Any, Protocol

from .extras import load

__all__ = ["INTERVAL", "Bar", "bar", "check"]

INTERVAL = 0.1  # seconds: no bar is drawn more often while it moves


class Bar(Protocol):
    """What can be done with a bar, which is tqdm's."""

    def update(self, n: int) -> object:
        """`n` more are done. It is drawn at once, if it was not within the last `INTERVAL`."""

    def refresh(self) -> object:
        """Draw it as it is: to be called when nothing has come for an `INTERVAL`."""

    def close(self) -> None:
        """End it; it stays as it is."""


def bar(total: int, label: str | None = None) -> Bar:
    """Begin a bar on stderr, or in a notebook's cell.

    Args:
        total: how many there will be.
        label: what stands before it.

    Raises:
        ImportError: tqdm is not installed (`pip install ezpq_exec[progress]`).
    """
    begun: Bar = _kind()(total=total, desc=label, unit="job", miniters=1, mininterval=INTERVAL)
    return begun


def check() -> None:
    """Raise ImportError unless there can be bars."""
    _kind()


@functools.cache
def _kind() -> Any:
    base = load("tqdm.auto", extra="progress", purpose="a progress bar").tqdm
    # No thread: tqdm's own would look every ten seconds whether bars should have moved.
    return type("Bar", (base,), {"monitor_interval": 0})
