"""The CSV log has every job's row, whole, once, whoever writes to it."""

from __future__ import annotations

import csv
import logging
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Process
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import ezpq_exec as ezpq
from ezpq_exec.joblog import JobLog
from gates import Gate, hold
from queuework import Unprintable, fail, same

HERE = Path(__file__).parent
AWKWARD = 'line one\nline "two", and\r\nthree; ünïcödé 🦉 \u2028 \0 \ud800'


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


@pytest.mark.parametrize("runner", [Process, Thread])
def test_each_completed_job_has_a_row_when_it_can_be_collected(path: Path, runner: type) -> None:
    """Header once, over several queues; all columns, and the row is there once wait returns."""
    for _ in range(2):
        with ezpq.Queue(2, job_runner=runner, log_file=str(path), callback=str) as queue:
            for number in range(10):
                queue.put(same, number)
            queue.wait()
            assert len(rows(path)) == queue.n_completed() + (10 if _ else 0)
            jobs = queue.collect()
    table = rows(path)
    assert list(table[0]) == list(jobs[0])
    assert sorted(int(row["output"]) for row in table) == sorted([*range(10)] * 2)
    by_id = {row["id"]: row for row in table[10:]}
    assert by_id["3"] == {k: "" if v is None else str(v) for k, v in jobs[2].items()}


def test_cancelled_killed_and_failed_jobs_have_rows(path: Path, gate: Gate) -> None:
    """Also those that were cancelled while they waited, or are stopped by dispose."""
    with ezpq.Queue(2, log_file=path) as queue:
        queue.put(fail, suppress_errors=True)
        queue.wait()
        queue.put(hold, [gate.path])
        queue.put(hold, [gate.path])
        queue.put(same, 1)
        queue.put(same, 1, lane=1)
        gate.heard(2)
    table = {row["id"]: (row["cancelled"], row["exitcode"]) for row in rows(path)}
    assert table == {
        "1": ("False", "-1"),
        "2": ("True", "-9"),
        "3": ("True", "-9"),
        "4": ("True", ""),
        "5": ("True", ""),
    }


def test_awkward_texts_come_back_as_they_were(path: Path) -> None:
    """Newlines, commas, quotes and unicode are quoted; what UTF-8 or CSV cannot have is escaped."""
    with ezpq.Queue(1, job_runner=Thread, log_file=path) as queue:
        queue.put(same, [AWKWARD], name="a,b\nc")
        queue.put(same, [1])
        queue.wait()
    table = rows(path)
    assert len(table) == 2
    assert table[0]["name"] == "a,b\nc"
    assert table[0]["output"] == AWKWARD.replace("\0", "\\x00").replace("\ud800", "\\ud800")


def test_what_has_no_text_or_too_much_breaks_no_row(path: Path) -> None:
    """A repr that raises is named; a huge text is cut to what the csv module reads, and says so."""
    with ezpq.Queue(1, job_runner=Thread, log_file=path) as queue:
        for value in (Unprintable(), [Unprintable()], "y" * 500_000):
            queue.put(same, [value])
        queue.wait()
        jobs = queue.collect()
    one, two, three = rows(path)
    assert "Unprintable" in one["output"]
    assert "KeyboardInterrupt" in two["output"]
    assert three["output"].startswith("yyyy")
    assert three["output"].endswith("… (500,000 characters in all)")
    assert len(jobs[2]["output"]) == 500_000


def test_formulas_can_be_neutralised(path: Path) -> None:
    bad = [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\tx",
        "\rx",
        "\nx",
        " =1",
        "\u3000=1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20x",
    ]
    good = ["plain", "1-1", -5, -0.5, "", None, "'=1", " x", [-1]]
    with ezpq.Queue(1, job_runner=Thread, log_file=path, escape_formulas=True) as queue:
        queue.map(same, [*bad, *good])
    found = [row["output"] for row in sorted(rows(path), key=lambda row: int(row["id"]))]
    assert found[: len(bad)] == ["'" + text for text in bad]
    assert found[len(bad) :] == ["" if value is None else str(value) for value in good]


class Formula:
    """Not a text, but written as one."""

    def __str__(self) -> str:
        return "=cmd|' /C calc'!A0"


def test_any_objects_text_is_neutralised_wherever_it_stands(path: Path) -> None:
    """Names, lanes, arguments and messages come from strangers, too."""
    with ezpq.Queue(1, job_runner=Thread, log_file=path, escape_formulas=True) as queue:
        queue.put(same, [Formula()], name="=name", lane="@lane")
        queue.wait()
    (row,) = rows(path)
    assert (row["name"], row["lane"], row["output"]) == ("'=name", "'@lane", "'" + str(Formula()))


def test_formulas_stay_as_they_are_where_nobody_asked(path: Path) -> None:
    with ezpq.Queue(1, job_runner=Thread, log_file=path) as queue:
        queue.map(same, ["=1+1"])
    assert [row["output"] for row in rows(path)] == ["=1+1"]


