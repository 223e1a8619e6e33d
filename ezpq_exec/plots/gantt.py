"""The Gantt chart: a bar a job, pale while it waits, coloured while it runs, pale until collected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ..records import Record
from .style import GREY, Clock, colours, escape, look, panels

__all__ = ["Wishes", "draw"]

LABELLED = 40  # rows that can have a label each
SEPARATE = 150  # rows that can have a gap between them
NARROWEST = 1 / 800  # of the width: what is shorter would not be seen


class Wishes(NamedTuple):
    """How the picture is to be."""

    color_by: str | None
    facet_by: str | None
    facet_scale: str
    show_legend: bool
    bar_width: float
    title: str | None
    color_pal: Sequence[str] | None
    theme: str


def draw(g: Any, pandas: Any, records: Sequence[Record], until: datetime, wishes: Wishes) -> Any:
    """Make the picture; `until` is the end of what has none."""
    clock = Clock(records, until)
    panel, headings = panels(records, wishes.facet_by)
    rows = _rows(records, panel)
    tallest = max(rows) - min(rows) + 1
    fill, layers = colours(
        g, pandas, records, wishes.color_by, wishes.color_pal, wishes.show_legend
    )
    half = wishes.bar_width * (0.4 if tallest <= SEPARATE else 0.5)
    bars = pandas.DataFrame(
        {
            "fill": fill,
            "panel": pandas.Categorical(panel, categories=headings),
            "top": [row - half for row in rows],
            "bottom": [row + half for row in rows],
        }
    )
    box = {"xmin": "left", "xmax": "right", "ymin": "top", "ymax": "bottom"}
    plot = g.ggplot()
    pale = _spans(bars, [_pale(record, clock, until) for record in records])
    if len(pale):
        plot += g.geom_rect(pale, g.aes(**box), fill=GREY)
    runs = _spans(bars, [_run(record, clock, until) for record in records])
    if len(runs):
        plot += g.geom_rect(runs, g.aes(fill="fill", **box))
        plot += layers
    if len(headings) > 1:
        plot += g.facet_grid(rows="panel", scales=wishes.facet_scale)
    plot += _axis(g, records, rows, single=len(headings) == 1)
    plot += g.labs(x=clock.unit, y="job", title=wishes.title and escape(wishes.title))
    return plot + look(g, wishes.theme, _height(tallest, len(headings)))


def _rows(records: Sequence[Record], panel: Sequence[str]) -> list[int]:
    """Each job's row: its id, or its place in its panel where ids repeat or are far apart."""
    ids: dict[str, list[int]] = {}
    for record, name in zip(records, panel, strict=True):
        ids.setdefault(name, []).append(record.id)
    if all(len(set(each)) == len(each) and _dense(each) for each in ids.values()):
        return [record.id for record in records]
    order = sorted(range(len(records)), key=lambda i: (records[i].submitted, records[i].id))
    rows, last = [0] * len(records), dict.fromkeys(ids, 0)
    for index in order:
        last[panel[index]] += 1
        rows[index] = last[panel[index]]
    return rows


def _dense(ids: Sequence[int]) -> bool:
    return max(ids) - min(ids) < 2 * len(ids)


Spans = Iterator[tuple[float, float]]


def _pale(record: Record, clock: Clock, until: datetime) -> Spans:
    begun = record.started or record.ended or record.processed or until
    yield clock.at(record.submitted), clock.at(begun)
    if record.started and record.ended and record.processed:
        yield clock.at(record.ended), clock.at(record.processed)


def _run(record: Record, clock: Clock, until: datetime) -> Spans:
    if record.started:
        start = clock.at(record.started)
        yield start, max(clock.at(record.ended or until), start + clock.span * NARROWEST)


def _spans(bars: Any, spans: Sequence[Spans]) -> Any:
    """The rows of `bars`, each once for each of its spans."""
    found = [(i, left, right) for i, each in enumerate(spans) for left, right in each]
    table = bars.iloc[[i for i, _, _ in found]].copy()
    table["left"] = [left for _, left, _ in found]
    table["right"] = [right for _, _, right in found]
    return table


def _axis(g: Any, records: Sequence[Record], rows: Sequence[int], *, single: bool) -> Any:
    """Jobs from the top down: each with its label, if these are few and have a panel to themselves."""
    if not single or len(records) > LABELLED:
        return g.scale_y_reverse(breaks=lambda limits: _whole(g, limits))
    labels = {row: _label(record) for row, record in zip(rows, records, strict=True)}
    return g.scale_y_reverse(breaks=list(labels), labels=list(labels.values()))


def _label(record: Record) -> str:
    if record.name == str(record.id):
        return record.name
    name = record.name if len(record.name) <= 24 else record.name[:23] + "…"
    return escape(f"{name}  {record.id}")


def _whole(g: Any, limits: tuple[float, float]) -> list[int]:
    """Round numbers between the limits, about five, none of them a fraction."""
    low, high = sorted(abs(each) for each in limits)
    step = 1
    while (high - low) / step > 6:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    first = -(-int(low + 0.5) // step) * step
    return list(range(first, int(high) + 1, step))


def _height(tallest: int, count: int) -> float:
    return min(max(1.2 + 0.17 * tallest * count, 2.0, 1.0 + 0.9 * count), 10 if count > 1 else 7)
