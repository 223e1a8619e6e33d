"""Jobs by worker: a row for each, so that it is seen which were idle, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..records import Record
from ..tracks import Run, Track, lay
from .gantt import LABELLED, NARROWEST
from .style import Clock, colours, escape, look

__all__ = ["draw"]

SEPARATE = 300  # runs that can have a line between them


def draw(
    g: Any,
    pandas: Any,
    records: Sequence[Record],
    until: datetime,
    *,
    n_workers: int,
    color_by: str | None,
    show_legend: bool,
    title: str | None,
    color_pal: Sequence[str] | None,
    theme: str,
) -> Any:
    """Make the picture; `until` is the end of what has none."""
    clock = Clock(records, until)
    tracks, runs = lay(records, until, n_workers)
    queues = list(dict.fromkeys(track.qid for track in tracks))
    headings = [escape(f"qid: {qid or 'none'}") for qid in queues]
    rows = {track: index for index, track in enumerate(tracks)}
    plot = g.ggplot() + _rules(g, pandas, tracks, rows, clock, queues, headings)
    legend = 0
    if runs:
        shown = [run.record for run in runs]
        fill, layers, legend = colours(g, pandas, shown, color_by, color_pal, show_legend)
        panel = [headings[queues.index(run.track.qid)] for run in runs]
        bars = _bars(pandas, runs, rows, clock)
        bars["fill"] = fill
        bars["panel"] = pandas.Categorical(panel, categories=headings)
        box = g.aes(xmin="left", xmax="right", ymin="top", ymax="bottom", fill="fill")
        edge = {"color": "white", "size": 0.2} if len(runs) <= SEPARATE else {}
        plot += g.geom_rect(bars, box, **edge)
        plot += layers
    if len(queues) > 1:
        plot += g.facet_grid(rows="panel", scales="free_y", space="free")
    if len(tracks) <= LABELLED:
        labels = _labels(tracks, runs, clock)
        plot += g.scale_y_reverse(breaks=list(rows.values()), labels=labels, expand=(0, 0.5))
    else:
        plot += g.scale_y_reverse(expand=(0.02, 0.6))
    plot += g.labs(x=clock.unit, y="worker", title=title and escape(title))
    return plot + look(g, theme, min(0.9 + 0.32 * len(tracks) + 0.2 * len(queues), 9), legend)


def _bars(pandas: Any, runs: Sequence[Run], rows: dict[Track, int], clock: Clock) -> Any:
    # Of many short runs, each made wider, an idle worker would look busy.
    shortest = clock.span * NARROWEST if len(runs) <= SEPARATE else 0.0
    left = [clock.at(run.start) for run in runs]
    return pandas.DataFrame(
        {
            "left": left,
            "right": [
                max(clock.at(run.end), start + shortest)
                for run, start in zip(runs, left, strict=True)
            ],
            "top": [rows[run.track] - 0.4 for run in runs],
            "bottom": [rows[run.track] + 0.4 for run in runs],
        }
    )


def _rules(
    g: Any,
    pandas: Any,
    tracks: Sequence[Track],
    rows: dict[Track, int],
    clock: Clock,
    queues: Sequence[str | None],
    headings: Sequence[str],
) -> Any:
    """A thin line along each row, so that a worker without jobs has one, too."""
    panel = [headings[queues.index(track.qid)] for track in tracks]
    lines = pandas.DataFrame(
        {
            "row": [rows[track] for track in tracks],
            "left": 0.0,
            "right": clock.span,
            "panel": pandas.Categorical(panel, categories=headings),
        }
    )
    ends = g.aes(x="left", xend="right", y="row", yend="row")
    return g.geom_segment(lines, ends, color="#888888", size=0.15)


def _labels(tracks: Sequence[Track], runs: Sequence[Run], clock: Clock) -> list[str]:
    busy = dict.fromkeys(tracks, 0.0)
    for run in runs:
        busy[run.track] += clock.at(run.end) - clock.at(run.start)
    share = {track: time / clock.span if clock.span else 0.0 for track, time in busy.items()}
    return [f"{track.label}, {share[track]:.0%} busy" for track in tracks]
