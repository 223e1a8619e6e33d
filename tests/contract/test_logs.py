"""What jobs log reaches the program's handlers, whatever becomes of the jobs."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import Maker, eventually
from ezpq_exec import JobKilled, JobTimeout, PriorityExecutor, UnsupportedOption, WorkerDied
from ezpq_exec.loglistener import EACH, MOST_LEFT
from gates import PATIENCE, Gate
from logwork import (
    NAME,
    Collector,
    OwnWarning,
    collected,
    configure,
    flood_and_count,
    flood_in_thread,
    is_logged,
    leave_thread,
    note,
    note_all,
    note_and_die,
    note_and_hold,
    note_by_root,
    note_in_fork,
    note_much,
    note_what_does_not_arrive,
    warn,
    warn_of_nowhere,
    warn_own,
)
from workload import add, echo


@pytest.fixture
def handler() -> Iterator[Collector]:
    with collected() as handler:
        yield handler


@pytest.mark.needs("relays")
def test_a_record_arrives_whole(make_executor: Maker, handler: Collector) -> None:
    """Text, level, place, traceback, stack and extra attributes are as in this process."""
    executor = make_executor(1)
    executor.submit(note_all).result(PATIENCE)
    executor.shutdown()
    plain, caught, long, here = handler.records
    assert plain.getMessage() == "plain 1 of two"
    assert (plain.name, plain.levelname, plain.funcName) == (NAME, "INFO", "note_all")
    assert vars(plain)["order"] == [1, 2]
    formatted = logging.Formatter().format(caught)
    assert formatted.startswith("caught\nTraceback")
    assert formatted.endswith("'as intended'")
    assert long.getMessage().startswith("xxxx")
    assert "in note_all" in str(here.stack_info)


@pytest.mark.needs("relays", "isolates")
def test_of_an_attribute_that_does_not_arrive_it_is_said_why(
    make_executor: Maker, handler: Collector
) -> None:
    """The record itself is there."""
    executor = make_executor(1)
    executor.submit(note_what_does_not_arrive).result(PATIENCE)
    executor.shutdown()
    [record] = handler.records
    assert record.getMessage() == "odd"
    assert "does not unpickle: ValueError('not on this side')" in vars(record)["odd"]


@pytest.mark.needs("relays", "isolates")
def test_a_record_says_which_job_it_is_of(make_executor: Maker, handler: Collector) -> None:
    """It has the job's id and name, the worker's slot, and the process's id."""
    executor = make_executor(2)
    futures = [executor.options(name=f"job {n}").submit(note, str(n)) for n in range(10)]
    for future in futures:
        future.result(PATIENCE)
    executor.shutdown()
    found = sorted((int(r.getMessage()), _of(r), r.process) for r in handler.records)
    infos = [future.info for future in futures]
    assert found == [(n, (i.id, i.name, i.worker), i.pid) for n, i in enumerate(infos)]


def _of(record: logging.LogRecord) -> tuple[Any, Any, Any]:
    return tuple(vars(record).get(name) for name in ("job_id", "job_name", "worker"))  # type: ignore[return-value]


@pytest.mark.needs("relays", "isolates")
def test_nothing_is_too_large_or_too_odd(make_executor: Maker, handler: Collector) -> None:
    """A huge message is cut, which it says; what does not pickle comes as text."""
    executor = make_executor(1)
    executor.submit(note_all).result(PATIENCE)
    executor.shutdown()
    assert len(handler.records[2].getMessage()) < 50_000
    assert handler.records[2].getMessage().endswith("more characters)")
    assert "repr() raised ValueError" in vars(handler.records[0])["refuses"]


@pytest.mark.needs("relays")
def test_what_is_logged_here_is_logged_there(make_executor: Maker) -> None:
    """The levels of the program are those of its workers."""
    with collected(logging.ERROR):
        executor = make_executor(1)
        levels = (logging.WARNING, logging.ERROR)
        assert [executor.submit(is_logged, x).result(PATIENCE) for x in levels] == [False, True]
        executor.shutdown()