WRITER = """
import sys
import ezpq_exec as ezpq
from queuework import same
from threading import Thread

print(flush=True)
sys.stdin.readline()
queues = [ezpq.Queue(2, job_runner=Thread, log_file=sys.argv[1], qid=f"{sys.argv[2]}-{n}") for n in (1, 2)]
for number in range(200):
    for queue in queues:
        queue.put(same, [f"{number}, \\n" + "z" * (number * 50)])
for queue in queues:
    queue.wait()
    queue.dispose()
"""


def test_several_queues_of_several_processes_share_a_file(path: Path) -> None:
    """Three processes with two queues each: one header, every row whole."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}"},
            text=True,
        )
        for number in range(3)
    ]
    for writer in writers:
        assert writer.stdout
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0] * 3
    for writer in writers:
        writer.communicate()
    table = rows(path)
    expected = {(f"{w}-{q}", str(n)) for w in range(3) for q in (1, 2) for n in range(1, 201)}
    assert {(row["qid"], row["id"]) for row in table} == expected
    assert len(table) == len(expected)
    for row in table:
        number = int(row["id"]) - 1
        assert row["output"] == f"{number}, \n" + "z" * (number * 50)


def test_a_log_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    """At the queue's creation, naming the file and why."""
    with pytest.raises(IsADirectoryError, match="log_file cannot be written"):
        ezpq.Queue(1, log_file=tmp_path)
    missing = tmp_path / "no" / "log.csv"
    with pytest.raises(FileNotFoundError, match=str(missing)):
        ezpq.Queue(1, log_file=missing)
    with pytest.raises(TypeError, match=r"log_file must be a path or None, not 5\.5"):
        ezpq.Queue(1, log_file=5.5)


def test_a_log_that_fails_later_is_logged_and_loses_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged once, not per job; when the log can be written again, so are the rows."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "log.csv"
    with ezpq.Queue(1, job_runner=Thread, log_file=path) as queue:
        queue.map(same, [1])
        path.unlink()
        folder.rmdir()
        assert len(queue.map(same, range(5))) == 5
        errors = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert len(errors) == 1
        assert str(path) in errors[0].getMessage()
        folder.mkdir()
        queue.map(same, [9])
    assert [row["output"] for row in rows(path)] == ["9"]
    assert "5 jobs are not in the log" in caplog.text


def test_a_row_that_did_not_fit_is_taken_back(path: Path) -> None:
    """When the disk is full in the middle of a row, nothing of it stays in the file."""
    log = JobLog(path)
    log.append({"id": 1, "output": "a"})
    before = path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, old[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            log.append({"id": 2, "output": "b" * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == before
    log.append({"id": 3, "output": "c"})
    assert [row["id"] for row in rows(path)] == ["1", "3"]


def test_a_row_begins_on_a_line_of_its_own(path: Path) -> None:
    """Whatever another program left at the end of the file, a row is not glued to it."""
    path.write_text("id,output\r\n1,a\r\n2,tor")
    JobLog(path).append({"id": 3, "output": "c"})
    assert [row["id"] for row in rows(path)] == ["1", "2", "3"]


def test_a_pipe_can_be_a_log(tmp_path: Path) -> None:
    """What has no size gets its header with the first row."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = JobLog(path)
    log.append({"id": 1})
    log.append({"id": 2})
    assert os.read(reader, 100) == b"id\r\n1\r\n2\r\n"
    os.close(reader)


def test_log_csv(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The static method appends or begins anew, and returns 0; or -1, with the error logged."""
    for number in (1, 2):
        assert ezpq.Queue.log_csv({"id": number}, path=str(path)) == 0
    assert [row["id"] for row in rows(path)] == ["1", "2"]
    assert ezpq.Queue.log_csv(job={"id": 3}, path=str(path), append=False) == 0
    assert path.read_text() == "id\n3\n"
    assert ezpq.Queue.log_csv({"id": 3}, str(path.parent)) == -1
    assert "Logging error" in caplog.text
    with pytest.raises(TypeError, match="5"):
        ezpq.Queue.log_csv(5)  # type: ignore[arg-type]


def test_log_csv_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ezpq.Queue.log_csv({"id": 1}) == 0
    assert (tmp_path / "ezpq_log.csv").exists()


def test_no_other_process_inherits_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is open only while a row is written, and not to children."""
    opened: list[tuple[int, bool]] = []
    real: Callable[..., int] = os.open

    def spy(*args: Any, **kwargs: Any) -> int:
        file = real(*args, **kwargs)
        opened.append((file, os.get_inheritable(file)))
        return file

    monkeypatch.setattr(os, "open", spy)
    JobLog(path).append({"id": 1})
    assert [inheritable for _, inheritable in opened] == [False]
    assert stat.S_IMODE(path.stat().st_mode) & 0o111 == 0
