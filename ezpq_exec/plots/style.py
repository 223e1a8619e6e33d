"""How all pictures look: themes, colours, and the axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..records import Record
from .groups import MOST, NONE, OTHERS, group, scalable

__all__ = ["GREY", "Clock", "colours", "escape", "look", "panels", "round_step", "themes"]

GREY = "#cfcfcf"
FATES = {
    "returned": "#4477aa",
    "raised": "#ee6677",
    "timed out": "#ee9922",
    "expired": "#ccbb44",
    "cancelled": "#999999",
    "killed": "#aa3377",
    "out of memory": "#cc6699",
    "died": "#222222",
    "broken": "#884422",
    "skipped": "#777799",
    "waiting": "#bbbbbb",
    "running": "#66ccee",
    "done": "#4477aa",
}
TRUTHS = {"False": "#4477aa", "True": "#ee6677"}
PALETTE = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"),
    *("#ee9922", "#225555", "#99cc66", "#885522", "#7766cc", "#cc99bb"),
)
REST = "#777777"
UNITS = ((3 * 86400, 86400, "days"), (3 * 3600, 3600, "hours"), (600, 60, "minutes"))


class Clock:
    """Turns moments into numbers on the axis of time, which begins with the first submission."""

    def __init__(self, records: Sequence[Record], until: datetime) -> None:
        self._origin = min(record.submitted for record in records)
        seconds = (until - self._origin).total_seconds()
        self._second, self.unit = next(
            ((size, name) for least, size, name in UNITS if seconds > least), (1, "seconds")
        )
        self.span = self.at(until)

    def at(self, moment: datetime) -> float:
        """Where it is."""
        return (moment - self._origin).total_seconds() / self._second


def escape(text: str) -> str:
    """As matplotlib is to show it: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def colours(
    g: Any,
    pandas: Any,
    records: Sequence[Record],
    column: str | None,
    palette: Sequence[str] | None,
    show_legend: bool,
) -> tuple[Any, list[Any], int]:
    """The values to fill bars by, one a record; the layers that say how; the legend's entries.

    Raises:
        ValueError: `palette` has fewer colours than there are groups.
    """
    guides = [] if show_legend and column else [g.guides(fill="none")]
    if column is None:
        plain = g.scale_fill_manual(values=list(palette or PALETTE)[:1], guide=None)
        return ["job"] * len(records), [plain, *guides], 0
    values = None if palette else scalable(records, column)
    if values is not None:
        return values, [g.scale_fill_cmap("viridis", name=column), *guides], 5 * show_legend
    found = group(records, column)
    if palette is not None and len(palette) < len(found.names):
        raise ValueError(
            f"color_pal must have {len(found.names)} colours or more, for so many are needed to "
            f"show {column}; it has {len(palette)}: {list(palette)!r}"
        )
    fixed = {**FATES, **TRUTHS} if column in ("verdict", "state", "cancelled") else {}
    named = dict(zip(found.names, palette or PALETTE, strict=False))
    if not palette:
        named = {name: fixed.get(name, colour) for name, colour in named.items()}
        named.update({name: REST for name in (OTHERS, NONE) if name in named})
    labels = [escape(name) for name in found.names]
    fill = pandas.Categorical.from_codes(
        list(map({name: i for i, name in enumerate(found.names)}.__getitem__, found.members)),
        categories=labels,
    )
    scale = g.scale_fill_manual(values=[named[each] for each in found.names], name=column)
    return fill, [scale, *guides], len(found.names) * show_legend


def panels(records: Sequence[Record], column: str | None) -> tuple[list[str], list[str]]:
    """The heading of each record's panel, and all headings in order; at most `MOST`."""
    if column is None:
        return [""] * len(records), [""]
    found = group(records, column)
    heading = {name: escape(f"{column}: {name}") for name in found.names}
    assert len(heading) <= MOST  # noqa: S101 - what grouping is for
    return [heading[each] for each in found.members], list(heading.values())


def round_step(span: float, most: int) -> int:
    """The first of 1, 2, 5, 10, 20, 50 … that fits into `span` no more than `most` times.

    >>> round_step(3, 5), round_step(12, 5), round_step(23, 5), round_step(240, 5)
    (1, 5, 5, 50)
    """
    step = 1
    while span / step > most:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step


def themes(g: Any) -> dict[str, Any]:
    """The complete themes of plotnine, by their names as users give them.

    Each is a class that needs no arguments; `theme` itself is not, nor are functions like
    `theme_set`.
    """
    return {
        name.removeprefix("theme_"): value
        for name, value in vars(g).items()
        if name.startswith("theme_") and isinstance(value, type) and issubclass(value, g.theme)
    }


def look(g: Any, theme: str, height: float, legend: int = 0) -> list[Any]:
    """The theme, with the grid for time alone.

    `height` is in inches; it will be more if the legend, of so many entries, needs it.
    """
    return [
        themes(g)[theme](),
        g.theme(
            figure_size=(9, max(height, 0.8 + 0.24 * legend)),
            panel_border=g.element_blank(),
            panel_grid_major_y=g.element_blank(),
            panel_grid_minor_y=g.element_blank(),
            axis_line=g.element_line(color="black"),
        ),
    ]
