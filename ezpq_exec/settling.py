"""Jobs that are settled, and whose futures are not yet resolved: many are resolved at once.

To resolve a future may wake the thread that waits for it, which then holds up the loop. So the
futures of one turn of the loop are resolved when the loop is about to sleep, which leaves the GIL
to those that wake. While jobs end one after another, those of the next few turns are added.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .commands import Settle
from .jobs import Job, Outcome

__all__ = ["HOLD", "Settling"]

MOST = 256  # jobs whose futures may wait for those of others
HOLD = 0.001  # seconds that a future may wait for others; and as long again while jobs wait to run


class Settling:
    """The jobs that have ended and whose futures are not resolved yet.

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

    def may_grow(self, now: float) -> bool:
        """Whether the last turn added some, and the first has not waited long for others."""
        settles = self._settles
        if not self._before < len(settles) < MOST:
            return False
        return now - settles[0].outcome.ended < HOLD

    @property
    def may_wait(self) -> bool:
        """Whether the last job was so short that the next may end soon."""
        last = self._settles[-1].outcome
        return last.ended - last.started < HOLD

    def settle(self) -> None:
        """Resolve the futures, in the order in which the jobs came to their end."""
        settles, resolve = self._settles, self._resolve
        while settles:
            job, outcome = settles[0]
            resolve(job, outcome)
            settles.popleft()

    def take(self) -> list[Settle]:
        """Take out all of them; the caller resolves them."""
        settles = list(self._settles)
        self._settles.clear()
        return settles
