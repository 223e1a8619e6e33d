"""Tests run in a fork of this process, which is ended with all that it has started.

It is ended at its end, at the first failure if that is all that is asked for, or when a test takes too
long. Whatever a test started falls to the process that watches when its parent is gone, so nothing that
hangs can outlive the run, whichever session or group it is in.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from hypothesis import Phase, settings

__all__ = ["Outcome", "watched"]

PATIENCE = 15  # seconds that a test waits here for what takes a fraction of one
LIMIT = 30  # seconds without news, after which a test hangs
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


@dataclass
class Outcome:
    """What came of the tests. A failure has a word on how it came, if not by the test itself."""

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    trouble: str = ""  # why they were not run


class Witness:
    """A plugin of pytest that passes on how tests begin and end."""

    def __init__(self, news: int, *, stops: bool) -> None:
        self._news = news
        self._stops = stops

    def _tell(self, what: str, test: str) -> None:
        os.write(self._news, json.dumps([what, test]).encode() + b"\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """It begins."""
        self._tell("begun", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of it is over: the set-up, the test itself, or what comes after it."""
        if report.failed:
            self._tell("failed" if report.when != "setup" else "unready", report.nodeid)
            if self._stops:
                os._exit(pytest.ExitCode.TESTS_FAILED)
        elif report.when == "teardown":
            self._tell("over", report.nodeid)
        elif report.skipped:
            self._tell("skipped", report.nodeid)


def watched(place: Path, tests: list[str], output: Path, *, stops: bool) -> Outcome:
    """Run the tests of the copy of the project in `place`, up to the first failure if it `stops`."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    news, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run(place, tests, output, Witness(theirs, stops=stops))
    os.close(theirs)
    try:
        return _Followed(pid, news).outcome(output)
    finally:
        os.close(news)
        _end_all()


def _run(place: Path, tests: list[str], output: Path, witness: Witness) -> NoReturn:
    """In the fork: be a run of pytest, in a session of its own."""
    os.setsid()
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(place)
    os.environ["PYTHONPATH"] = str(place)
    os.environ["EZPQ_EXEC_TESTS_PATIENCE"] = str(PATIENCE)
    sys.path.insert(0, str(place))
    # The first failure will do, the smallest is not looked for; and it is the same in each run.
    settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], derandomize=True)
    settings.load_profile("mutants")
    options = ["-q", "-n0", "-p", "no:cacheprovider", "--assert=plain", "-o", "timeout=0"]
    code = pytest.main([*options, *tests], plugins=[witness])
    sys.stdout.flush()
    os._exit(code)


class _Followed:
    """A run, and what it has told so far."""

    def __init__(self, pid: int, news: int) -> None:
        self._pid = pid
        self._news = news
        self._rest = b""
        self._current = ""  # the test under way
        self._skipped: set[str] = set()
        self._outcome = Outcome()

    def outcome(self, output: Path) -> Outcome:
        """Follow it until it has ended, or says nothing any more."""
        pidfd = os.pidfd_open(self._pid)
        sources = [self._news, pidfd]
        while ready := select.select(sources, [], [], LIMIT)[0]:
            if self._news not in ready:
                break
            if not self._take(os.read(self._news, 65536)):
                sources.remove(self._news)
        os.close(pidfd)
        how = self._ended() if ready else f"nothing for {LIMIT} s"
        if self._outcome.trouble:
            return self._outcome
        if how and self._current:
            self._outcome.failed.setdefault(self._current, how)
        elif how and not self._outcome.failed:
            last = output.read_text(encoding="utf-8", errors="replace")[-500:]
            self._outcome.trouble = f"the tests did not run: {how}\n{last}"
        return self._outcome

    def _take(self, data: bytes) -> bool:
        """Note what it told; whether there was anything."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for what, test in map(json.loads, lines):
            self._current = "" if what == "over" else test
            if what == "failed":
                self._outcome.failed[test] = ""
            elif what == "unready":
                self._outcome.trouble = f"{test} could not be set up"
            elif what == "skipped":
                self._skipped.add(test)
            elif what == "over" and test not in {*self._skipped, *self._outcome.failed}:
                self._outcome.passed.add(test)
        return bool(data)

    def _ended(self) -> str:
        """How it ended, if not as it should."""
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return f"exit code {code}" if code else ""


def _end_all() -> None:
    """Kill all that is below this process, until nothing is."""
    while below := psutil.Process().children(recursive=True):
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            os.wait()
