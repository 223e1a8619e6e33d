"""`idle_timeout`: which workers have been idle for so long that they are to leave."""

from __future__ import annotations

from collections.abc import Iterable

from .heap import Entry
from .slots import Slot

__all__ = ["Idleness"]


class Idleness:
    """One deadline for all idle slots, so that a job that comes and goes costs none.

    It is set when a slot falls idle and none is set. When it comes, those slots are found that have
    been idle for long enough; the first of the others says when to look again.

    Args:
        limit: seconds that a worker may be idle; None for ever.
    """

    __slots__ = ("alarm", "limit")

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.alarm: Entry | None = None

    def due(self, slot: Slot) -> float:
        """When the worker of `slot`, which is idle, is to go."""
        return slot.idle_since + (self.limit or 0.0)

    def overripe(self, idle: Iterable[Slot], now: float) -> list[Slot]:
        """Those among the idle slots whose time is over."""
        return [slot for slot in idle if self.due(slot) <= now]
