"""The Gantt chart: a bar a job, pale while it waits, coloured while it runs, pale until collected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ..records import Record
from .style import GREY, Clock, colours, escape, look, panels, round_step

__all__ = ["Wishes", "draw"]

LABELLED = 40  # rows that can have a label each
SEPARATE = 150  # rows that can have a gap between them
# Of the width: what is narrower would not be seen, the less so the lower it is.
NARROWEST = 1 / 800
NARROWEST_OF_MANY = 1 / 250
UPRIGHT = 4  # panels that are high enough for a heading from the top down
ROOM = 4  # rows that there is room for, at least: one bar alone is not to fill the picture


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
    half = wishes.bar_width * (0.4 if tallest <= SEPARATE else 0.5)
    bars = pandas.DataFrame(
        {
            "panel": pandas.Categorical(panel, categories=headings),
            "top": [row - half for row in rows],
            "bottom": [row + half for row in rows],
        }
    )
    box = {"xmin": "left", "xmax": "right", "ymin": "top", "ymax": "bottom"}
    pale = _spans(bars, [_pale(record, clock, until) for record in records])
    plot = g.ggplot() + g.geom_rect(pale, g.aes(**box), fill=GREY)
    legend, level = 0, []
    ran = [record for record in records if record.started]
    if ran:
        fill, layers, legend = colours(
            g, pandas, ran, wishes.color_by, wishes.color_pal, wishes.show_legend
        )
        least = clock.span * (NARROWEST if tallest <= SEPARATE else NARROWEST_OF_MANY)
        runs = _spans(bars, [_run(record, clock, until, least) for record in records])
        runs["fill"] = fill
        plot += g.geom_rect(runs, g.aes(fill="fill", **box))
        plot += layers
    if len(headings) > 1:
        plot += g.facet_grid(rows="panel", scales=wishes.facet_scale)
        if len(headings) > UPRIGHT:
            level.append(g.theme(strip_text_y=g.element_text(angle=0)))
    labelled = len(headings) == 1 and len(records) <= LABELLED
    plot += _axis(g, records if labelled else [], rows, max(0.6, (ROOM - tallest) / 2))
    plot += g.labs(x=clock.unit, y="job", title=wishes.title and escape(wishes.title))
    return plot + look(g, wishes.theme, _height(tallest, len(headings)), legend) + level


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
    yield clock.at(record.submitted), clock.at(record.waited_until or until)
    if record.started and record.ended and record.processed:
        yield clock.at(record.ended), clock.at(record.processed)


def _run(record: Record, clock: Clock, until: datetime, least: float) -> Spans:
    if record.started:
        start = clock.at(record.started)
        yield start, max(clock.at(record.ended or until), start + least)


def _spans(bars: Any, spans: Sequence[Spans]) -> Any:
    """The rows of `bars`, each once for each of its spans."""
    found = [(i, left, right) for i, each in enumerate(spans) for left, right in each]
    table = bars.iloc[[i for i, _, _ in found]].copy()
    table["left"] = [left for _, left, _ in found]
    table["right"] = [right for _, _, right in found]
    return table


def _axis(g: Any, labelled: Sequence[Record], rows: Sequence[int], room: float) -> Any:
    """Jobs from the top down, those of `labelled` with labels; `room`: rows beyond either end."""
    if not labelled:
        first, last = min(rows), max(rows)
        return g.scale_y_reverse(
            breaks=lambda ends: [each for each in _whole(ends) if first <= each <= last],
            expand=(0.02, room),
        )
    labels = {row: _label(record) for row, record in zip(rows, labelled, strict=True)}
    return g.scale_y_reverse(breaks=list(labels), labels=list(labels.values()), expand=(0, room))


def _label(record: Record) -> str:
    if record.name == str(record.id):
        return record.name
    name = record.name if len(record.name) <= 24 else record.name[:23] + "…"
    return escape(f"{name}  {record.id}")


def _whole(limits: tuple[float, float]) -> list[int]:
    """Round numbers between the limits, about five, none of them a fraction."""
    low, high = sorted(abs(each) for each in limits)
    step = round_step(high - low, 6)
    first = -(-int(low + 0.5) // step) * step
    return list(range(first, int(high) + 1, step))


def _height(tallest: int, count: int) -> float:
    return min(max(1.2 + 0.17 * tallest * count, 2.0, 1.0 + 0.9 * count), 10 if count > 1 else 7)
