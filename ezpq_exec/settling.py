"""What was decided of jobs, and has yet to be told: as late, and as much at once, as does no harm.

To resolve a future may wake the thread that waits for it, and that holds the loop up. So what one
turn of the loop brings is told when the loop is about to sleep, which leaves the GIL to whoever is
woken; and while jobs come to their end one after another, so are those of the next few turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .commands import Settle
from .jobs import Job, Outcome

__all__ = ["HOLD", "Settling"]

MOST = 16  # jobs that may wait for others
HOLD = 0.001  # seconds from a job's end for which it may wait for those, while others wait to run


class Settling:
    """Jobs that are over, whose futures are not resolved.

    Args:
        resolve: resolves one.
    """

    def __init__(self, resolve: Callable[[Job, Outcome], object]) -> None:
        self._resolve = resolve
        self._settles: deque[Settle] = deque()
        self.add = self._settles.append
        self._before = 0

    def begin_turn(self) -> None:
        """What is added from now on is of another turn."""
        self._before = len(self._settles)

    @property
    def may_grow(self) -> bool:
        """Whether the last turn has brought some, and there may be others to go with them."""
        return self._before < len(self._settles) < MOST

    def may_wait(self, now: float) -> bool:
        """Whether the next end is near, as the last shows, and the first has not waited for long."""
        first, last = self._settles[0].outcome, self._settles[-1].outcome
        return now - first.ended < HOLD and last.ended - last.started < HOLD

    def settle(self) -> None:
        """Resolve the futures, in the order in which the jobs came to their end."""
        settles = self._settles
        while settles:
            self._resolve(*settles[0])
            settles.popleft()

    def take(self) -> list[Settle]:
        """Take out all, to be resolved otherwise."""
        settles = list(self._settles)
        self._settles.clear()
        return settles
