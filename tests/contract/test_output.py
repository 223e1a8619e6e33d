"""What a job writes is kept with its other facts, if that is asked for, and goes nowhere else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from conftest import Maker
from ezpq_exec import JobKilled, JobTimeout, UnsupportedOption, WorkerDied
from gates import PATIENCE, Gate
from outputwork import (
    close_stdout,
    descriptors,
    leave_writer,
    write_all,
    write_and_exit,
    write_and_fail,
    write_and_hold,
    write_bytes,
)
from workload import add

MOST = 1024 * 1024


@pytest.mark.needs("captures")
def test_all_that_a_job_writes_is_kept(
    make_executor: Maker, capfd: pytest.CaptureFixture[str]
) -> None:
    """What Python, C code and other processes write is in `info`, and not in the program's stdout."""
    executor = make_executor(2)
    view = executor.options(capture=True)
    futures = [view.submit(write_all, str(n)) for n in range(6)]
    for n, future in enumerate(futures):
        assert future.result(PATIENCE) == str(n)
        assert sorted(str(future.info.stdout).splitlines()) == [str(n), f"C {n}", f"child {n}"]
        assert sorted(str(future.info.stderr).splitlines()) == ["child", f"error {n}"]
        assert future.info.to_dict()["stdout"] == future.info.stdout
    executor.shutdown()
    assert capfd.readouterr() == ("", "")


@pytest.mark.needs("captures")
def test_only_of_those_of_which_it_is_asked(
    make_executor: Maker, capfd: pytest.CaptureFixture[str]
) -> None:
    """Other jobs of the same worker write where the program does, and have None."""
    executor = make_executor(1)
    view = executor.options(capture=True)
    futures = [(view if n % 2 else executor).submit(write_all, str(n)) for n in range(4)]
    for future in futures:
        future.result(PATIENCE)
    executor.shutdown()
    assert [future.info.stdout is None for future in futures] == [True, False, True, False]
    assert [future.info.stderr is None for future in futures] == [True, False, True, False]
    lines = [line for line in capfd.readouterr().out.splitlines() if not line.startswith("C ")]
    assert lines == ["0", "child 0", "2", "child 2"]


@pytest.mark.needs("captures")
def test_nothing_written_is_an_empty_text(make_executor: Maker) -> None:
    """None means that it was not asked for; and before the job is done it is None, too."""
    executor = make_executor(1)
    executor.pause()
    future = executor.options(capture=True).submit(add, 1, 2)
    assert future.info.stdout is None
    executor.resume()
    assert future.result(PATIENCE) == 3
    done = future.info
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.needs("captures", "kills")
def test_a_job_that_is_ended_leaves_what_it_wrote(make_executor: Maker, gate: Gate) -> None:
    """Of a job that timed out, was killed, or died, each whole line is kept."""
    executor = make_executor(1)
    view = executor.options(capture=True)
    late = view.options(timeout=0.3).submit(write_and_hold, gate.path, "late")
    assert isinstance(late.exception(PATIENCE), JobTimeout)
    gate.heard()
    killed = view.submit(write_and_hold, gate.path, "killed")
    gate.heard()
    assert killed.kill()
    assert isinstance(killed.exception(PATIENCE), JobKilled)
    struck = view.submit(write_and_hold, gate.path, "struck")
    os.kill(gate.pids()[0], signal.SIGKILL)
    assert isinstance(struck.exception(PATIENCE), WorkerDied)
    exited = view.submit(write_and_exit, "exited")
    assert isinstance(exited.exception(PATIENCE), WorkerDied)
    texts = [future.info.stdout for future in (late, killed, struck, exited)]
    assert texts == ["late\n", "killed\n", "struck\n", "exited\n"]


@pytest.mark.needs("captures")
def test_the_last_attempt_is_what_is_kept(make_executor: Maker, tmp_path: Path) -> None:
    """As all else in `info`, it is of the latest attempt."""
    executor = make_executor(1)
    view = executor.options(capture=True, retries=1, retry_on=ConnectionError)
    future = view.submit(write_and_fail, str(tmp_path / "been here"))
    future.result(PATIENCE)
    assert (future.info.attempt, future.info.stdout) == (2, "second\n")


