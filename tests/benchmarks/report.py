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

    def ratio(
        self, name: str, row: Row, other: str = REFERENCE, other_row: Row | None = None
    ) -> float | None:
        """The same by another's; the median of the rounds' ratios, so that drift cancels."""
        own = self.values.get((name, row.key), [])
        others = self.values.get((other, (other_row or row).key), [])
        pairs = list(zip(own, others, strict=False))  # a round in which one failed has no pair
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
    """What is to be met: by the figure itself, or by its ratio to that of `peer` (in `peer_row`)."""

    row: str
    text: str
    limit: float
    met: Callable[[float, float], bool]
    peer: str | None = None
    peer_row: str | None = None


def _at_least(value: float, limit: float) -> bool:
    return value >= limit


def _at_most(value: float, limit: float) -> bool:
    return value <= limit


_FLOORS = (
    _Floor("importable", "jobs a second at least {} times the stdlib's", 5.0, _at_least, REFERENCE),
    _Floor("importable", "and {} times what Pool.imap does", 1.0, _at_least, "Pool", "mapped"),
    _Floor("trip", "round trip at most {} times the stdlib's", 0.3, _at_most, REFERENCE),
    _Floor(
        "limited",
        "jobs with timeouts at least {} times the stdlib's without",
        *(2.0, _at_least, REFERENCE),
    ),
    _Floor("share", "with priorities and many waiting, at least {} of the rate", 0.8, _at_least),
    _Floor("mapped", "map at least {} times the stdlib's", 5.0, _at_least, REFERENCE),
    _Floor("tiny", "tiny items in chunks at least {} times joblib's", 3.0, _at_least, "joblib"),
    _Floor("memory", "a waiting job takes at most {} bytes", 2200.0, _at_most),
    _Floor("growth", "the last submits take at most {} times the first", 1.3, _at_most),
    _Floor("import", "import in at most {} times loky's time", 0.3, _at_most, "loky"),
    _Floor("first2", "two slots at work in at most {} times loky's time", 1.2, _at_most, "loky"),
    _Floor("first16", "sixteen in at most {} times loky's time", 0.6, _at_most, "loky"),
    _Floor("second", "a second executor's first result within {} ms", 10.0, _at_most),
    _Floor("woken", "at most {} wake-ups of an idle executor in 10 s", 5.0, _at_most),
    _Floor("slot", "an idle slot has at most {} times the memory of loky's", 1.2, _at_most, "loky"),
    _Floor("late", "timeout within {} ms of the deadline at the median", 5.0, _at_most),
    _Floor("late99", "and within {} ms in 99 of 100", 30.0, _at_most),
    _Floor("crowd", "sixteen at once: within {} ms at the median", 5.0, _at_most),
    _Floor("crowd99", "and within {} ms in 99 of 100", 30.0, _at_most),
    _Floor("siblings", "at least {} of the throughput beside kills", 0.7, _at_least),
    _Floor("slots512", "512 slots cost at most {} times what 4 do", 2.0, _at_most, OURS, "slots4"),
)


def floors(rows: Mapping[str, Row], results: Results) -> list[tuple[str, bool]]:
    """Each floor of which the rows were measured, and whether it is met."""
    verdicts = []
    for floor in _FLOORS:
        if floor.row not in rows or (floor.peer_row or floor.row) not in rows:
            continue
        row = rows[floor.row]
        if floor.peer is None:
            value = results.of(OURS, row)
        else:
            value = results.ratio(OURS, row, floor.peer, rows[floor.peer_row or floor.row])
        text = floor.text.format(f"{floor.limit:g}")
        if value is None:
            verdicts.append((f"{text}: not measured", False))
        else:
            verdicts.append((f"{text}: {value:.2f}", floor.met(value, floor.limit)))
    return verdicts
