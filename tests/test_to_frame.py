"""`to_frame`: one table, with the same columns and types, from whatever tells of jobs."""

from __future__ import annotations

import datetime as dt
import os
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import Maker
from ezpq_exec import to_frame
from ezpqjobs import NOW, STRANGE, Unspeakable, ezpq_job
from gates import PATIENCE, Gate, hold
from workload import add, echo, fail


def types(frame: Any) -> dict[str, str]:
    return {name: str(kind) for name, kind in frame.dtypes.items()}


def test_futures_infos_and_dicts_of_both_kinds_make_one_table(make_executor: Maker) -> None:
    executor = make_executor(2)
    future = executor.options(name="sum", priority=2.5).submit(add, 1, 2)
    future.result(PATIENCE)
    frame = to_frame([future, future.info, future.info.to_dict(), ezpq_job()])
    assert list(frame["name"]) == ["sum", "sum", "sum", "1"]
    assert list(frame["verdict"]) == ["returned"] * 4
    assert list(frame["output"]) == [3, None, None, "out"]
    assert list(frame["priority"]) == [2.5, 2.5, 2.5, 100]
    assert list(frame["args"]) == [(1, 2)] * 3 + [[1]]
    assert list(frame["id"]) == [future.info.id] * 3 + [1]
    assert (frame["submitted"] <= frame["started"]).all()
    assert frame["started"][0] == frame["started"][1] == future.info.started
    assert frame["runtime"][0] == future.info.runtime


def test_without_jobs_there_are_the_same_columns_of_the_same_types() -> None:
    empty, full = to_frame([]), to_frame([ezpq_job()])
    assert len(empty) == 0
    assert types(empty) == types(full)
    assert list(empty.columns) == list(full.columns)


def test_types_are_what_one_can_compute_with() -> None:
    kinds = types(to_frame([ezpq_job(), ezpq_job(started=None, ended=None, runtime=None)]))
    for name in ("submitted", "started", "ended", "processed"):
        assert kinds[name] == "datetime64[us, UTC]"
    for name in ("waited", "runtime", "cpu_time", "timeout", "priority"):
        assert kinds[name] == "float64"
    for name in ("id", "worker", "pid", "attempt", "exitcode", "max_rss"):
        assert kinds[name] == "Int64"
    for name in ("state", "verdict", "name", "lane", "qid"):
        assert kinds[name] == "category"
    assert kinds["cancelled"] == "bool"


def test_local_times_become_utc() -> None:
    frame = to_frame([ezpq_job()])
    assert frame["submitted"][0].to_pydatetime() == NOW.astimezone(dt.timezone.utc)
    assert frame["waited"][0] == 1.0


@pytest.mark.parametrize(
    ("changes", "verdict", "state"),
    [
        ({}, "returned", "done"),
        ({"exitcode": 1}, "raised", "done"),
        ({"exitcode": -1}, "raised", "done"),
        ({"exitcode": -9}, "died", "done"),
        ({"exitcode": -15, "cancelled": True}, "killed", "done"),
        ({"exitcode": -15, "cancelled": True, "timeout": 2}, "timed out", "done"),
        ({"exitcode": None, "cancelled": True, "started": None}, "cancelled", "done"),
        ({"exitcode": 1, "cancelled": True, "started": None}, "skipped", "done"),
        ({"ended": None, "processed": None}, None, "running"),
        ({"started": None, "ended": None, "processed": None}, None, "waiting"),
    ],
)
def test_what_became_of_an_ezpq_job_is_told_by_its_dict(
    changes: dict[str, Any], verdict: str | None, state: str
) -> None:
    frame = to_frame([ezpq_job(**changes)])
    assert frame["state"][0] == state
    assert frame["verdict"].astype(object).where(frame["verdict"].notna(), None)[0] == verdict


def test_the_older_releases_dicts_have_fewer_keys() -> None:
    job = ezpq_job()
    for key in ("qid", "lane", "exception"):
        del job[key]
    assert to_frame([job])["output"][0] == "out"


