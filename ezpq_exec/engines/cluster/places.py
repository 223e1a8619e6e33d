"""The places for slots on Dask workers: which are taken, and which slots wait for one.

There are as many places as slots, so a slot waits for a place only for a moment.
"""

from __future__ import annotations

import itertools
from collections import deque

from .posts import Post, Site

__all__ = ["Places"]


class Places:
    """The places on all sites.

    Attributes:
        count: how many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._free: dict[Site, int] = {}  # of the sites that may get more, how many are left
        self._waiting: deque[Post] = deque()
        self._terms = itertools.count(1)

    def has(self, site: Site) -> bool:
        """Whether slots may be there."""
        return site in self._free

    def add(self, site: Site) -> None:
        """Add a site, with all its places."""
        self._free[site] = site.slots
        self.count += site.slots
        for _ in range(min(site.slots, len(self._waiting))):
            self.take(self._waiting.popleft())

    def withdraw(self, site: Site) -> bool:
        """Give out no more places there; whether any were given out."""
        if self._free.pop(site, None) is None:
            return False
        self.count -= site.slots
        return True

    def take(self, post: Post) -> None:
        """Start a slot where most places are free. If none is, it waits for one."""
        site = max(self._free, key=lambda site: self._free[site], default=None)
        if site is None or self._free[site] <= 0:
            post.site = None
            self._waiting.append(post)
            return
        self._free[site] -= 1
        post.site, post.term, post.gone = site, next(self._terms), False
        site.say("start", post.slot, post.term)

    def leave(self, post: Post) -> None:
        """Remove a slot; another one may have its place."""
        site = post.site
        if site is None:
            self._waiting.remove(post)
            return
        if not post.gone:
            site.say("retire", post.slot)
        if site in self._free:
            self._free[site] += 1
            if self._waiting:
                self.take(self._waiting.popleft())