@pytest.mark.needs("relays", "isolates")
def test_a_level_that_is_raised_holds_at_once(make_executor: Maker, handler: Collector) -> None:
    """What the program no more wants is not logged, though the worker still sends it."""
    executor = make_executor(1)
    executor.submit(note, "before").result(PATIENCE)
    handler.wait_for(1, PATIENCE)
    logging.getLogger(NAME).setLevel(logging.ERROR)
    assert executor.submit(is_logged, logging.INFO).result(PATIENCE)
    executor.submit(note, "after").result(PATIENCE)
    executor.shutdown()
    assert handler.texts == ["before"]


@pytest.mark.needs("relays", "kills")
def test_a_killed_job_has_had_its_say(make_executor: Maker, gate: Gate, handler: Collector) -> None:
    """What a job logged before it was killed, timed out or died arrives."""
    executor = make_executor(1)
    killed = executor.submit(note_and_hold, gate.path, "killed")
    gate.heard()
    assert killed.kill()
    late = executor.options(timeout=0.2).submit(note_and_hold, gate.path, "late")
    assert isinstance(late.exception(PATIENCE), JobTimeout)
    dead = executor.submit(note_and_die, "dead")
    assert isinstance(dead.exception(PATIENCE), WorkerDied)
    executor.shutdown()
    assert handler.texts == ["killed", "late", "dead"]
    assert [_of(r)[0] for r in handler.records] == [killed.info.id, late.info.id, dead.info.id]


@pytest.mark.needs("relays")
def test_a_thread_left_behind_may_log(make_executor: Maker, gate: Gate, handler: Collector) -> None:
    """What it logs between jobs is of no job."""
    executor = make_executor(1)
    executor.submit(leave_thread, gate.path, "later").result(PATIENCE)
    assert gate.heard() == ["held"]
    gate.open()
    handler.wait_for(1, PATIENCE)
    assert handler.texts == ["later"]
    assert _of(handler.records[0])[:2] == (None, None)


