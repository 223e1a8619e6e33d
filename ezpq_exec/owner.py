"""`Owner`: what a future asks of the loop that will resolve it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .jobs import Job, JobInfo

if TYPE_CHECKING:
    from .offers import Handover

__all__ = ["Owner"]


class Owner(Protocol):
    """A loop, as a future sees it."""

    def check_process(self) -> None:
        """Raise RuntimeError in a fork of the process that the job was submitted in."""

    def cancelled(self, job: Job) -> None:
        """The future has just been cancelled."""

    def hold(self, job: Job) -> bool:
        """Take the job back from a worker's queue; False if it has begun."""

    def kill(self, job: Job) -> bool:
        """Kill the job if it runs; whether it will be."""

    def reprioritize(self, job: Job, priority: Any) -> bool:
        """Change the priority if the job waits; whether it did."""

    def fetch(self, record: Handover, timeout: float | None) -> None:
        """Wait for the answer on the caller's own thread."""

    def remind(self, record: Handover) -> None:
        """See to an answer that one thread was about to fetch, since another one waits for it, too."""

    def describe(self, job: Job) -> JobInfo:
        """What is known of a job that is not settled."""

    def call_back(self, callback: Callable[[], object]) -> None:
        """Have a user's callback called."""
