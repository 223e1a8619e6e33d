"""From the frame by which a worker answers to the `Outcome` of its job."""

from __future__ import annotations

from ..jobs import RETURNED, Outcome, Verdict
from .channel import Frame, Kind

__all__ = ["outcome_of"]


def outcome_of(frame: Frame) -> Outcome:
    """The outcome that `frame` carries, its value still packed."""
    _, kind, started, ended, cpu_time, rss, body = frame
    peak = rss or None  # where the system does not tell
    if kind == Kind.RETURNED:
        return Outcome(RETURNED, body, True, started, ended, cpu_time, peak, 0)
    return Outcome(Verdict.RAISED, body, True, started, ended, cpu_time, peak, 1)
