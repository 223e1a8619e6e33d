"""Jobs as ezpq's dicts tell of them, and values that nobody would think of as a job's."""

from __future__ import annotations

import datetime as dt
from typing import Any

__all__ = ["NOW", "STRANGE", "Unspeakable", "ezpq_job"]

NOW = dt.datetime(2026, 3, 4, 5, 6, 7)  # noqa: DTZ001 - as ezpq's: local, and without saying so


def ezpq_job(**changes: Any) -> dict[str, Any]:
    """A completed job as `Queue.collect()` gives it."""
    second = dt.timedelta(seconds=1)
    return {
        "qid": "0a1b2c3d",
        "id": 1,
        "name": 1,
        "priority": 100,
        "lane": None,
        "timeout": 0,
        "function": "f",
        "args": [1],
        "kwargs": None,
        "submitted": NOW,
        "started": NOW + second,
        "ended": NOW + 3 * second,
        "processed": NOW + 4 * second,
        "exitcode": 0,
        "cancelled": False,
        "runtime": 2.0,
        "output": "out",
        "exception": None,
        "callback": None,
        **changes,
    }


class Unspeakable:
    """Says nothing of itself, and is equal to nothing."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        return 1

    def __len__(self) -> int:
        raise RuntimeError("no")


# By name, for some of them cannot be printed.
STRANGE: dict[str, Any] = {
    "dollars": "$x^2",
    "huge": "x" * 10_000_000,
    "lines": 'two\nlines " \\ \n',
    "surrogate": "\ud800",
    "empty": "",
    "unspeakable": Unspeakable(),
    "tuple": ("a", 1),
    "list": [1, {2}],
    "bytes": b"\xff",
    "nan": float("nan"),
    "inf": float("inf"),
    "large": 2**60,
    "huge number": 10**5000,
    "number": 3,
    "truth": True,
    "object": object(),
}
