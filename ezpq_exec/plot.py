"""`Plot`: pictures of what jobs did and when, by plotnine. What each looks like is in `plots`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from .extras import load
from .frame import from_records
from .options import check_integer
from .plots import concurrency, gantt, workers
from .plots.groups import COLUMNS
from .plots.style import themes
from .records import read
from .tracks import as_of

__all__ = ["Plot"]

SCALES = ("fixed", "free", "free_x", "free_y")


class Plot:
    """Draws jobs over time, whatever their states.

    Args:
        jobs: `JobFuture`s, `JobInfo`s, or dicts as `Queue.collect()` returns, in any mixture.
        color_by: what `build` is to colour by, unless it is told otherwise.
        title: stands above each picture, unless it is told otherwise.

    Raises:
        TypeError: something else was given than jobs.
        ValueError: no jobs were given, or `color_by` is none of those that there are.
        ImportError: plotnine is not installed (`pip install ezpq_exec[plot]`).

    >>> from ezpq_exec import Plot, PriorityExecutor
    >>> with PriorityExecutor(2) as ex:
    ...     jobs = [ex.options(priority=n % 2).submit(sum, range(n)) for n in range(10)]
    >>> picture = Plot(jobs).build(color_by="priority", title="Even numbers first")
    >>> type(picture).__name__
    'ggplot'

    `picture.save("jobs.png")` writes it to a file, and a notebook shows it.
    """

    def __init__(
        self, jobs: Iterable[object], color_by: str | None = None, title: str | None = None
    ) -> None:
        self._records = read(jobs)
        if not self._records:
            raise ValueError(f"Plot needs at least one job, and was given none: {jobs!r}")
        _check_column("color_by", color_by)
        self._color_by = color_by
        self._title = title
        self._pandas = load("pandas", extra="plot", purpose="Plot")
        self._plotnine = load("plotnine", extra="plot", purpose="Plot")
        self._until = as_of(self._records, datetime.now(timezone.utc))

    @property
    def jobs_df(self) -> Any:
        """The jobs as a `pandas.DataFrame`, as `to_frame` makes it."""
        return from_records(self._pandas, self._records)

    def build(
        self,
        color_by: str | None = None,
        facet_by: str | None = "qid",
        facet_scale: str = "fixed",
        show_legend: bool = True,
        bar_width: float = 1,
        title: str | None = None,
        color_pal: Sequence[str] | None = None,
        theme: str = "bw",
    ) -> Any:
        """Draw a Gantt chart: a bar a job, those that were submitted first at the top.

        A bar is grey from the job's submission to its start, coloured while it ran, and grey again
        from its end until that was known here. A job that never started is grey alone; one that
        still waits or runs goes on up to now. A run too short to be seen is drawn a little longer.

        Args:
            color_by: what the colours tell: `qid` (the default), `priority`, `lane`, `cancelled`,
                `exitcode`, `name`, `output`, `function`, `worker`, `state` or `verdict`. More than
                twelve numbers are a scale; of more than twelve other values, the rarest share a
                colour.
            facet_by: what the panels tell, one of the same, or None for one panel.
            facet_scale: `fixed`, `free`, `free_x` or `free_y`: which axes panels have of their own.
            show_legend: whether to say what the colours mean.
            bar_width: how thick bars are; 1 leaves a little room between them.
            title: stands above the picture.
            color_pal: colours to use, as many as there are values, or more.
            theme: the name of a theme of plotnine's, like `bw`, `minimal` or `dark`.

        Returns:
            A `plotnine.ggplot`, to which layers can be added.

        Raises:
            TypeError, ValueError: an argument is not one of those accepted.
        """
        colour = color_by or self._color_by or "qid"
        _check_column("color_by", colour)
        _check_column("facet_by", facet_by)
        _check_choice("facet_scale", facet_scale, SCALES)
        _check_choice("theme", theme, sorted(themes(self._plotnine)))
        _check_width(bar_width)
        _check_palette(color_pal)
        wishes = gantt.Wishes(
            *(colour, facet_by, facet_scale, bool(show_legend), float(bar_width)),
            *(title or self._title, color_pal, theme),
        )
        return gantt.draw(self._plotnine, self._pandas, self._records, self._until, wishes)

    def workers(
        self,
        color_by: str | None = None,
        n_workers: int = 0,
        show_legend: bool = True,
        title: str | None = None,
        color_pal: Sequence[str] | None = None,
        theme: str = "bw",
    ) -> Any:
        """Draw what each worker did: a row a worker, empty where it was idle.

        Beside each stands the share of the time in which it had a job. ezpq's dicts do not say
        which worker a job had; there, each goes to the first row that was free.

        Args:
            color_by: what the colours tell, as in `build`; `verdict` if nothing else is said.
            n_workers: how many there were, at least, so that those that never had a job are shown.
            show_legend, title, color_pal, theme: as in `build`.

        Returns:
            A `plotnine.ggplot`.

        Raises:
            TypeError, ValueError: an argument is not one of those accepted.
        """
        colour = color_by or self._color_by or "verdict"
        _check_column("color_by", colour)
        _check_choice("theme", theme, sorted(themes(self._plotnine)))
        _check_palette(color_pal)
        _check_count("n_workers", n_workers)
        return workers.draw(
            self._plotnine,
            self._pandas,
            self._records,
            self._until,
            n_workers=n_workers,
            color_by=colour,
            show_legend=bool(show_legend),
            title=title or self._title,
            color_pal=color_pal,
            theme=theme,
        )

    def concurrency(self, title: str | None = None, theme: str = "bw") -> Any:
        """Draw how many jobs ran, and how many waited, at each moment.

        Args:
            title, theme: as in `build`.

        Returns:
            A `plotnine.ggplot`.

        Raises:
            ValueError: there is no such theme.
        """
        _check_choice("theme", theme, sorted(themes(self._plotnine)))
        return concurrency.draw(
            *(self._plotnine, self._pandas, self._records, self._until),
            title=title or self._title,
            theme=theme,
        )


def _check_column(name: str, value: object) -> None:
    if value is not None:
        _check_choice(name, value, COLUMNS)


def _check_choice(name: str, value: object, accepted: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}; not {value!r}")


def _check_count(name: str, value: object) -> None:
    if check_integer(name, value) < 0:
        raise ValueError(f"{name} must be >= 0, not {value!r}")


def _check_width(value: object) -> None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"bar_width must be a number, not {value!r}")
    if not 0 < float(value) < math.inf:
        raise ValueError(f"bar_width must be more than 0, not {value!r}")


def _check_palette(value: object) -> None:
    if value is not None and (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or not all(isinstance(each, str) for each in value)
    ):
        raise TypeError(f"color_pal must be a list of colours' names or None, not {value!r}")
