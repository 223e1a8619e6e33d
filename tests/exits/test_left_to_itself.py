"""An executor that nobody shuts down: it finishes what it was given, and holds up nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gates import Gate
from programs import started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes by pidfd")

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
