"""A slot on a Dask worker, and what a slot needs of that worker. For `postings` and `places`."""

from __future__ import annotations

from typing import Any, Protocol

from .clocks import Clock

__all__ = ["Post", "Site"]


class Site(Protocol):
    """A Dask worker with an outpost of ours: a `Session`, as far as this goes."""

    clock: Clock

    @property
    def address(self) -> str:
        """Its address."""

    @property
    def host(self) -> str:
        """Where that is."""

    @property
    def slots(self) -> int:
        """How many jobs it runs at once."""

    @property
    def is_fresh(self) -> bool:
        """Whether it was heard of lately."""

    def say(self, *message: Any) -> None:
        """Send an order."""


class Post:
    """A slot.

    Attributes:
        site: where its worker is; None while it waits for a place.
        term: the number of the order by which that was started there.
        life: its worker's number; 0 while there is none that is ready.
        number: the job in hand, 0 for none.
        sent, at, began: whether that job was sent, when, and when it began (monotonic seconds).
        gone: the site is gone, which will be reported.
    """

    __slots__ = ("at", "began", "gone", "life", "number", "pid", "sent", "site", "slot", "term")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.site: Site | None = None
        self.term = 0
        self.life = 0
        self.pid: int | None = None
        self.number = 0
        self.sent = False
        self.at = 0.0
        self.began: float | None = None
        self.gone = False