@pytest.mark.needs("relays")
def test_many_threads_log_at_once(make_executor: Maker, handler: Collector) -> None:
    """Nothing is lost or mixed up, answers included."""
    executor = make_executor(2)
    futures = {text: executor.submit(note_much, text, 100, threads=4) for text in "abcd"}
    for text, future in futures.items():
        assert future.result(PATIENCE) == text.encode() * 5000
    executor.shutdown()
    wanted = [f"{text} {n}" for text in "abcd" for n in range(100) for _ in range(4)]
    assert sorted(handler.texts) == sorted(wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.needs("relays", "isolates")
def test_a_fork_spoils_nothing(make_executor: Maker, handler: Collector) -> None:
    """What a job's forks log does not get between what the job itself sends."""
    executor = make_executor(1)
    texts = [f"{n} {'x' * n}" for n in range(200)]
    assert executor.submit(note_in_fork, texts, 3).result(PATIENCE) == texts
    assert executor.submit(add, 1, 2).result(PATIENCE) == 3
    executor.shutdown()
    assert handler.texts == texts


@pytest.mark.needs("relays", "isolates")
def test_the_shortest_way_of_all_is_carried_too(make_executor: Maker) -> None:
    """`logging.warning()`, which configures what is not configured, does not do so in a worker."""
    root, handler = logging.getLogger(), Collector()
    root.addHandler(handler)
    try:
        executor = make_executor(1)
        for text in ("one", "two"):
            executor.submit(note_by_root, text).result(PATIENCE)
        executor.shutdown()
    finally:
        root.removeHandler(handler)
    assert [text for text in handler.texts if text in ("one", "two")] == ["one", "two"]


@pytest.mark.needs("relays", "isolates", "recycles")
def test_a_configuration_of_the_workers_stands(
    make_executor: Maker, handler: Collector, tmp_path: Path
) -> None:
    """Where an initializer configures logging, records go where that says, and only there."""
    path = tmp_path / "log"
    executor = make_executor(1, initializer=configure, initargs=(str(path),))
    executor.submit(note, "to the file").result(PATIENCE)
    executor.shutdown()
    assert path.read_text() == "to the file\n"
    assert handler.texts == []


@pytest.mark.needs("relays", "isolates")
def test_it_can_be_done_without(make_executor: Maker, handler: Collector) -> None:
    """With `relay_logs=False` nothing is sent."""
    executor = make_executor(1, relay_logs=False)
    assert executor.submit(note, "unheard").result(PATIENCE) == 1
    executor.shutdown()
    assert handler.texts == []


@pytest.mark.lacks("relays")
def test_an_engine_that_cannot_says_so(new_engine: Callable[[], Any]) -> None:
    """Asked for outright, it is refused."""
    with pytest.raises(UnsupportedOption, match="relay_logs"):
        PriorityExecutor(1, engine=new_engine(), relay_logs=True)


def test_what_is_neither_true_nor_false_is_refused(new_engine: Callable[[], Any]) -> None:
    """The error names the argument and the value."""
    with pytest.raises(TypeError, match=r"relay_logs .* 'no'"):
        PriorityExecutor(1, engine=new_engine(), relay_logs="no")  # type: ignore[arg-type]


# The handlers' side ---------------------------------------------------------------------------


class Slow(Collector):
    """Waits, at each record, until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.may.wait(PATIENCE)
        super().emit(record)


@pytest.mark.needs("relays", "kills")
def test_a_slow_handler_holds_up_those_who_log_and_nobody_else(
    make_executor: Maker, gate: Gate, tmp_path: Path
) -> None:
    """A job that logs faster waits; its timeout holds, others run, and what it had sent arrives."""
    path = tmp_path / "count"
    with collected(handler=Slow()) as handler:
        assert isinstance(handler, Slow)
        executor = make_executor(1)
        endless = executor.options(timeout=1).submit(flood_and_count, gate.path, 10_000, str(path))
        gate.heard()
        assert isinstance(endless.exception(PATIENCE), JobTimeout)
        assert executor.submit(echo, b"x" * 1_000_000).result(PATIENCE) == b"x" * 1_000_000
        assert executor.stats().running == 0
        handler.may.set()
        executor.shutdown()
        numbers = [int(text.split()[0]) for text in handler.texts]
        assert numbers == list(range(len(numbers)))
        assert int(path.read_text()) <= len(numbers) < 1000


def is_stuck(worker: psutil.Process, path: Path) -> bool:
    """Whether it has logged about all that may wait for the handlers, and sleeps, look by look."""
    count = path.read_bytes()
    if int(count or b"0") * (10_000 + EACH) < 0.9 * MOST_LEFT:
        return False
    for _ in range(20):
        if worker.status() != psutil.STATUS_SLEEPING or path.read_bytes() != count:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.needs("relays", "kills", "isolates")
def test_what_was_sent_before_a_kill_arrives_though_nobody_had_read_it_by_then(
    make_executor: Maker, gate: Gate, tmp_path: Path
) -> None:
    """Its stream is full, since a slow handler has the program read no further."""
    path = tmp_path / "count"
    path.touch()
    with collected(handler=Slow()) as handler:
        assert isinstance(handler, Slow)
        executor = make_executor(1)
        endless = executor.submit(flood_and_count, gate.path, 10_000, str(path))
        worker = psutil.Process(gate.pids()[0])
        assert eventually(lambda: is_stuck(worker, path), PATIENCE)
        endless.kill()
        assert isinstance(endless.exception(PATIENCE), JobKilled)
        handler.may.set()
        executor.shutdown()
        numbers = [int(text.split()[0]) for text in handler.texts]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= int(path.read_text())


@pytest.mark.needs("relays", "isolates")
def test_nothing_is_lost_by_that(make_executor: Maker, gate: Gate) -> None:
    """When the handler goes on, so does the job; a worker that is waited for gets calls."""
    with collected(handler=Slow()) as handler:
        assert isinstance(handler, Slow)
        executor = make_executor(1)
        assert executor.submit(flood_in_thread, gate.path, 10_000, 1500).result(PATIENCE) == 1500
        assert gate.heard() == ["ready"]
        gate.open()  # not before: what is logged goes before the answer of whoever logs
        gate.heard()
        large = executor.submit(echo, b"x" * 5_000_000)
        handler.may.set()
        assert len(large.result(PATIENCE)) == 5_000_000
        handler.wait_for(1500, PATIENCE)
        assert [int(text.split()[0]) for text in handler.texts] == list(range(1500))


class Broken(Collector):
    """Fails, and says nothing of that."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        raise SystemExit


@pytest.mark.needs("relays", "isolates")
def test_a_handler_that_fails_harms_no_job(make_executor: Maker) -> None:
    """It is called for the next record all the same."""
    with collected(handler=Broken()) as handler:
        executor = make_executor(1)
        assert executor.submit(note, "one", "two").result(PATIENCE) == 2
        executor.shutdown()
        assert handler.texts == ["one", "two"]


class Busy(Collector):
    """Has something run for each record, and ends everything."""

    executor: PriorityExecutor

    def emit(self, record: logging.LogRecord) -> None:
        sum_of = self.executor.submit(add, 1, len(self.records)).result(PATIENCE)
        record.msg = f"{record.msg} {sum_of}"
        super().emit(record)
        self.executor.shutdown()


@pytest.mark.needs("relays", "isolates")
def test_a_handler_may_use_the_executor(make_executor: Maker) -> None:
    """It runs on no thread that the executor needs, and waits for nothing that waits for it."""
    with collected(handler=Busy()) as handler:
        executor = make_executor(1)
        assert isinstance(handler, Busy)
        handler.executor = executor
        executor.submit(note, "one").result(PATIENCE)
        handler.wait_for(1, PATIENCE)
        executor.shutdown()
        assert handler.texts == ["one 1"]


# Warnings -------------------------------------------------------------------------------------


@pytest.mark.needs("relays", "isolates")
def test_a_warning_is_shown_once(make_executor: Maker, census: Any) -> None:
    """However many workers and jobs meet it, it is shown once for each place and text."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(2):
            executor = make_executor(2)
            futures = [executor.submit(warn, f"careful {n % 2}") for n in range(20)]
            for future in futures:
                future.result(PATIENCE)
            executor.shutdown()
        texts = sorted(str(each.message) for each in shown)
        assert texts == ["careful 0", "careful 1"]
        assert {Path(each.filename).name for each in shown} == {"logwork.py"}
        assert {each.category for each in shown} == {UserWarning}


@pytest.mark.needs("relays", "isolates")
def test_the_programs_filters_decide(make_executor: Maker) -> None:
    """What the program ignores is not shown; a category of the user's is what it was."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="logwork")
        executor = make_executor(1)
        executor.submit(warn, "ignored", RuntimeWarning).result(PATIENCE)
        executor.submit(warn_own).result(PATIENCE)
        executor.shutdown()
        assert [str(each.message) for each in shown] == ["1 and 2"]
        assert issubclass(shown[0].category, UserWarning)
        assert shown[0].category.__name__ == OwnWarning.__name__


@pytest.mark.needs("relays", "isolates")
def test_a_warning_of_what_is_not_loaded_here_is_shown_all_the_same(make_executor: Maker) -> None:
    """Once, with a class of its name and of the standard one that it comes from."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(2):
            executor = make_executor(1)
            executor.submit(warn_of_nowhere).result(PATIENCE)
            executor.shutdown()
        [each] = shown
    assert (str(each.message), each.filename, each.lineno) == ("from afar", "elsewhere.py", 7)
    assert (each.category.__module__, each.category.__name__) == ("elsewhere", "Local")
    assert issubclass(each.category, UserWarning)


@pytest.mark.needs("relays", "isolates")
def test_a_warning_that_is_to_be_an_error_is_shown(make_executor: Maker) -> None:
    """There is nobody to raise it for: the job has gone on."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("error")
        executor = make_executor(1)
        executor.submit(warn, "that is an error").result(PATIENCE)
        executor.shutdown()
        assert [str(each.message) for each in shown] == ["that is an error"]
