"""A Dask worker on a host of its own, by a network namespace, that is cut off without a word."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dasks
from conftest import is_gone
from ezpq_exec import DaskEngine, PriorityExecutor, WorkerDied
from gates import PATIENCE, Gate
from test_dask import calls, note_and_hold
from workload import add

LOST_AFTER = 8.0  # seconds


class FarHost:
    """A network namespace, with a cable to this host."""

    def __init__(self) -> None:
        number = os.getpid()
        self.name = f"ezpq-{number}"
        self._cable = f"ezpq{number}"
        net = f"10.213.{number % 250}"
        self.here, self.there = f"{net}.1", f"{net}.2"
        self.prefix = ["ip", "netns", "exec", self.name]

    def set_up(self) -> None:
        """Make it.

        Raises:
            OSError, CalledProcessError: that is not permitted here.
        """
        far = f"{self._cable}-far"[:15]
        for words in (
            f"netns add {self.name}",
            f"link add {self._cable} type veth peer name {far} netns {self.name}",
            f"address add {self.here}/24 dev {self._cable}",
            f"link set {self._cable} up",
            f"-n {self.name} address add {self.there}/24 dev {far}",
            f"-n {self.name} link set {far} up",
            f"-n {self.name} link set lo up",
        ):
            subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    def cut(self) -> None:
        """Pull the cable: nothing that is sent arrives, and nobody is told."""
        subprocess.run(["ip", "link", "set", self._cable, "down"], check=True)

    def remove(self) -> None:
        """Let go of it."""
        for words in (f"link del {self._cable}", f"netns del {self.name}"):
            subprocess.run(["ip", *words.split()], check=False, capture_output=True)


@pytest.fixture
def far_host() -> Iterator[FarHost]:
    """A host that can be cut off, where the system lets us make one."""
    if shutil.which("ip") is None:
        pytest.skip("there is no ip command here")
    host = FarHost()
    try:
        host.set_up()
        yield host
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces are not permitted here: {error.stderr!r}")
    finally:
        host.remove()


def test_jobs_on_a_host_that_is_cut_off_end_there_before_they_are_given_up_here(
    far_host: FarHost, make_gate: Callable[[], Gate], tmp_path: Path
) -> None:
    """Without retries a job fails, and has run once; with retries, it runs again elsewhere."""
    gate = make_gate()
    with dasks.cluster(host=far_host.here) as cluster:
        cluster.add_worker(threads=2, host=far_host.there, prefix=far_host.prefix)
        executor = PriorityExecutor(engine=DaskEngine(cluster.address, lost_after=LOST_AFTER))
        first = executor.submit(add, 1, 2)
        assert first.result(PATIENCE) == 3
        assert first.info.host == far_host.there
        paths = [tmp_path / "once", tmp_path / "again"]
        once = executor.submit(note_and_hold, str(paths[0]), gate.path)
        again = executor.options(retries=1).submit(note_and_hold, str(paths[1]), gate.path)
        pids = gate.pids(2)
        far_host.cut()
        cluster.add_worker(threads=1)
        (second,) = gate.pids()
        assert all(is_gone(pid) for pid in pids)
        error = once.exception(PATIENCE)
        assert isinstance(error, WorkerDied)
        assert f"nothing was heard of it for {LOST_AFTER:g} s" in str(error.__cause__)
        gate.open(4)
        assert again.result(PATIENCE) == second
        assert again.info.host == far_host.here
        assert [calls(path) for path in paths] == [1, 2]
        executor.shutdown()
