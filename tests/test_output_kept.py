"""Whole programs whose jobs print: Python holds back what goes to a file, as it does by default."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import weakref
from array import array
from pathlib import Path

import pytest

from ezpq_exec import PriorityExecutor
from gates import PATIENCE
from outputwork import print_and_leave
from payloadwork import limit_descriptors

PROGRAM = """
import os
from ezpq_exec import PriorityExecutor

def print_and_end(text):
    print(text)
    os.kill(os.getpid(), 9)

with PriorityExecutor(1) as ex:
    kept = ex.options(capture=True).submit(print_and_end, "kept")
    seen = ex.submit(print, "seen")
    kept.exception()
    seen.result()
    print(repr(kept.info.stdout), flush=True)
"""


def run_program() -> list[str]:
    environ = {name: each for name, each in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_lines_are_kept_though_the_process_held_them_back() -> None:
    """A captured line is written at once; what is not captured, before the job's result is there."""
    assert run_program() == ["seen", r"'kept\n'"]


def refuse(*_: object) -> None:
    raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is captured")
@pytest.mark.parametrize("left", range(4))
def test_a_worker_without_descriptors_makes_way_for_one_that_can_capture(
    left: int, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The job runs once, there; its output is its own, that of others is not, and nothing else is said."""
    trace = tmp_path / "trace"
    with PriorityExecutor(1) as executor:
        spoilt = executor.submit(os.getpid).result(PATIENCE)
        executor.submit(limit_descriptors, left).result(PATIENCE)
        job = executor.options(capture=True).submit(print_and_leave, "kept", str(trace))
        assert job.result(PATIENCE) != spoilt
        executor.submit(print, "loose").result(PATIENCE)
    assert (job.info.stdout, trace.read_text()) == ("kept\n", "kept")
    assert capfd.readouterr() == ("loose\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is captured")
@pytest.mark.parametrize("way", ["capture.Capture", "parcels.Parcel"])
def test_a_job_that_could_not_be_sent_captures_nothing_of_the_next(
    way: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If too many descriptors are on their way, the next job's output is where it belongs."""
    with PriorityExecutor(1) as executor:
        executor.submit(abs, 1).result(PATIENCE)
        with monkeypatch.context() as refusing:
            refusing.setattr(f"ezpq_exec.engines.{way}.send", refuse)
            kept = executor.options(capture=True).submit(len, bytes(10_000_000))
            error = kept.exception(PATIENCE)
        assert isinstance(error, OSError)
        assert error.errno == errno.ETOOMANYREFS
        seen = executor.submit(print, "seen")
        seen.result(PATIENCE)
        assert seen.info.stdout is None
        again = executor.options(capture=True).submit(print, "kept")
        again.result(PATIENCE)
        assert again.info.stdout == "kept\n"
    assert capfd.readouterr().out == "seen\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is captured")
@pytest.mark.parametrize("way", ["capture.Capture", "parcels.Parcel"])
def test_a_job_that_could_not_be_sent_is_let_go_of(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arguments go with its future, and wait for no garbage collection."""
    argument = array("b", bytes(10_000_000))
    held = weakref.ref(argument)
    monkeypatch.setattr(f"ezpq_exec.engines.{way}.send", refuse)
    gc.disable()
    try:
        with PriorityExecutor(1) as executor:
            future = executor.options(capture=True).submit(len, argument)
            assert isinstance(future.exception(PATIENCE), OSError)
        del argument, future, executor
        assert held() is None
    finally:
        gc.enable()
