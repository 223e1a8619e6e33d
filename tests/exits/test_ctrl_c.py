"""One Ctrl-C ends a program, wherever it is, and with it all that its executors run."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from conftest import eventually
from gates import Gate
from programs import started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes by pidfd")

# Where the program is when it happens. Two jobs run, others wait.
PLACES = {
    "result": "fs[0].result()",
    "as_completed": "list(as_completed(fs))",
    "stdlib wait": "wait(fs)",
    "next of map": "next(ex.map(hold, [GATE] * 5))",
    "next of map in chunks": "next(ex.map(hold, [GATE] * 5, chunksize='auto'))",
    "shutdown": "ex.shutdown()",
    "a blocked submit": "fs = [ex.submit(hold, GATE) for _ in range(9)]",
    "a callback's errand": "fs[2].add_done_callback(print); fs[0].result()",
    "the end of the block": "pass",
}

IN_BLOCK = """
with executor(max_pending=8) as ex:
    fs = [ex.submit(hold, GATE) for _ in range(6)]
    tell("ready")
    {place}
"""

PLAIN = """
ex = executor(max_pending=8)
fs = [ex.submit(hold, GATE) for _ in range(6)]
tell("ready")
{place}
"""


def is_interrupted(code: str, gate: Gate, folder: Path, how: str = "script") -> tuple[int, str]:
    """Interrupt the program while two jobs run; its exit code, and what it said."""
    with started(code, gate.path, folder=folder, how=how) as program:
        program.heard("ready")
        gate.heard(2)
        program.blocks()
        program.watch()
        program.ctrl_c()
        code_of_end = program.ends()
        assert gate.all_heard() == [], "a job that waited was started"
        return code_of_end, program.said()


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_ends_a_with_block_and_its_jobs(place: str, gate: Gate, tmp_path: Path) -> None:
    code, text = is_interrupted(IN_BLOCK.format(place=PLACES[place]), gate, tmp_path)
    assert code == -signal.SIGINT
    assert text.count("KeyboardInterrupt") == 1, text


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_ends_a_program_without_a_with_block(place: str, gate: Gate, tmp_path: Path) -> None:
    """At the interpreter's exit nothing is waited for that Ctrl-C was to end."""
    _, text = is_interrupted(PLAIN.format(place=PLACES[place]), gate, tmp_path)
    assert text.count("KeyboardInterrupt") == 1, text


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_is_typed_in_a_terminal(place: str, gate: Gate, tmp_path: Path) -> None:
    """The key reaches the kernel's terminal driver, which signals the foreground process group."""
    code, text = is_interrupted(IN_BLOCK.format(place=PLACES[place]), gate, tmp_path, "terminal")
    assert code == -signal.SIGINT
    assert text.count("KeyboardInterrupt") == 1, text
    assert text.count("Traceback") == 1, text  # the program's own, and no worker's


def test_ctrl_c_while_an_answer_is_fetched(gate: Gate, tmp_path: Path) -> None:
    """A thread that waits at the worker's own end, as round trips do, hears it too."""
    code = """
with executor(1) as ex:
    for n in range(50):
        assert ex.submit(abs, -n).result() == n
    f = ex.submit(hold, GATE)
    tell("ready")
    f.result()
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard()
        program.blocks()
        program.watch()
        program.ctrl_c()
        assert program.ends() == -signal.SIGINT
        assert program.said().count("Traceback") == 1, program.said()


def test_ctrl_c_ends_what_the_reusable_executor_runs(gate: Gate, tmp_path: Path) -> None:
    """Nobody shuts that down, so it is the interpreter's exit that ends its jobs."""
    program = """
from ezpq_exec import get_reusable_executor
ex = get_reusable_executor(2)
fs = [ex.submit(hold, GATE) for _ in range(6)]
tell("ready")
fs[0].result()
"""
    code, text = is_interrupted(program, gate, tmp_path)
    assert code == -signal.SIGINT
    assert text.count("Traceback") == 1, text


def test_ctrl_c_leaves_a_block_around_asyncio(gate: Gate, tmp_path: Path) -> None:
    """Where it is a cancellation first; outside of `asyncio.run` it is Ctrl-C again."""
    program = """
import asyncio

async def main():
    tell("ready")
    await asyncio.wrap_future(fs[0])

with executor() as ex:
    fs = [ex.submit(hold, GATE) for _ in range(6)]
    asyncio.run(main())
"""
    code, text = is_interrupted(program, gate, tmp_path)
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in text


