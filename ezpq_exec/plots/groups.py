"""Few groups of what may be many values, so that no legend and no column of panels is endless."""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ..excerpt import excerpt
from ..jobs import State, Verdict
from ..records import Record

__all__ = ["COLUMNS", "MOST", "NONE", "OTHERS", "Groups", "group", "scalable"]

# What pictures can be coloured and divided by: ezpq's own first.
COLUMNS = (
    *("qid", "priority", "lane", "cancelled", "exitcode", "name", "output"),
    *("function", "worker", "state", "verdict"),
)
MOST = 12
OTHERS = "all others"
NONE = "none"
LENGTH = 40  # characters of a value's text
FATES = [each.value for each in (*Verdict, *State)]


class Groups(NamedTuple):
    """The group of each record, and all groups in the order in which to show them."""

    members: list[str]
    names: list[str]


def group(records: Sequence[Record], column: str) -> Groups:
    """Group records by the text of a column; of more than `MOST` values, the rarest are one."""
    members = [_text(record, column) for record in records]
    counts = Counter(members)
    names = list(counts)
    if len(names) > MOST:
        kept = {name for name, _ in counts.most_common(MOST - 1)}
        members = [each if each in kept else OTHERS for each in members]
        names = [name for name in names if name in kept]
    known = {name: _rank(record, column) for name, record in zip(members, records, strict=True)}
    names.sort(key=known.__getitem__)  # a stable sort: others stay in the order of appearance
    if OTHERS in known:
        names.append(OTHERS)
    return Groups(members, names)


def scalable(records: Sequence[Record], column: str) -> list[float] | None:
    """The values as numbers, if they are, and are too many to be told apart by their colours."""
    values = [getattr(record, column) for record in records]
    if not all(map(_is_number, values)) or len(set(values)) <= MOST:
        return None
    return [float(value) for value in values]


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _text(record: Record, column: str) -> str:
    value: Any = getattr(record, column)
    if column == "verdict":
        return str((record.verdict or record.state).value)
    if column == "state":
        return record.state.value
    if value is None:
        return NONE
    if _is_number(value):
        return excerpt(str(value), LENGTH)
    return excerpt(value, LENGTH) or "(empty)"


def _rank(record: Record, column: str) -> tuple[float, float]:
    """Numbers come in their order, fates in that of their enum, all else behind."""
    value = getattr(record, column)
    if column in ("state", "verdict"):
        return (0, FATES.index(_text(record, column)))
    return (0, float(value)) if _is_number(value) else (1, 0)
