"""An executor that nobody shuts down: it finishes what it was given, and holds up nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gates import Gate
from programs import started

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="watches processes by pidfd"),
    pytest.mark.skipif(
        (3, 12) <= sys.version_info < (3, 12, 2),
        reason="no thread can be started at exit there: python/cpython#113964",
    ),
]

ENGINES = ["processes", "spawned", "threads"]

LEFT = {
    "dropped": "fs = [ex.submit(say, GATE, n) for n in range(20)]; del ex",
    "dropped with its futures": "[ex.submit(say, GATE, n) for n in range(20)]; del ex",
    "left to the exit": "fs = [ex.submit(say, GATE, n) for n in range(20)]",
    "left by an error": "[ex.submit(say, GATE, n) for n in range(20)]; raise SystemExit(0)",
    "paused": "ex.pause(); fs = [ex.submit(say, GATE, n) for n in range(20)]",
    "shut down without waiting": "[ex.submit(say, GATE, n) for n in range(20)]; ex.shutdown(False)",
    "in a circle": "ex.me = ex; fs = [ex.submit(say, GATE, n) for n in range(20)]; ex.fs = fs; del ex",
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", LEFT)
def test_what_was_submitted_is_done(way: str, engine: str, gate: Gate, tmp_path: Path) -> None:
    """All of it, before the interpreter ends; and the interpreter ends."""
    code = f"ex = executor(2)\n{LEFT[way]}\n"
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        done = gate.heard(20)
        assert sorted(done, key=int) == [str(n) for n in range(20)]
        assert program.ends() == 0
        assert program.said() == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_an_idle_executor_holds_up_nothing(engine: str, gate: Gate, tmp_path: Path) -> None:
    code = """
ex = executor(2)
assert ex.submit(abs, -1).result() == 1
unused = executor(2)
"""
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        assert program.ends() == 0
        assert program.said() == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_daemon_threads_may_submit_to_the_last(engine: str, gate: Gate, tmp_path: Path) -> None:
    """Each call is accepted and done, or refused; nobody is left waiting, a blocked one included."""
    code = """
ex = executor(2, max_pending=4)
going = threading.Event()

def submit_for_ever():
    while True:
        try:
            ex.submit(abs, -1)
        except RuntimeError as error:
            assert "shutdown" in str(error), error
            return
        going.set()

for _ in range(3):
    threading.Thread(target=submit_for_ever, daemon=True).start()
going.wait()
"""
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        assert program.ends() == 0
        assert program.said() == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_other_threads_may_submit_until_the_main_one_ends(
    engine: str, gate: Gate, tmp_path: Path
) -> None:
    """As in the standard library: the interpreter waits for such a thread, and takes no more jobs."""
    code = """
ex = executor(1)
ex.submit(abs, -1).result()
main = threading.current_thread()

def late():
    main.join()
    while True:
        try:
            f = ex.submit(abs, -2)
        except RuntimeError as error:
            tell("refused", "shutdown" in str(error))
            return
        assert f.result() == 2

threading.Thread(target=late).start()
"""
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        assert program.ends() == 0
        assert program.said() == "refused True\n"


def test_the_reusable_executor_is_left_to_the_exit(gate: Gate, tmp_path: Path) -> None:
    code = """
from ezpq_exec import get_reusable_executor
ex = get_reusable_executor(2)
fs = [ex.submit(say, GATE, n) for n in range(20)]
del ex, fs
"""
    with started(code, gate.path, folder=tmp_path) as program:
        assert sorted(gate.heard(20), key=int) == [str(n) for n in range(20)]
        assert program.ends() == 0
        assert program.said() == ""


def test_what_jobs_left_behind_goes_with_the_program(gate: Gate, tmp_path: Path) -> None:
    """Children of jobs that are over live on with their worker, and no longer than the program."""
    code = """
ex = executor(2)
left = [ex.submit(workload.run_in_child_and_return, GATE).result() for _ in range(3)]
tell("ready")
open(GATE + '/passes', 'rb', buffering=0).read(1)
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        assert set(gate.pids(3)) <= set(program.watch())
        gate.open()
        assert program.ends() == 0


def test_callbacks_are_called_before_the_end(gate: Gate, tmp_path: Path) -> None:
    code = """
ex = executor(1)
ex.submit(abs, -1).add_done_callback(lambda f: tell("called", f.result()))
"""
    with started(code, gate.path, folder=tmp_path) as program:
        assert program.ends() == 0
        program.all_end()
        assert program.said() == "called 1\n"


def test_nothing_is_taken_once_the_interpreter_is_on_its_way_out(
    gate: Gate, tmp_path: Path
) -> None:
    code = """
import atexit
ex = executor(1)
ex.submit(abs, -1).result()

def late():
    try:
        ex.submit(abs, -1)
    except RuntimeError as error:
        tell(error)

atexit.register(late)
"""
    with started(code, gate.path, folder=tmp_path) as program:
        assert program.ends() == 0
        assert "after interpreter shutdown" in program.said()
