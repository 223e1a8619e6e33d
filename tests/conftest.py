"""What all tests share: executors over every engine, and the check that nothing is left of them."""

from __future__ import annotations

import gc
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

import dasks
import lenders
from ezpq_exec import Capabilities, Engine, PriorityExecutor
from gates import PATIENCE, Gate

# What is tested: the name that a user gives, or where the class is. An engine more is a line more.
ENGINES = {
    "processes": "processes",
    "threads": "threads",
    "spawned": "ezpq_exec.engines.spawned:SpawnedEngine",
    "the page's": "page_engine:crew",
    "borrowed": "lenders:threads",
    "borrowed processes": "lenders:processes",
    "dask": "dasks:engine",
}
# The modules of the contract that Dask's engine runs in any case: about what it does by itself.
TELLING = {
    *("test_deaths", "test_timeouts", "test_trees", "test_order", "test_retries", "test_results"),
    *("test_closing", "test_ending_all", "test_logs", "test_memory", "test_beginnings"),
}
SLOW_TO_START = {"dask"}  # engines that are made ready only if a case of theirs is to run
# Of what is pure: they start nothing, so that nothing need be made ready for them.
UNASSISTED = {
    *("test_attempts", "test_backlog", "test_capacity", "test_condemning", "test_deadlines"),
    *("test_heap", "test_idleness", "test_lane_backlog", "test_layers", "test_mailbox"),
    *("test_offers", "test_ranks", "test_scheduler", "test_scheduler_properties", "test_sizing"),
}

if os.environ.get("PRETEND") == "win32":  # see elsewhere/; this one forks, of which nobody hears
    del ENGINES["borrowed processes"]

_ROOT = "ezpq_exec-root"
_TRACKERS = ("resource_tracker", "semaphore_tracker")
_BY_CAPABILITY = "this engine "