def test_jobs_that_wait_run_failed_or_were_cancelled_are_there(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    failed = executor.submit(fail, ValueError)
    failed.exception(PATIENCE)
    running = executor.submit(hold, gate.path)
    gate.heard()
    waiting, cancelled = executor.submit(add, 1, 1), executor.submit(add, 1, 1)
    cancelled.cancel()
    frame = to_frame([failed, running, waiting, cancelled])
    assert list(frame["state"]) == ["done", "running", "waiting", "done"]
    assert list(frame["verdict"].astype(object).fillna("")) == ["raised", "", "", "cancelled"]
    assert list(frame["cancelled"]) == [False, False, False, True]
    assert type(frame["exception"][0]) is ValueError
    assert list(frame["started"].notna()) == [True, True, False, False]
    gate.open()


def test_what_jobs_return_may_be_anything(make_executor: Maker) -> None:
    executor = make_executor(1)
    values = [np.arange(6).reshape(2, 3), pd.DataFrame({"a": [1]}), [1, 2], {"a": 1}]
    futures = [executor.submit(echo, value) for value in values]
    executor.shutdown()
    frame = to_frame([*futures, ezpq_job(output=Unspeakable(), args=[Unspeakable()])])
    assert (frame["output"][0] == values[0]).all()
    assert frame["output"][1].equals(values[1])
    assert list(frame["output"])[2:4] == values[2:]
    assert isinstance(frame["output"][4], Unspeakable)


@pytest.mark.parametrize("strange", STRANGE)
def test_names_and_lanes_may_be_anything(strange: str) -> None:
    value = STRANGE[strange]
    frame = to_frame([ezpq_job(name=value, lane=value), ezpq_job(lane="other")])
    assert len(frame["lane"].cat.categories) == 1 + (strange != "nan")
    assert len(frame["name"][0]) <= 200


def test_priorities_of_every_kind_of_number_become_floats() -> None:
    priorities = [1, 1.5, Decimal("2.5"), Fraction(7, 2), 10**400, -(10**400)]
    frame = to_frame([ezpq_job(priority=each) for each in priorities])
    assert list(frame["priority"]) == [1, 1.5, 2.5, 3.5, float("inf"), float("-inf")]


def test_futures_tell_which_of_the_executors_theirs_is(make_executor: Maker) -> None:
    one, two = make_executor(1), make_executor(1)
    futures = [one.submit(os.getpid), two.submit(os.getpid), one.submit(os.getpid)]
    for future in futures:
        future.result(PATIENCE)
    assert list(to_frame(futures)["qid"]) == ["executor 1", "executor 2", "executor 1"]


def test_a_table_can_be_made_of_a_tables_rows() -> None:
    first = to_frame([ezpq_job(), ezpq_job(started=None, ended=None, cancelled=True)])
    again = to_frame(first.to_dict("records"))
    assert again.equals(first)


@pytest.mark.parametrize("bad", [[1], ["job"], [None], [ezpq_job(), object()]])
def test_what_is_no_job_is_named(bad: list[Any]) -> None:
    with pytest.raises(TypeError, match=r"JobFutures, JobInfos, or dicts .*number \d of them is"):
        to_frame(bad)


@pytest.mark.parametrize("bad", [None, 5, "jobs", {"id": 1}])
def test_what_is_no_list_of_jobs_is_named(bad: Any) -> None:
    with pytest.raises(TypeError, match="jobs must be a list of JobFutures, JobInfos, or dicts"):
        to_frame(bad)


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"id": None}, ValueError, r"jobs\[0\] has no 'id'"),
        ({"submitted": None}, ValueError, r"jobs\[0\] has no 'submitted'"),
        (
            {"started": "yesterday"},
            TypeError,
            r"jobs\[0\]\['started'\] must be a datetime, not yest",
        ),
        ({"runtime": "long"}, TypeError, r"jobs\[0\]\['runtime'\] must be seconds, not long"),
        ({"exitcode": "0"}, TypeError, r"jobs\[0\]\['exitcode'\] must be an integer, not 0"),
    ],
)
def test_what_is_wrong_in_a_dict_is_named(
    changes: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        to_frame([ezpq_job(**changes)])


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"to_frame needs pandas.*pip install ezpq_exec\[plot\]"):
        to_frame([])