def test_a_second_ctrl_c_leaves_a_block_inside_asyncio(gate: Gate, tmp_path: Path) -> None:
    """There the first is a cancellation, for which a block waits for its jobs."""
    code = """
import asyncio

async def main():
    with executor() as ex:
        fs = [ex.submit(hold, GATE) for _ in range(6)]
        tell("ready")
        await asyncio.wrap_future(fs[0])

asyncio.run(main())
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.blocks()
        program.watch()
        program.ctrl_c()
        program.ends_while(program.ctrl_c)
        program.all_end()


@pytest.mark.parametrize("lender", ["loky", "pool"])
@pytest.mark.parametrize("form", [IN_BLOCK, PLAIN], ids=["with", "plain"])
def test_ctrl_c_ends_a_program_over_borrowed_processes(
    lender: str, form: str, gate: Gate, tmp_path: Path
) -> None:
    """Its workers hear it, too, which ends their jobs; others may have begun by then, so again."""
    make = {
        "loky": "import loky; lender = loky.get_reusable_executor(2)",
        "pool": "import concurrent.futures as c, multiprocessing as m\n"
        "lender = c.ProcessPoolExecutor(2, m.get_context('spawn'))",
    }[lender]
    code = form.replace("executor(max_pending=8)", "PriorityExecutor(2, engine=lender)")
    code = code.format(place="fs[0].result()")
    indented = "\n".join("    " + line for line in (make + code).splitlines())
    code = f"if __name__ == '__main__':\n{indented}\n"
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.blocks()
        program.watch()
        program.ctrl_c()
        program.ends_while(program.ctrl_c)
        program.all_end()


@pytest.mark.parametrize("how", ["-m", "-c", "terminal"])
@pytest.mark.parametrize("form", [IN_BLOCK, PLAIN], ids=["with", "plain"])
def test_however_the_program_was_started(how: str, form: str, gate: Gate, tmp_path: Path) -> None:
    code, text = is_interrupted(form.format(place=PLACES["result"]), gate, tmp_path, how)
    assert code == -signal.SIGINT
    assert text.count("Traceback") == 1, text


def test_ctrl_c_in_the_midst_of_submitting(gate: Gate, tmp_path: Path) -> None:
    """Thousands of jobs come and go; nothing is left of them."""
    code = """
with executor() as ex:
    ex.submit(say, GATE, "going")
    tell("ready")
    while True:
        ex.submit(abs, -1)
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard()
        program.watch()
        program.ctrl_c()
        assert program.ends() == -signal.SIGINT


@pytest.mark.parametrize("engine", ["processes", "threads", "spawned"])
@pytest.mark.parametrize("name", ["ezpq_exec-loop", "ezpq_exec-callbacks"])
def test_ctrl_c_while_a_thread_begins(name: str, engine: str, gate: Gate, tmp_path: Path) -> None:
    """Whoever starts one waits for it a little. It is left to nobody, and no callback is lost."""
    code = f"""
start = threading.Thread.start

def struck(thread):
    start(thread)
    if thread.name == "{name}":
        threading.Thread.start = start
        signal.raise_signal(signal.SIGINT)

threading.Thread.start = struck
try:
    with executor(1) as ex:
        ex.pause()
        f = ex.submit(abs, -1)
        f.add_done_callback(lambda _: tell("called"))
        f.cancel()
except KeyboardInterrupt:
    tell("struck")
"""
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        program.watch()
        assert program.ends() == 0
        said = program.said().split()
        assert said[-1:] == ["struck"]
        assert said[:-1] == (["called"] if "callbacks" in name else [])