@pytest.mark.needs("captures")
def test_of_much_the_end_is_kept(make_executor: Maker) -> None:
    """It is the last MiB, with a line before it that says how much is missing; any bytes will do."""
    executor = make_executor(1)
    view = executor.options(capture=True)
    all_of_it = view.submit(write_bytes, MOST - 4, b"end\n")
    more = view.submit(write_bytes, 3 * MOST, b"end\n")
    for future in (all_of_it, more):
        future.result(PATIENCE)
    assert all_of_it.info.stdout == "\N{REPLACEMENT CHARACTER}" * (MOST - 4) + "end\n"
    note, _, rest = str(more.info.stdout).partition("\n")
    assert str(2 * MOST + 4) in note
    assert (len(rest), rest[-4:]) == (MOST, "end\n")


@pytest.mark.needs("captures")
def test_a_job_may_close_what_is_captured(make_executor: Maker) -> None:
    """It is open again for the next; and no job has descriptors that it did not have before."""
    executor = make_executor(1)
    before = executor.submit(descriptors).result(PATIENCE)
    view = executor.options(capture=True)
    closing = view.submit(close_stdout)
    closing.result(PATIENCE)
    after = view.submit(write_all, "after")
    after.result(PATIENCE)
    assert closing.info.stdout == "before\n"
    assert "after" in str(after.info.stdout)
    assert executor.submit(descriptors).result(PATIENCE) == before


@pytest.mark.needs("captures", "isolates")
def test_a_job_may_have_closed_what_is_to_be_captured(make_executor: Maker) -> None:
    """What comes after in that worker is captured all the same, and may close it, too."""
    executor = make_executor(1)
    view = executor.options(capture=True)
    pid = executor.submit(os.getpid).result(PATIENCE)
    executor.submit(os.close, 1).result(PATIENCE)
    executor.submit(os.close, 0).result(PATIENCE)
    for _ in range(2):
        future = view.submit(write_all, "after")
        future.result(PATIENCE)
        assert sorted(str(future.info.stdout).splitlines()) == ["C after", "after", "child after"]
        assert "error after" in str(future.info.stderr)
    view.submit(close_stdout).result(PATIENCE)
    assert executor.submit(os.getpid).result(PATIENCE) == pid


@pytest.mark.needs("captures")
def test_a_process_left_behind_writes_into_no_other_job(make_executor: Maker, gate: Gate) -> None:
    """What it writes after its job has ended is nobody's."""
    executor = make_executor(1)
    view = executor.options(capture=True)
    view.submit(leave_writer, gate.path).result(PATIENCE)
    assert gate.heard() == ["held"]
    next_one = view.submit(write_and_hold, gate.path, "mine")
    pid = gate.pids()[0]
    gate.open(2)
    assert gate.heard() == ["written"]
    assert next_one.result(PATIENCE) == pid
    assert next_one.info.stdout == "mine\n"


@pytest.mark.needs("captures", "limits_memory")
def test_it_goes_with_every_other_option(make_executor: Maker) -> None:
    """Limits, lanes and large arguments change nothing about it."""
    executor = make_executor(2)
    view = executor.options(capture=True, memory_limit=2**40, lane="one", timeout=PATIENCE)
    text = "x" * 100_000
    futures = [view.submit(write_bytes, 0, f"{text}{n}".encode()) for n in range(3)]
    for n, future in enumerate(futures):
        future.result(PATIENCE)
        assert future.info.stdout == f"{text}{n}"


@pytest.mark.needs("captures")
def test_where_no_file_can_be_made_the_job_says_so(
    make_executor: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not run without; the error is its future's, and others are not concerned."""
    executor = make_executor(1)
    executor.submit(add, 1, 1).result(PATIENCE)
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    future = executor.options(capture=True).submit(add, 1, 2)
    assert isinstance(future.exception(PATIENCE), FileNotFoundError)
    monkeypatch.undo()
    assert executor.options(capture=True).submit(add, 1, 2).result(PATIENCE) == 3


@pytest.mark.lacks("captures")
def test_an_engine_that_cannot_says_so(make_executor: Maker) -> None:
    """It is refused where it is asked for."""
    with pytest.raises(UnsupportedOption, match="capture"):
        make_executor(1).options(capture=True)


@pytest.mark.parametrize("value", [None, 1, "stdout"])
def test_what_is_neither_true_nor_false_is_refused(make_executor: Maker, value: object) -> None:
    """The error names the option and the value."""
    with pytest.raises(TypeError, match=f"capture must be .* {value!r}"):
        make_executor(1).options(capture=value)
