"""What to add to another host's monotonic clock to have ours. Pure: it is told what was measured.

A question goes there and an answer comes back, as in NTP: the other clock was read at some moment
between the two. The quicker the round trip, the better that moment is known; so the quickest of the
last few counts.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Clock"]

KEPT = 16  # measurements: clocks drift, so that old ones must go


class Clock:
    """Another host's clock, seen from here.

    >>> clock = Clock()
    >>> clock.measured(asked=10.0, theirs=507.0, answered=12.0)
    >>> clock.measured(asked=20.0, theirs=516.1, answered=20.2)
    >>> round(clock.here(517.0), 3)
    21.0
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=KEPT)  # round trip, difference
        self._difference = 0.0

    def measured(self, asked: float, theirs: float, answered: float) -> None:
        """Their clock showed `theirs` between `asked` and `answered` on ours (all in seconds)."""
        self._samples.append((answered - asked, (asked + answered) / 2 - theirs))
        self._difference = min(self._samples)[1]

    def here(self, theirs: float) -> float:
        """Our time when theirs was that."""
        return theirs + self._difference

    def between(self, earliest: float, theirs: float, latest: float) -> float:
        """As `here`, but within what is known otherwise."""
        return min(max(self.here(theirs), earliest), latest)

    def span(
        self, earliest: float, began: float, ended: float, latest: float
    ) -> tuple[float, float]:
        """As `between`, for both ends of what took a while there; how long stays as it was.

        >>> clock = Clock()
        >>> clock.measured(asked=10.0, theirs=507.0, answered=12.0)  # so a second may be wrong
        >>> clock.span(20.0, 515.5, 516.75, 30.0)
        (20.0, 21.25)
        """
        difference = max(self._difference, earliest - began)
        difference = min(difference, latest - ended)
        return max(began + difference, earliest), ended + difference
