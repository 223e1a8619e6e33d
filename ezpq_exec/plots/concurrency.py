"""Concurrency over time: how many jobs ran, and how many waited, at each moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from ..records import Record
from .style import Clock, escape, look, round_step

__all__ = ["counts", "draw"]

RUNNING, WAITING = "#4477aa", "#b0b0b0"


def counts(spans: Iterable[tuple[float, float]]) -> list[tuple[float, int]]:
    """How many spans each moment is in: a pair for each change, beginning with it.

    >>> counts([(0, 2), (1, 2), (3, 3)])
    [(0, 1), (1, 2), (2, 0), (3, 0)]
    """
    changes = sorted(change for left, right in spans for change in ((left, 1), (right, -1)))
    found, level = [], 0
    for moment, those in groupby(changes, key=itemgetter(0)):
        level += sum(by for _, by in those)
        found.append((moment, level))
    return found


def draw(
    g: Any,
    pandas: Any,
    records: Sequence[Record],
    until: datetime,
    *,
    title: str | None,
    theme: str,
) -> Any:
    """Make the picture; `until` is the end of what has none."""
    clock = Clock(records, until)
    running = [
        (clock.at(each.started), clock.at(max(each.started, each.ended or until)))
        for each in records
        if each.started
    ]
    waiting = []
    for each in records:
        left = each.waited_until or until
        waiting.append((clock.at(each.submitted), clock.at(max(each.submitted, left))))
    steps = [_steps(pandas, running, clock, "running"), _steps(pandas, waiting, clock, "waiting")]
    table = pandas.concat(steps, ignore_index=True)
    plot = (
        g.ggplot(table, g.aes(x="moment"))
        + g.geom_ribbon(g.aes(ymin=0, ymax="count", fill="what"))
        + g.facet_grid(rows="what", scales="free_y")
        + g.scale_fill_manual(values=[RUNNING, WAITING])
        + g.guides(fill="none")
        + g.labs(x=clock.unit, y="jobs", title=title and escape(title))
        + g.scale_y_continuous(breaks=_whole, expand=(0, 0, 0.06, 0))
    )
    return plot + look(g, theme, 4.5)


def _steps(pandas: Any, spans: Sequence[tuple[float, float]], clock: Clock, what: str) -> Any:
    """The outline of the counts: where one changes, there are two points."""
    outline, level = [(0.0, 0)], 0
    for moment, count in counts(spans):
        outline += [(moment, level), (moment, count)]
        level = count
    outline.append((clock.span, level))
    table = pandas.DataFrame(outline, columns=["moment", "count"])
    table["what"] = pandas.Categorical([what] * len(table), categories=["running", "waiting"])
    return table


def _whole(limits: tuple[float, float]) -> list[int]:
    """Round numbers up to the limit, about four, none of them a fraction."""
    return list(range(0, int(limits[1]) + 1, round_step(limits[1], 5)))