class Maker(Protocol):
    """Makes executors over one engine, which are closed after the test."""

    def __call__(self, max_workers: int = 2, **options: Any) -> PriorityExecutor: ...


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers by which a case says what it asks of an engine."""
    config.addinivalue_line("markers", "needs(*capabilities): only for engines that have these")
    config.addinivalue_line("markers", "lacks(*capabilities): only for engines without these")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        dasks.share()


def pytest_unconfigure() -> None:
    """End what was started for several processes of tests, or for this one."""
    dasks.close_shared()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Have an option by which Dask runs the whole contract."""
    parser.addoption("--thorough", action="store_true", help="run all of the contract on Dask, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on a Dask cluster, what says little about an engine, unless all is asked for."""
    if config.getoption("thorough"):
        return
    left_out = [item for item in items if _is_left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out(item: pytest.Item) -> bool:
    spec = getattr(item, "callspec", None)
    is_dask = spec is not None and spec.params.get("engine_name") == "dask"
    return is_dask and item.path.stem not in TELLING


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run the whole suite by four processes, since most tests wait; what was asked for, by one."""
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    is_chosen = config.option.keyword or config.option.markexpr or config.option.usepdb
    return 4 if is_whole and not is_chosen else 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases were skipped for what an engine cannot do."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr) for report in skipped if hasattr(report, "longrepr")]
    count = sum(_BY_CAPABILITY in reason for reason in reasons)
    terminalreporter.write_line(
        f"{count} cases were skipped by what engines' capabilities say, "
        f"{len(skipped) - count} for other reasons"
    )


def engine_of(name: str) -> Any:
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)() if attribute else module


_capabilities: dict[str, Capabilities] = {}


def capabilities_of(name: str) -> Capabilities:
    """What an executor over that engine says that it can do; warms up what stays for all."""
    if name not in _capabilities:
        with PriorityExecutor(1, engine=engine_of(name)) as executor:
            executor.submit(os.getpid).result(PATIENCE)
            _capabilities[name] = executor.capabilities
        lenders.close_all()
    return _capabilities[name]


@pytest.fixture(scope="session", autouse=True)
def _warm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have all that a program keeps for good (root, trackers) there before the first test.

    What was imported by then is garbage for no test, so that they need not look through it.
    """
    if UNASSISTED.issuperset(item.path.stem for item in request.session.items):
        yield
        return
    params = [getattr(item, "callspec", None) for item in request.session.items]
    used = {spec.params.get("engine_name") for spec in params if spec is not None}
    for name in ENGINES:
        if name in used or name not in SLOW_TO_START:
            capabilities_of(name)
    gc.collect()
    gc.freeze()
    yield
    dasks.close_shared()


# Nothing is left --------------------------------------------------------------------------------


def descendants() -> set[psutil.Process]:
    """The processes below this one, without those that a program keeps for good."""
    me = psutil.Process()
    found = set()
    roots = 0
    foreign = dasks.foreign_pids()
    for process in me.children(recursive=True):
        if process.pid in foreign:
            continue
        try:
            words = " ".join(process.cmdline())
            own = process.ppid() == me.pid
        except psutil.Error:
            continue
        if own and any(tracker in words for tracker in _TRACKERS):
            continue
        if own and _ROOT in words and roots == 0:
            roots += 1
            continue
        found.add(process)
    return found


def eventually(condition: Callable[[], object], within: float = min(20.0, PATIENCE)) -> bool:
    """Whether `condition` comes true; to be used for what other processes do only."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return bool(condition())
        time.sleep(0.01)
    return True


def is_gone(pid: int) -> bool:
    """Whether that process is dead: no more there, or only to be collected."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class Census:
    """The threads, processes and descriptors of one moment."""

    def __init__(self) -> None:
        self.threads = set(threading.enumerate())
        self.processes = descendants()
        self.descriptors = _descriptors()

    def newcomers(self) -> dict[str, Any]:
        """What is there now and was not then; empty when nothing is."""
        threads = [t for t in threading.enumerate() if t not in self.threads]
        new: dict[str, Any] = {
            "threads": threads,
            "processes": descendants() - self.processes,
            "descriptors": [],
        }
        now = _descriptors()
        if len(now) > len(self.descriptors):
            new["descriptors"] = [
                what for fd, what in now.items() if self.descriptors.get(fd) != what
            ]
        return {kind: those for kind, those in new.items() if those}

    def is_alone(self) -> bool:
        """Whether there are no newcomers but what is garbage, and goes with this."""
        if not self.newcomers():
            return True
        gc.collect()
        return not self.newcomers()


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the listing's own
    return found


@pytest.fixture(autouse=True)
def census(_warm: None) -> Iterator[Census]:
    """Fails a test that leaves threads, processes or descriptors behind."""
    gc.collect()
    gc.freeze()  # what is left is garbage for no test: none need look through it again
    before = Census()
    yield before
    if not eventually(before.is_alone):
        pytest.fail(f"left behind: {before.newcomers()}")


# Executors --------------------------------------------------------------------------------------


@pytest.fixture
def gates() -> Iterator[list[Gate]]:
    """The gates of this test, which are opened wide after it."""
    made: list[Gate] = []
    yield made
    for each in made:
        each.close()


@pytest.fixture
def make_gate(tmp_path: Path, gates: list[Gate]) -> Callable[[], Gate]:
    """Makes gates."""

    def make() -> Gate:
        gates.append(Gate(tmp_path / f"gate-{len(gates)}"))
        return gates[-1]

    return make


@pytest.fixture
def gate(make_gate: Callable[[], Gate]) -> Gate:
    """A gate for the jobs of this test."""
    return make_gate()


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """The name of each engine in turn, unless the case asks for what it has not (or has)."""
    name: str = request.param
    can = capabilities_of(name)
    for marker in request.node.iter_markers("needs"):
        for capability in marker.args:
            if not getattr(can, capability):
                pytest.skip(f"{_BY_CAPABILITY}has not: {capability}")
    for marker in request.node.iter_markers("lacks"):
        for capability in marker.args:
            if getattr(can, capability):
                pytest.skip(f"{_BY_CAPABILITY}has: {capability}")
    return name


@pytest.fixture
def new_engine(engine_name: str) -> Iterator[Callable[[], Any]]:
    """Makes what to pass as `engine`, afresh each time."""

    def make() -> str | Engine:
        engine: str | Engine = engine_of(engine_name)
        return engine

    yield make
    lenders.close_all()


@pytest.fixture
def make_executor(
    new_engine: Callable[[], Any], gates: list[Gate], census: Census
) -> Iterator[Maker]:
    """Makes executors over each engine in turn."""
    made: list[PriorityExecutor] = []

    def make(max_workers: int = 2, **options: Any) -> PriorityExecutor:
        made.append(PriorityExecutor(max_workers, engine=new_engine(), **options))
        return made[-1]

    yield make
    for gate in gates:
        gate.open(4096)
    stuck = [executor for executor in made if not _closes(executor, census)]
    if stuck:
        pytest.fail(f"{len(stuck)} executors could be shut down only by killing their workers")


def _closes(executor: PriorityExecutor, census: Census) -> bool:
    """Shut it down, by force if there is no other way; whether none was needed."""
    executor.shutdown(wait=False, cancel_futures=True)
    waiter = threading.Thread(target=executor.shutdown)
    waiter.start()
    waiter.join(30)
    if not waiter.is_alive():
        return True
    for process in descendants() - census.processes:
        process.kill()
    waiter.join(30)
    return False
