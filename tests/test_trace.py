"""`to_trace`: files that follow the rules of the Trace Event format, whatever the jobs are."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from conftest import Maker
from ezpq_exec import to_trace
from ezpqjobs import STRANGE, Unspeakable, ezpq_job
from gates import PATIENCE, Gate, hold
from workload import add, echo, fail


def refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def load(path: Path) -> list[dict[str, Any]]:
    """The events of a trace that keeps to the rules of its format."""
    trace = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    assert trace["displayTimeUnit"] in ("ms", "ns")
    events: list[dict[str, Any]] = trace["traceEvents"]
    check(events)
    return events


def check(events: list[dict[str, Any]]) -> None:
    """What the format's description asks of each kind of event, and of them together."""
    named: dict[str, set[Any]] = {"process_name": set(), "thread_name": set()}
    open_spans: dict[Any, float] = {}
    slices = defaultdict(list)
    for event in events:
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        assert type(event["ts"]) in (int, float)
        assert event["ts"] >= 0
        assert isinstance(event["name"], str)
        assert isinstance(event.get("args", {}), dict)
        place = (event["pid"], event["tid"])
        span = (event.get("cat"), event.get("id"), event["name"], event["pid"])
        if event["ph"] == "M":
            if event["name"] in named:
                assert isinstance(event["args"]["name"], str)
                named[event["name"]].add(place if event["name"] == "thread_name" else place[0])
        elif event["ph"] == "X":
            assert event["dur"] >= 0
            slices[place].append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "b":
            assert span[1] is not None
            assert span not in open_spans
            open_spans[span] = event["ts"]
        else:
            assert event["ph"] == "e"
            assert open_spans.pop(span) <= event["ts"]
    assert not open_spans
    assert set(slices) <= named["thread_name"]
    assert {event["pid"] for event in events} <= named["process_name"]
    for track in slices.values():
        ordered = sorted(track)
        for (_, end), (start, _) in itertools.pairwise(ordered):
            assert end <= start  # slices of a thread are nested or apart: a worker's are apart


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == kind]


def test_each_worker_has_a_track_and_each_run_a_slice(make_executor: Maker, tmp_path: Path) -> None:
    executor = make_executor(2)
    futures = [executor.options(name=f"job {n}", priority=n).submit(add, n, n) for n in range(20)]
    futures.append(executor.submit(fail, ValueError))
    executor.shutdown()
    to_trace(futures, tmp_path / "t.json")
    events = load(tmp_path / "t.json")
    slices = of_kind(events, "X")
    assert len(slices) == 21
    assert [each["name"] for each in of_kind(events, "b")] == ["waiting"] * 21
    names = {each["tid"]: each["args"]["name"] for each in events if each["name"] == "thread_name"}
    for future in futures:
        info = future.info
        (found,) = [each for each in slices if each["args"]["job"] == info.id]
        assert names[found["tid"]] == f"worker {info.worker}"
        assert found["args"]["outcome"] == (info.verdict.value if info.verdict else None)
        assert found["args"]["priority"] == info.priority
        assert abs(found["dur"] / 1e6 - (info.runtime or 0)) < 0.002
    assert sum(each["args"].get("exception", "").startswith("ValueError") for each in slices) == 1


def test_jobs_that_wait_run_or_never_started_are_there(
    make_executor: Maker, gate: Gate, tmp_path: Path
) -> None:
    executor = make_executor(1)
    running = executor.submit(hold, gate.path)
    gate.heard()
    waiting, cancelled = executor.submit(add, 1, 1), executor.submit(add, 1, 1)
    cancelled.cancel()
    to_trace([running, waiting, cancelled], tmp_path / "t.json")
    gate.open()
    events = load(tmp_path / "t.json")
    assert [each["args"]["outcome"] for each in of_kind(events, "X")] == ["running"]
    outcomes = [each["args"].get("outcome") for each in of_kind(events, "b")]
    assert outcomes == [None, "waiting", "cancelled"]


def test_lanes_and_executors_are_told_apart(make_executor: Maker, tmp_path: Path) -> None:
    one, two = make_executor(1), make_executor(1)
    futures = [one.options(lane="left").submit(echo, 1), two.options(lane=("r", 2)).submit(echo, 2)]
    for future in futures:
        future.result(PATIENCE)
    to_trace([*futures, ezpq_job()], tmp_path / "t.json")
    events = load(tmp_path / "t.json")
    lanes = [each["args"].get("lane") for each in of_kind(events, "b")]
    assert lanes == ["left", "('r', 2)", None]
    names = [each["args"]["name"] for each in events if each["name"] == "process_name"]
    assert names == ["executor 1", "executor 2", "0a1b2c3d"]


def test_runs_at_once_without_known_workers_get_tracks_of_their_own(tmp_path: Path) -> None:
    to_trace([ezpq_job(id=n) for n in range(1, 6)], tmp_path / "t.json")
    slices = of_kind(load(tmp_path / "t.json"), "X")
    assert len({each["tid"] for each in slices}) == 5


@pytest.mark.parametrize("strange", STRANGE)
def test_values_of_any_kind_are_written_as_json(tmp_path: Path, strange: str) -> None:
    value = STRANGE[strange]
    job = ezpq_job(lane=value, args=[value], kwargs={"k": value}, exception=value, name=value)
    to_trace([job, ezpq_job(priority=value)], tmp_path / "t.json")
    load(tmp_path / "t.json")
    assert (tmp_path / "t.json").stat().st_size < 20_000


def test_without_jobs_there_is_an_empty_trace(tmp_path: Path) -> None:
    to_trace([], tmp_path / "t.json")
    assert load(tmp_path / "t.json") == []


def test_a_name_in_gz_is_compressed(tmp_path: Path) -> None:
    to_trace([ezpq_job()], str(tmp_path / "t.json.gz"))
    with gzip.open(tmp_path / "t.json.gz", "rt", encoding="utf-8") as file:
        check(json.load(file)["traceEvents"])


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("old")
    broken = ezpq_job(priority=Unspeakable())
    broken["kwargs"] = {"k": Interrupting()}
    with pytest.raises(KeyboardInterrupt):
        to_trace([ezpq_job(), broken], path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["t.json"]


class Interrupting:
    """Ctrl-C comes while its text is made."""

    def __repr__(self) -> str:
        raise KeyboardInterrupt


def test_a_new_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    to_trace([ezpq_job()], tmp_path / "t.json")
    assert (tmp_path / "t.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_not_there_is_an_error_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        to_trace([ezpq_job()], tmp_path / "nowhere" / "t.json")


def test_times_count_from_the_first_submission_in_microseconds(tmp_path: Path) -> None:
    late = {
        key: value + dt.timedelta(minutes=1) if isinstance(value, dt.datetime) else value
        for key, value in ezpq_job(id=2).items()
    }
    to_trace([late, ezpq_job()], tmp_path / "t.json")
    slices = of_kind(load(tmp_path / "t.json"), "X")
    assert [(each["ts"], each["dur"]) for each in slices] == [
        (1_000_000, 2_000_000),
        (61_000_000, 2_000_000),
    ]
