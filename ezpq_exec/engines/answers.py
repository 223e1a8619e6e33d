"""What a worker's answer says of its job."""

from __future__ import annotations

from ..jobs import Outcome, Verdict
from .channel import Frame, Kind

__all__ = ["outcome_of"]


def outcome_of(frame: Frame) -> Outcome:
    """The outcome that `frame` carries, its value still packed."""
    returned = frame.kind == Kind.RETURNED
    return Outcome(
        Verdict.RETURNED if returned else Verdict.RAISED,
        frame.body,
        packed=True,
        started=frame.stamp,
        ended=frame.ended,
        cpu_time=frame.cpu_time,
        max_rss=frame.rss or None,  # where the system does not tell
        exitcode=0 if returned else 1,
    )
