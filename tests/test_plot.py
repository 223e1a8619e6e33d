"""`Plot`: every picture can be drawn of every kind of jobs, and says what it cannot take."""

from __future__ import annotations

import datetime as dt
import inspect
import runpy
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import plotnine
import pytest

from conftest import Maker
from ezpq_exec import Plot
from ezpq_exec.plots.concurrency import counts
from ezpq_exec.plots.groups import COLUMNS, MOST, OTHERS, group, scalable
from ezpq_exec.records import read
from ezpqjobs import STRANGE, ezpq_job
from gates import PATIENCE, Gate, hold
from workload import add, fail

mpl.use("Agg")
DOCS = Path(__file__).parents[1] / "docs"
EZPQS = ("qid", "priority", "lane", "cancelled", "exitcode", "name", "output")
EZPQS_THEMES = [
    "bw",
    "classic",
    "gray",
    "grey",
    "seaborn",
    "538",
    "dark",
    "matplotlib",
    "minimal",
    "xkcd",
    "light",
]


def jobs(count: int, workers: int = 4, **changes: Any) -> list[dict[str, Any]]:
    """A queue's run: every fifth job was cancelled while it waited."""
    found, start = [], ezpq_job()["submitted"]

    def at(seconds: float) -> Any:
        return start + dt.timedelta(seconds=seconds)

    for n in range(count):
        times = {"submitted": at(n / 100), "processed": at(n // workers + 1.1)}
        if n % 5 == 4:
            times |= {"started": None, "ended": None, "runtime": None, "cancelled": True}
        else:
            times |= {"started": at(n // workers + 0.1), "ended": at(n // workers + 1)}
        terms = {"priority": n % 3, "output": f"output {n}", "name": "ab"[n % 2]}
        found.append(ezpq_job(id=n + 1, **{**terms, **times, **changes}))
    return found


@pytest.fixture(scope="module", autouse=True)
def _fonts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Matplotlib keeps open, for good, the fonts that it has used."""
    picture = Plot([ezpq_job(name="\N{MUSICAL SYMBOL G CLEF}")]).build(color_by="name")
    drawn(picture)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        picture.save(tmp_path_factory.mktemp("fonts") / "a.png", verbose=False)


def drawn(picture: Any) -> Any:
    """The matplotlib figure of a picture, which was drawn to the last letter."""
    figure = picture.draw()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.canvas.draw()
    plt.close(figure)
    return figure


def texts(picture: Any) -> set[str]:
    """All that is written in the picture."""
    return {each.get_text() for each in drawn(picture).findobj(mpl.text.Text)}


def test_ezpqs_arguments_stand_where_they_stood() -> None:
    names = list(inspect.signature(Plot.build).parameters)[1:]
    assert names == (
        [
            "color_by",
            "facet_by",
            "facet_scale",
            "show_legend",
            "bar_width",
            "title",
            "color_pal",
            "theme",
        ]
    )
    assert list(inspect.signature(Plot).parameters) == ["jobs", "color_by", "title"]


@pytest.mark.parametrize("count", [1, 10, 100])
def test_a_picture_of_any_number_of_jobs_can_be_saved(tmp_path: Path, count: int) -> None:
    plot = Plot(jobs(count))
    for number, picture in enumerate((plot.build(), plot.workers(), plot.concurrency())):
        assert isinstance(picture, plotnine.ggplot)
        path = tmp_path / f"{number}.png"
        picture.save(path, verbose=False)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_ten_thousand_jobs_have_no_endless_legend() -> None:
    picture = Plot(jobs(10_000)).build(color_by="output")
    written = texts(picture)
    assert OTHERS in written
    assert len(written) < 40


@pytest.mark.parametrize("column", COLUMNS)
def test_colours_and_panels_go_by_every_column(column: str) -> None:
    plot = Plot(jobs(30))
    assert column in COLUMNS
    drawn(plot.build(color_by=column, facet_by=column))
    drawn(plot.workers(color_by=column))


def test_what_ezpq_took_is_taken() -> None:
    assert set(EZPQS) <= set(COLUMNS)
    assert set(EZPQS_THEMES) <= set(themes_of())


def themes_of() -> list[str]:
    from ezpq_exec.plots.style import themes

    return sorted(themes(plotnine))


@pytest.mark.parametrize("theme", themes_of())
def test_every_theme_of_plotnines_can_be_had(theme: str) -> None:
    drawn(Plot(jobs(5)).build(theme=theme))


@pytest.mark.parametrize("scale", ["fixed", "free", "free_x", "free_y"])
def test_mixed_queues_have_a_panel_each(scale: str) -> None:
    mixed = [*jobs(7), *jobs(3, qid="other")]
    written = texts(Plot(mixed).build(facet_scale=scale))
    assert {"qid: 0a1b2c3d", "qid: other"} <= written
    assert {"qid: 0a1b2c3d", "qid: other"} <= texts(Plot(mixed).workers())
    drawn(Plot(mixed).build(facet_by=None))
    drawn(Plot(mixed).concurrency())


def test_jobs_of_which_none_has_started_can_be_drawn() -> None:
    never = jobs(10, started=None, ended=None, runtime=None, cancelled=True)
    plot = Plot(never)
    for picture in (plot.build(), plot.workers(), plot.workers(n_workers=3), plot.concurrency()):
        drawn(picture)


def test_futures_of_all_states_can_be_drawn(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    failed = executor.submit(fail, ValueError)
    running = executor.submit(hold, gate.path)
    gate.heard()
    waiting, cancelled = executor.submit(add, 1, 1), executor.submit(add, 1, 1)
    cancelled.cancel()
    assert failed.exception(PATIENCE) is not None
    plot = Plot([failed, running, waiting, cancelled, failed.info, *jobs(3)])
    written = texts(plot.build(color_by="verdict", facet_by=None))
    assert {"raised", "running", "returned"} <= written
    for picture in (plot.build(), plot.workers(), plot.concurrency()):
        drawn(picture)
    gate.open()


def test_all_at_the_same_moment_can_be_drawn() -> None:
    now = ezpq_job()["submitted"]
    plot = Plot(jobs(3, submitted=now, started=now, ended=now, processed=now))
    for picture in (plot.build(), plot.workers(), plot.concurrency()):
        drawn(picture)


@pytest.mark.parametrize("strange", STRANGE)
def test_names_and_outputs_may_be_anything(strange: str) -> None:
    value = STRANGE[strange]
    changes = {"name": value, "output": value, "qid": value, "lane": value, "priority": value}
    plot = Plot(jobs(5, **changes), title=r"100 $ \ [")
    drawn(plot.build(color_by="lane", facet_by="priority"))
    drawn(plot.build(color_by="output", facet_by="name"))
    drawn(plot.workers(color_by="name"))


def test_idle_workers_have_a_row() -> None:
    one = jobs(1)
    written = texts(Plot(one).workers(n_workers=3))
    assert {"worker 1, 0% busy", "worker 2, 0% busy"} <= written


def test_workers_of_two_executors_are_not_mistaken_for_one(make_executor: Maker) -> None:
    one, two = make_executor(1), make_executor(1)
    futures = [one.submit(add, 1, 1), two.submit(add, 1, 1)]
    one.shutdown()
    two.shutdown()
    assert {"qid: executor 1", "qid: executor 2"} <= texts(Plot(futures).workers())


def test_the_title_and_the_colours_may_be_told_at_once() -> None:
    plot = Plot(jobs(6), color_by="priority", title="All of them")
    assert {"All of them", "priority", "0", "1", "2"} <= texts(plot.build())
    assert "Another" in texts(plot.build(title="Another"))
    assert "priority" not in texts(plot.build(show_legend=False))


def test_counts_are_those_of_a_slow_count() -> None:
    spans = [(0, 3), (1, 2), (2, 2), (2, 5), (4, 5)]
    for moment, level in counts(spans):
        assert level == sum(left <= moment < right for left, right in spans)


def test_the_rarest_of_many_values_share_a_group() -> None:
    names = ["often"] * 5 + [f"once {n}" for n in range(50)]
    found = group(read([ezpq_job(name=name) for name in names]), "name")
    assert len(found.names) == MOST
    assert found.names[0] == "often"
    assert found.names[-1] == OTHERS
    assert set(found.members) == set(found.names)


def test_numbers_are_in_their_order_and_many_of_them_a_scale() -> None:
    records = read([ezpq_job(priority=each) for each in (10, 9, 100)])
    assert group(records, "priority").names == ["9", "10", "100"]
    assert scalable(records, "priority") is None
    many = read([ezpq_job(priority=each) for each in range(50)])
    assert scalable(many, "priority") == list(range(50))
    drawn(Plot([ezpq_job(id=n + 1, priority=n) for n in range(50)]).build(color_by="priority"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"color_by": "colour"}, "color_by must be one of qid, priority, .*; not 'colour'"),
        ({"facet_by": "pid"}, "facet_by must be one of qid, .*; not 'pid'"),
        ({"facet_scale": "loose"}, "facet_scale must be one of fixed, .*; not 'loose'"),
        ({"theme": "night"}, "theme must be one of 538, bw, .*; not 'night'"),
        ({"theme": None}, "theme must be one of .*; not None"),
        ({"bar_width": 0}, "bar_width must be more than 0, not 0"),
        ({"color_by": "name", "color_pal": ["red"]}, "color_pal must have 2 colours .* it has 1"),
    ],
)
def test_an_unknown_choice_is_named_with_those_there_are(
    arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        Plot(jobs(6)).build(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"bar_width": "wide"}, {"color_pal": "red"}, {"color_pal": [1, 2]}]
)
def test_an_argument_of_a_wrong_type_is_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(arguments))):
        Plot(jobs(6)).build(**arguments)


def test_the_other_pictures_check_their_arguments_too() -> None:
    plot = Plot(jobs(2))
    with pytest.raises(ValueError, match="theme must be one of"):
        plot.concurrency(theme="night")
    with pytest.raises(ValueError, match="color_by must be one of"):
        plot.workers(color_by="colour")
    with pytest.raises(TypeError, match="n_workers must be an integer"):
        plot.workers(n_workers=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_workers must be >= 0"):
        plot.workers(n_workers=-1)


def test_a_palette_colours_the_bars() -> None:
    drawn(Plot(jobs(6)).build(color_by="name", color_pal=["red", "#00ff00", "blue"]))


def test_no_jobs_and_what_is_no_job_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"Plot needs at least one job, and was given none: \[\]"):
        Plot([])
    with pytest.raises(ValueError, match="color_by must be one of"):
        Plot(jobs(1), color_by="colour")
    with pytest.raises(TypeError, match="number 0 of them is 3"):
        Plot([3])


@pytest.mark.parametrize("package", ["pandas", "plotnine"])
def test_without_its_packages_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"Plot needs {package}.*ezpq_exec\[plot\]"):
        Plot(jobs(1))


def test_the_pictures_of_the_docs_can_be_made_again(tmp_path: Path) -> None:
    runpy.run_path(str(DOCS / "pictures" / "make.py"))["main"](tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (DOCS / "pictures").glob("*.png"))
    assert all(path.stat().st_size < 150_000 for path in tmp_path.iterdir())
