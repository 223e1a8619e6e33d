"""The places where jobs run: which are idle, which are starting, and how many there may be."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator

from .heap import Entry
from .jobs import Job

__all__ = ["Phase", "Slot", "Slots"]


class Phase(enum.Enum):
    """What a slot is doing."""

    COLD = "cold"  # no worker, and none asked for
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    GONE = "gone"  # no longer one of the executor's


class Slot:
    """One place for one job at a time."""

    __slots__ = (
        "ahead",
        "alarm",
        "depth",
        "host",
        "idle_since",
        "index",
        "is_fresh",
        "job",
        "patience",
        "phase",
        "pid",
        "since",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.phase = Phase.COLD
        self.job: Job | None = None
        self.ahead: deque[Job] = deque()  # jobs that its worker begins by itself, one after another
        self.depth = 0  # how many of those there may be
        self.patience = 0.0  # seconds for which they may stand behind one job
        self.is_fresh = False  # some were put there since they were last taken back
        self.pid: int | None = None
        self.host: str | None = None  # where its worker is, if that is elsewhere
        self.idle_since = 0.0  # meaningful only while it is idle
        self.since = 0  # the number of its job at the last `overdue`
        self.alarm: Entry | None = None  # by when its worker must be ready, or its job be over

    def __repr__(self) -> str:
        return f"<Slot {self.index} {self.phase.value}>"


class Slots:
    """The slots by index, with those that are idle and those that are cold at hand.

    `idle` and `cold` are stacks: the worker used last is the one whose memory is warm. A slot is
    on the stack of its phase exactly while it is in that phase.
    """

    def __init__(self, count: int) -> None:
        self._slots: dict[int, Slot] = {}
        self._made = 0
        self.idle: list[Slot] = []
        self.cold: list[Slot] = []
        self.starting = 0
        self.busy = 0
        self.limit = 0  # how many slots there are to be
        # How many slots there are too many. So many of the busy ones leave when they are free.
        self.surplus = 0
        self.wanted: int | None = None  # the most that there are to be, as the user says
        self.offered: int | None = None  # and as the engine says, where that is its affair
        self.resize(count)

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def get(self, index: int) -> Slot | None:
        """The slot of that index, or None if it is gone."""
        return self._slots.get(index)

    def move(self, slot: Slot, phase: Phase) -> None:
        """Take `slot` from its phase to another, and keep the counts."""
        match slot.phase:
            case Phase.IDLE:
                _take(self.idle, slot)
            case Phase.COLD:
                _take(self.cold, slot)
            case Phase.STARTING:
                self.starting -= 1
            case _:  # busy; what is gone is not moved any more
                self.busy -= 1
        slot.phase = phase
        match phase:
            case Phase.IDLE:
                self.idle.append(slot)
            case Phase.COLD:
                self.cold.append(slot)
            case Phase.STARTING:
                self.starting += 1
            case Phase.BUSY:
                self.busy += 1
            case _:  # gone
                del self._slots[slot.index]
                self.surplus -= 1

    def fit(self) -> list[Slot]:
        """Have as many slots as both user and engine allow; returns what can leave at once."""
        limits = [limit for limit in (self.wanted, self.offered) if limit is not None]
        return self.resize(min(limits))

    def resize(self, limit: int) -> list[Slot]:
        """Have `limit` slots. Adds what is missing; returns what can leave at once."""
        self.limit = limit
        missing = limit - len(self._slots)
        if missing > 0:
            fresh = [Slot(self._made + i) for i in range(missing)]
            self._made += missing
            self._slots.update((slot.index, slot) for slot in fresh)
            self.cold.extend(reversed(fresh))
        self.surplus = len(self._slots) - limit
        if missing > 0:
            return []
        order = (Phase.COLD, Phase.STARTING, Phase.IDLE)
        free = [slot for slot in self._slots.values() if slot.phase in order]
        free.sort(key=lambda slot: (order.index(slot.phase), -slot.index))
        return free[: self.surplus]


def _take(stack: list[Slot], slot: Slot) -> None:
    if stack[-1] is slot:
        stack.pop()
    else:
        stack.remove(slot)
