"""The table, and the floors that the project sets itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contenders import OURS, REFERENCE
from trials import Row

__all__ = ["Results", "floors", "table"]


@dataclass
class Results:
    """What came out: values by contender and figure, and why there are none, by contender and trial."""

    values: dict[tuple[str, str], list[float]]
    failures: dict[tuple[str, str], str]

    def of(self, name: str, row: Row) -> float | None:
        """A contender's figure in a row; None if it has none."""
        values = self.values.get((name, row.key))
        return row.summary(values) if values else None

    def ratio(self, name: str, row: Row) -> float | None:
        """The same by the reference's; the median of the rounds' ratios, so that drift cancels."""
        own, reference = (self.values.get((who, row.key), []) for who in (name, REFERENCE))
        pairs = list(zip(own, reference, strict=False))  # a round in which one failed has no pair
        return (
            statistics.median(a / b for a, b in pairs)
            if pairs and all(b for _, b in pairs)
            else None
        )


def table(
    rows: Mapping[str, Row], contenders: list[str], results: Results, *, markdown: bool
) -> str:
    """The table, with a line for each row and a column for each contender."""
    lines = [["", *contenders]]
    for row in rows.values():
        lines.append([row.title, *(_cell(row, name, results) for name in contenders)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in texts)
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in [texts[0], rule, *texts[1:]])


def _cell(row: Row, name: str, results: Results) -> str:
    value = results.of(name, row)
    if value is None:
        return "failed" if (name, row.trial) in results.failures else "cannot"
    text = f"{value:,.{row.digits}f}"
    ratio = results.ratio(name, row)
    return text if ratio is None else f"{text} ({ratio:.2f})"


@dataclass(frozen=True)
class _Floor:
    """`relative`: the limit is one of the ratio to the reference's."""

    row: str
    text: str
    limit: float
    met: Callable[[float, float], bool]
    relative: bool


def _at_least(value: float, limit: float) -> bool:
    return value >= limit


def _at_most(value: float, limit: float) -> bool:
    return value <= limit


_FLOORS = (
    _Floor("importable", "jobs a second at least {} times the stdlib's", 5.0, _at_least, True),
    _Floor("trip", "round trip at most {} times the stdlib's", 0.3, _at_most, True),
    _Floor(
        "limited", "jobs with timeouts at least {} times the stdlib's without", 2.0, _at_least, True
    ),
    _Floor(
        "share", "with priorities and many waiting, at least {} of the rate", 0.8, _at_least, False
    ),
    _Floor("mapped", "map at least {} times the stdlib's", 5.0, _at_least, True),
    _Floor("memory", "a waiting job takes at most {} bytes", 2200.0, _at_most, False),
    _Floor("growth", "the last submits take at most {} times the first", 1.3, _at_most, False),
    _Floor("woken", "at most {} wake-ups of an idle executor in 10 s", 5.0, _at_most, False),
    _Floor("late", "timeout within {} ms of the deadline at the median", 5.0, _at_most, False),
    _Floor("late99", "and within {} ms in 99 of 100", 30.0, _at_most, False),
    _Floor("crowd", "sixteen at once: within {} ms at the median", 5.0, _at_most, False),
    _Floor("crowd99", "and within {} ms in 99 of 100", 30.0, _at_most, False),
    _Floor("siblings", "at least {} of the throughput beside kills", 0.7, _at_least, False),
)


def floors(rows: Mapping[str, Row], results: Results) -> list[tuple[str, bool]]:
    """Each floor of which the row was measured, and whether it is met."""
    verdicts = []
    for floor in _FLOORS:
        if floor.row not in rows:
            continue
        measure = results.ratio if floor.relative else results.of
        value = measure(OURS, rows[floor.row])
        text = floor.text.format(f"{floor.limit:g}")
        if value is None:
            verdicts.append((f"{text}: not measured", False))
        else:
            verdicts.append((f"{text}: {value:.2f}", floor.met(value, floor.limit)))
    return verdicts
