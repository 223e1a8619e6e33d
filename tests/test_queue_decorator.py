"""`@Queue()` on functions of modules, of the program itself and of notebooks, call after call."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import ezpq_exec as ezpq
import queuework
from gates import PATIENCE
from queuework import decorated, in_threads, own_items

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _no_workers_stay(request: pytest.FixtureRequest) -> Any:
    """The functions' workers stay by design; here they are ended, and fresh ones come."""
    yield
    for function in (decorated, in_threads, own_items):
        function.queue.dispose()
        function.queue = ezpq.Queue(2, job_runner=function.queue.settings.job_runner)


def outputs(jobs: list[dict[str, Any]]) -> list[Any]:
    return [job["output"] for job in jobs]


def run(program: str, *args: str) -> str:
    """What a program prints that is started from a file of its own."""
    return _run([sys.executable, *args], program)


def _run(command: list[str], program: str) -> str:
    done = subprocess.run(
        command,
        input=program,
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_a_function_of_a_module_runs_in_workers() -> None:
    """It is found by name there, though the name means the decorated one; and it makes no copies."""
    jobs = decorated(range(3), 5, high=7)
    assert outputs(jobs) == [[0, 5, 7], [1, 5, 7], [2, 5, 7]]
    assert [job["id"] for job in jobs] == [1, 2, 3]
    assert {job["function"] for job in jobs} == {"decorated"}
    assert queuework.CALLS == []


@pytest.mark.parametrize("name", ["items", "iterable"])
def test_the_items_may_be_named_as_in_0_1_and_0_2(name: str) -> None:
    assert outputs(decorated(**{name: [1, 2]}, low=3)) == [[1, 3, 1], [2, 3, 1]]


def test_a_parameter_of_that_name_is_the_functions_own() -> None:
    """Where the items are the first argument, `items` is passed on."""
    assert outputs(own_items([1, 2], items=[9])) == [[1, 9], [2, 9]]


def test_without_items_there_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"decorated\(\) needs the items"):
        decorated(low=3)
    with pytest.raises(TypeError, match="5"):
        decorated(5)


def test_it_can_be_called_again_with_the_same_workers() -> None:
    """The workers stay: no call after the first one starts any. Ids begin at 1 each time."""
    assert outputs(decorated(range(2))) == [[0, 0, 1], [1, 0, 1]]
    started = decorated.queue.executor().stats().workers_started
    for _ in range(5):
        assert [job["id"] for job in decorated(range(4))] == [1, 2, 3, 4]
    assert decorated.queue.executor().stats().workers_started == started == 2


def test_calls_from_many_threads_keep_their_own_jobs() -> None:
    found: dict[int, Any] = {}

    def call(number: int) -> None:
        found[number] = outputs(decorated([number] * 20, number))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == {number: [[number, number, 1]] * 20 for number in range(4)}


def test_threads() -> None:
    assert outputs(in_threads([1, 2])) == [(1, os.getpid()), (2, os.getpid())]


def test_it_looks_like_the_function() -> None:
    assert decorated.__name__ == "decorated"
    assert decorated.__doc__ == "A decorated function of a module."
    assert list(inspect.signature(decorated).parameters) == ["x", "low", "high"]
    assert pickle.loads(pickle.dumps(decorated)) is decorated


def test_a_local_function_and_a_lambda_can_be_decorated() -> None:
    """What has no name to import travels by value."""
    offset = 10
    queue = ezpq.Queue(1)
    plus = queue(lambda x: x + offset)
    assert outputs(plus([1, 2])) == [11, 12]
    queue.dispose()
    with pytest.raises(RuntimeError, match="disposed of"):
        plus([1])


def test_the_queues_other_settings_hold(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Callback, log, progress bar, auto_start=False and auto_stop: for each call."""
    pytest.importorskip("tqdm")
    log = tmp_path / "log.csv"
    queue = ezpq.Queue(
        *(2, 10, Thread),
        auto_start=False,
        auto_stop=True,
        callback=lambda job: job["id"],
        log_file=log,
        show_progress=True,
        qid="d",
    )
    twice = queue(lambda x: 2 * x)
    for _ in range(2):
        jobs = twice(range(3))
        assert [(job["callback"], job["qid"]) for job in jobs] == [(1, "d"), (2, "d"), (3, "d")]
        assert "3/3" in capfd.readouterr().err
    assert len(log.read_text().splitlines()) == 7
    with pytest.raises(ezpq.ExecutorFull):
        twice(range(11))
    assert len(twice(range(10))) == 10
    queue.dispose()


def test_brackets_that_are_missing_are_missed() -> None:
    with pytest.raises(TypeError, match=r"@Queue\(\)"):

        @ezpq.Queue
        def function(x: int) -> int:
            return x


PROGRAM = """
import ezpq_exec as ezpq
FACTOR = 3

@ezpq.Queue(2)
def times(x, factor=None):
    return x * (FACTOR if factor is None else factor)

@ezpq.Queue(2)
def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)

for _ in range(3):
    print([job["output"] for job in times(range(3))], [job["output"] for job in times(items=[1], factor=9)])
print([job["output"] for job in factorial([5])])
"""
PRINTED = "[0, 3, 6] [9]\n" * 3 + "[120]\n"


def test_a_function_of_the_program_itself(tmp_path: Path) -> None:
    """In `__main__`, without a guard; a name in the function means the plain function."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    assert run("", str(script)) == PRINTED
    assert run(PROGRAM, "-") == PRINTED


def test_a_function_of_a_notebook() -> None:
    """Cells, run by IPython as a notebook's kernel does it."""
    pytest.importorskip("IPython")
    cells = [cell for cell in PROGRAM.split("\n\n") if cell.strip()]
    cells[-1:] = cells[-1].split("\nprint", maxsplit=1)
    cells[-1] = "print" + cells[-1]
    program = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in {cells!r}:
    shell.run_cell(cell).raise_error()
"""
    assert run(program, "-") == PRINTED