@pytest.mark.parametrize("place", ["result", "shutdown", "the end of the block"])
@pytest.mark.parametrize("form", [IN_BLOCK, PLAIN], ids=["with", "plain"])
def test_further_ctrl_c_ends_it_as_well(place: str, form: str, gate: Gate, tmp_path: Path) -> None:
    """While the first is seen to, or at the exit that follows: the program ends, and nothing is left."""
    with started(form.format(place=PLACES[place]), gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.blocks()
        program.watch()
        program.ctrl_c()
        program.ctrl_c()
        program.ends_while(program.ctrl_c)
        program.all_end()


def test_other_exceptions_wait_for_the_jobs(gate: Gate, tmp_path: Path) -> None:
    """As in the standard library."""
    code = """
try:
    with executor() as ex:
        f = ex.submit(hold, GATE)
        g = [ex.submit(abs, -n) for n in range(5)]
        raise ValueError("no")
except ValueError:
    tell("out", f.done(), [each.result(0) for each in g])
"""
    with started(code, gate.path, folder=tmp_path) as program:
        gate.heard()
        program.watch()
        program.blocks()
        gate.open()
        program.heard("out True [0, 1, 2, 3, 4]")
        assert program.ends() == 0


def test_one_who_catches_it_goes_on(gate: Gate, tmp_path: Path) -> None:
    """The jobs know nothing of Ctrl-C; without a block that it leaves, they go on."""
    code = """
ex = executor()
f = ex.submit(hold, GATE)
tell("ready")
try:
    f.result()
except KeyboardInterrupt:
    tell("caught")
tell("got", f.result() == ex.submit(os.getpid).result() or f.done())
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard()
        program.blocks()
        program.watch()
        program.ctrl_c()
        program.heard("caught")
        gate.open()
        program.heard("got True")
        assert program.ends() == 0


@pytest.mark.parametrize("engine", ["processes", "spawned"])
def test_processes_that_are_just_starting_do_not_hear_it(
    engine: str, gate: Gate, tmp_path: Path
) -> None:
    """A program that has a handler of its own loses no worker, however often it is interrupted."""
    code = """
signal.signal(signal.SIGINT, lambda *_: None)
ex = executor(1)
f = ex.submit(os.getpid)
while not f.done():
    os.killpg(0, signal.SIGINT)
print(f.exception(), ex.stats().workers_died)
ex.shutdown()
"""
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        assert program.ends() == 0
        program.all_end()
        assert program.said() == "None 0\n"


def test_a_workers_own_processes_do_not_hear_it(gate: Gate, tmp_path: Path) -> None:
    """None of root, keeper, worker and what a job starts is ended but by the program."""
    code = """
signal.signal(signal.SIGINT, lambda *_: tell("heard"))
ex = executor(1)
f = ex.submit(workload.child, GATE)
tell("ready")
while not f.done():
    signal.pause()
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard()
        before = program.watch()
        program.ctrl_c()
        program.heard("heard")
        assert program.watch() == before
        program.signal(signal.SIGKILL)
        program.ends()


def test_threads_are_waited_for(gate: Gate, tmp_path: Path) -> None:
    """What cannot be killed ends by itself; what waits is cancelled all the same."""
    place = "fs[-1].add_done_callback(lambda _: tell('cancelled')); fs[0].result()"
    code = IN_BLOCK.format(place=place)
    with started(code, gate.path, folder=tmp_path, engine="threads") as program:
        program.heard("ready")
        gate.heard(2)
        program.blocks()
        program.ctrl_c()
        program.heard("cancelled")  # or one that waits would begin once another is let go
        gate.open(2)
        assert program.ends() == -signal.SIGINT
        assert gate.all_heard() == []


def test_a_second_ctrl_c_does_not_wait_for_threads(gate: Gate, tmp_path: Path) -> None:
    """The first waits for what runs; further ones end that, and the interpreter's own waiting."""
    code = """
try:
    with executor(1) as ex:
        f = ex.submit(hold, GATE)
        tell("ready")
        f.result()
except KeyboardInterrupt:
    tell("out")
    raise
"""
    with started(code, gate.path, folder=tmp_path, engine="threads") as program:
        program.heard("ready")
        gate.heard()
        program.blocks()
        program.ctrl_c()
        program.heard_while("out", program.ctrl_c)
        program.ends_while(program.ctrl_c)


@pytest.mark.parametrize("place", ["result", "a blocked submit", "the end of the block"])
def test_ctrl_c_ends_a_program_over_spawned_workers(place: str, gate: Gate, tmp_path: Path) -> None:
    code = IN_BLOCK.format(place=PLACES[place])
    with started(code, gate.path, folder=tmp_path, engine="spawned") as program:
        program.heard("ready")
        gate.heard(2)
        program.blocks()
        program.watch()
        program.ctrl_c()
        assert program.ends() == -signal.SIGINT
        assert gate.all_heard() == []


def test_ctrl_z_stops_the_jobs_too(gate: Gate, tmp_path: Path) -> None:
    """Workers belong to the program's process group; those who watch over them do not."""
    code = """
ex = executor(1)
f = ex.submit(hold, GATE)
tell("ready")
tell("got", f.result() > 0)
ex.shutdown()
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        (worker,) = gate.pids()
        below = program.watch()
        assert os.getpgid(worker) == program.pid
        keepers = [pid for pid in below if os.getpgid(pid) != program.pid]
        assert len(keepers) == 2
        os.killpg(program.pid, signal.SIGTSTP)
        stopped = psutil.STATUS_STOPPED
        assert eventually(lambda: psutil.Process(worker).status() == stopped)
        os.killpg(program.pid, signal.SIGCONT)
        gate.open()
        program.heard("got True")
        assert program.ends() == 0
