"""`os.fork` in a program whose executor runs: the child has a copy that says so; the parent's goes on."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from gates import Gate
from programs import started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes by pidfd")

# Forks while a job runs and another waits; the parent then sees that its own go on.
AROUND = """
import asyncio, concurrent.futures, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, from 3.12 on
async def in_asyncio(future):
    return await asyncio.wrap_future(future)

ex = executor(1)
running, waiting = ex.submit(hold, GATE), ex.submit(abs, -7)
parent = os.getpid()
waiting.add_done_callback(lambda _: tell("called in the parent", os.getpid() == parent))
wait([waiting], 0)  # so it has been waited for before
tell("ready")
while not running.running():
    pass
child = os.fork()
if child == 0:
    signal.alarm(20)  # should it wait for ever
{child}
_, status = os.waitpid(child, 0)
tell("child", os.waitstatus_to_exitcode(status))
say(GATE, "forked")
tell("parent", running.result() > 0, waiting.result(), ex.submit(abs, -8).result())
ex.shutdown()
"""

ENGINES = ["processes", "spawned", "threads"]

REFUSED = {
    "submit": "ex.submit(abs, -1)",
    "result of a job that runs": "running.result()",
    "exception of a job that waits": "waiting.exception(5)",
    "as_completed": "list(as_completed([waiting]))",
    "stdlib wait": "wait([running])",
    "stdlib wait of one waited for before": "wait([waiting, running])",
    "stdlib as_completed": "list(concurrent.futures.as_completed([waiting]))",
    "asyncio": "asyncio.run(in_asyncio(waiting))",
    "a callback": "waiting.add_done_callback(print)",
    "map": "list(ex.map(abs, [1]))",
    "stats": "ex.stats()",
    "kill": "running.kill()",
    "reprioritize": "waiting.reprioritize(3)",
    "pause": "ex.pause()",
    "info": "running.info",
    "kill_workers": "ex.kill_workers()",
}


def run(child: str, gate: Gate, folder: Path, engine: str = "processes") -> str:
    """Run the program with that done in its child; what it said."""
    indented = "\n".join(f"    {line}" for line in child.splitlines())
    code = AROUND.format(child=indented)
    with started(code, gate.path, folder=folder, engine=engine) as program:
        program.heard("ready")
        assert "forked" in gate.heard(2)
        program.watch()
        gate.open()
        program.heard("parent True 7 8")
        assert program.ends() == 0
        return program.said()


@pytest.mark.parametrize("call", REFUSED)
def test_the_childs_copy_says_that_it_is_one(call: str, gate: Gate, tmp_path: Path) -> None:
    child = f"""
try:
    {REFUSED[call]}
except RuntimeError as error:
    tell(error)
os._exit(0)
"""
    assert "is a fork without its threads" in run(child, gate, tmp_path)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "end", ["sys.exit(4)", "ex.shutdown(); sys.exit(4)", "del ex; sys.exit(4)"]
)
def test_the_child_ends_and_touches_nothing(
    end: str, engine: str, gate: Gate, tmp_path: Path
) -> None:
    """It may leave a `with` block, drop the executor, or exit: nothing waits, nothing is ended."""
    text = run(end, gate, tmp_path, engine)
    assert "child 4" in text
    assert "Traceback" not in text


def test_the_child_may_leave_the_block(gate: Gate, tmp_path: Path) -> None:
    child = """
with ex:
    sys.exit(4)
"""
    assert "child 4" in run(child, gate, tmp_path)


def test_the_child_may_be_interrupted_in_the_block(gate: Gate, tmp_path: Path) -> None:
    """Ctrl-C there kills nothing of the parent's."""
    child = """
try:
    with ex:
        raise KeyboardInterrupt
except KeyboardInterrupt:
    sys.exit(4)
"""
    assert "child 4" in run(child, gate, tmp_path)


def test_cancelling_in_the_child_cancels_nothing_in_the_parent(gate: Gate, tmp_path: Path) -> None:
    child = """
tell("cancelled", waiting.cancel())
sys.exit(4)
"""
    text = run(child, gate, tmp_path)
    assert "called in the parent False" in text
    assert "called in the parent True" in text
    assert "cancelled True" in text
    assert "child 4" in text


def test_what_all_executors_share_is_free_in_the_child(gate: Gate, tmp_path: Path) -> None:
    """A thread that had it at the fork, and is not there any more, has it no longer."""
    code = """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, from 3.12 on
from ezpq_exec.condition import SharedCondition
from ezpq_exec.engines.linelock import LINES

for lock in (lambda: LINES, SharedCondition.lock):
    held, forked = threading.Event(), threading.Event()

    def have():
        with lock():
            held.set()
            forked.wait(0.2)

    thread = threading.Thread(target=have)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(not lock().acquire(timeout=5))
    forked.set()
    _, status = os.waitpid(child, 0)
    tell(os.waitstatus_to_exitcode(status))
    thread.join()
    with executor(1) as ex:
        tell([ex.submit(abs, -n).result() for n in range(3)])
"""
    with started(code, gate.path, folder=tmp_path, engine="processes") as program:
        assert program.ends() == 0
        assert program.said().split("\n")[:4] == ["0", "[0, 1, 2]"] * 2


@pytest.mark.parametrize("engine", ["processes", "threads"])
def test_the_child_may_have_an_executor_of_its_own(engine: str, gate: Gate, tmp_path: Path) -> None:
    child = """
with executor(2) as mine:
    tell("mine", list(mine.map(abs, [-1, -2])))
sys.exit(4)
"""
    text = run(child, gate, tmp_path, engine)
    assert "mine [1, 2]" in text
    assert "child 4" in text


@pytest.mark.parametrize("way", ["shut down", "left to the exit"])
def test_a_fork_of_multiprocessing_may_have_an_executor_of_its_own(
    way: str, gate: Gate, tmp_path: Path
) -> None:
    code = f"""
import multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)

def work():
    ex = executor(2)
    fs = [ex.submit(abs, -n) for n in range(5)]
    if {way == "shut down"}:
        ex.shutdown()
        tell("inside", [f.result() for f in fs])
    else:
        ex.submit(say, GATE, "inside")

ex = executor(1)
ex.submit(abs, -1).result()
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
tell("outside", process.exitcode, ex.submit(abs, -2).result())
ex.shutdown()
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("outside 0 2")
        assert program.ends() == 0
        program.all_end()
        if way == "shut down":
            assert "inside [0, 1, 2, 3, 4]" in program.said()
        else:
            assert gate.heard() == ["inside"]


def test_a_child_that_stays_does_not_hold_up_the_parents_end(gate: Gate, tmp_path: Path) -> None:
    """It holds copies of every descriptor; nobody waits for their end."""
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
ex = executor(2)
wait([ex.submit(abs, -n) for n in range(9)])
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        signal.pause()
ex.shutdown()
tell("shut")
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("shut")
        program.watch()
        assert program.exit_code() == 0
        program.signal_group(signal.SIGTERM)
        program.all_end()
