"""`to_frame`: jobs as a table whose columns, and their types, are the same whatever the jobs are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .excerpt import excerpt
from .extras import load
from .jobs import State, Verdict
from .records import Record, read

__all__ = ["COLUMNS", "from_records", "to_frame"]

MOMENT = "datetime64[us, UTC]"
CATEGORY = "category"  # its categories are the values that occur

# All columns, in order, each with its type.
COLUMNS: dict[str, str | list[str]] = {
    "qid": CATEGORY,
    "id": "Int64",
    "name": CATEGORY,
    "function": CATEGORY,
    "args": "object",
    "kwargs": "object",
    "priority": "float64",
    "lane": CATEGORY,
    "timeout": "float64",
    "state": [state.value for state in State],
    "verdict": [verdict.value for verdict in Verdict],
    "submitted": MOMENT,
    "started": MOMENT,
    "ended": MOMENT,
    "processed": MOMENT,
    "waited": "float64",
    "runtime": "float64",
    "cpu_time": "float64",
    "max_rss": "Int64",
    "worker": "Int64",
    "pid": "Int64",
    "attempt": "Int64",
    "retries": "Int64",
    "exitcode": "Int64",
    "cancelled": "bool",
    "exception": "object",
    "output": "object",
    "callback": "object",
}


def to_frame(jobs: Iterable[object]) -> Any:
    """Make a pandas DataFrame of jobs, one row each, in the order given.

    Times are in UTC; `waited`, `runtime`, `cpu_time` and `timeout` in seconds; `max_rss` in bytes.
    What is not known of a job is missing (NaN, NaT, NA or None). `cancelled` is true of every job
    that was cut short: cancelled, killed or out of time. `output` is a future's result, and
    `qid` says of futures which of the list's executors they belong to. The values in `args`,
    `kwargs`, `exception`, `output` and `callback` are those of the jobs, not copies.

    Args:
        jobs: `JobFuture`s, `JobInfo`s, or ezpq's dicts, in any mixture; of any state.

    Returns:
        A `pandas.DataFrame`. Without jobs, it is empty, and has all columns.

    Raises:
        TypeError, ValueError: what was given is no job.
        ImportError: pandas is not installed (`pip install ezpq_exec[plot]`).

    >>> from ezpq_exec import PriorityExecutor, to_frame
    >>> with PriorityExecutor(2) as ex:
    ...     jobs = [ex.submit(abs, n) for n in (-1, -2, "three")]
    >>> to_frame(jobs)[["name", "verdict", "output"]]
      name   verdict output
    0  abs  returned      1
    1  abs  returned      2
    2  abs    raised   None
    """
    pandas = load("pandas", extra="plot", purpose="to_frame")
    return from_records(pandas, read(jobs))


def from_records(pandas: Any, records: Sequence[Record]) -> Any:
    """The table of `records`."""
    return pandas.DataFrame(
        {
            name: _column(pandas, kind, [getattr(record, name) for record in records])
            for name, kind in COLUMNS.items()
        }
    )


def _column(pandas: Any, kind: str | list[str], values: list[Any]) -> Any:
    if isinstance(kind, list):
        plain = [None if value is None else value.value for value in values]
        return pandas.Categorical(plain, categories=kind)
    if kind == CATEGORY:
        return _categories(pandas, values)
    if kind == "object":
        return pandas.Series(_objects(pandas, values), dtype="object")
    if kind == "float64":
        values = [_number(value) for value in values]
    if kind == "Int64":
        values = [None if value is None else _fitting(value) for value in values]
    return pandas.Series(values, dtype=kind)


def _objects(pandas: Any, values: Sequence[Any]) -> Any:
    """An array of the values themselves: pandas would look into lists, arrays and frames."""
    array = pandas.Series([None] * len(values), dtype="object").to_numpy(copy=True)
    for index, value in enumerate(values):
        array[index] = value
    return array


def _categories(pandas: Any, values: Sequence[Any]) -> Any:
    """Categories in the order of their first appearance. They need not compare with each other."""
    codes: dict[Any, int] = {}
    found = [
        -1 if value is None else codes.setdefault(_category(value), len(codes)) for value in values
    ]
    dtype = "str" if all(type(value) is str for value in codes) else "object"
    return pandas.Categorical.from_codes(found, pandas.Index(list(codes), dtype=dtype))


def _category(value: Any) -> Any:
    """What pandas can have as one: it would look into a tuple."""
    return value if type(value) in (str, int) else excerpt(value, 200)


def _number(value: Any) -> float:
    """Any real number, as near as a float can be."""
    if value is None:
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _fitting(value: int) -> int | None:
    return value if -(2**63) <= value < 2**63 else None
