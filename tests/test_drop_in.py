"""It stands wherever the stdlib's executors do, and does what users of those count on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import itertools
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Executor, Future
from pathlib import Path
from typing import Any

import pytest

from conftest import Maker, eventually
from ezpq_exec import PriorityExecutor
from gates import PATIENCE, Gate, hold
from workload import (
    add,
    echo,
    fail,
    initialize,
    initialized_with,
    keywords,
    sleep_for,
)

# submit and map ---------------------------------------------------------------------------------


def test_it_is_an_executor(make_executor: Maker) -> None:
    assert isinstance(make_executor(), Executor)
    assert isinstance(make_executor().options(priority=1), Executor)


def test_every_keyword_belongs_to_the_function(make_executor: Maker) -> None:
    executor = make_executor()
    words = {
        "timeout": 1,
        "priority": 2,
        "self": 3,
        "fn": 4,
        "name": 5,
        "executor": 6,
        "options": 7,
    }
    submit: Callable[..., Future[Any]] = executor.submit
    assert submit(keywords, 0, **words).result(PATIENCE) == ((0,), words)
    submit = executor.options(priority=1).submit
    assert submit(keywords, 0, **words).result(PATIENCE) == ((0,), words)


def test_map_gives_results_in_the_order_of_the_items(make_executor: Maker) -> None:
    executor = make_executor()
    assert list(executor.map(add, range(50), range(1, 60))) == [2 * n + 1 for n in range(50)]
    assert list(executor.map(sleep_for, [0.05, 0.0, 0.02])) == [0.05, 0.0, 0.02]
    assert list(executor.map(echo, [])) == []


@pytest.mark.parametrize("chunksize", [1, 3, 50, 1000])
def test_map_takes_items_in_chunks(make_executor: Maker, chunksize: int) -> None:
    results = make_executor().map(add, range(50), itertools.repeat(1), chunksize=chunksize)
    assert list(results) == list(range(1, 51))


@pytest.mark.parametrize("chunksize", [1, 2])
def test_map_hands_over_items_that_hold_one_object_twice(
    make_executor: Maker, chunksize: int
) -> None:
    inner = ["one object"]
    items = [[inner, "text", inner], {"a": inner, "b": inner}]
    for function in (echo, lambda value: value):
        assert list(make_executor(1).map(function, items, chunksize=chunksize)) == items


def test_map_raises_what_an_item_raised_when_its_turn_comes(make_executor: Maker) -> None:
    for chunksize in (1, 2):
        results = make_executor().map(divmod, [1, 1, 1, 1], [1, 2, 0, 5], chunksize=chunksize)
        seen = []
        with pytest.raises(ZeroDivisionError):
            for result in results:
                seen.append(result)
        assert seen[: len(seen)] == [(1, 0), (0, 1)][: len(seen)]


def test_map_raises_a_timeout_error(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    results = executor.map(hold, [gate.path] * 3, timeout=0.3)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    gate.open(3)


def test_map_starts_before_it_is_iterated(make_executor: Maker, gate: Gate) -> None:
    results = make_executor(2).map(hold, [gate.path] * 2)
    gate.heard(2)
    gate.open(2)
    assert len(list(results)) == 2


def test_map_reads_an_endless_iterator_only_as_far_as_it_must(make_executor: Maker) -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for n in itertools.count():
            read.append(n)
            yield n

    results = make_executor().map(add, numbers(), itertools.repeat(1), buffersize=4)
    assert len(read) == 4
    assert list(itertools.islice(results, 10)) == list(range(1, 11))
    assert len(read) == 14
    close: Callable[[], None] = results.close  # type: ignore[attr-defined]
    close()


def test_map_that_is_closed_cancels_the_rest(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    results = executor.map(hold, [gate.path] * 20)
    gate.heard()
    gate.open()
    next(results)
    gate.heard()
    close: Callable[[], None] = results.close  # type: ignore[attr-defined]
    close()
    stats = executor.stats()
    assert stats.waiting == 0
    gate.open()
    executor.shutdown()
    assert gate.all_heard() == []


def is_dead(reference: weakref.ref[Any]) -> bool:
    return reference() is None


def test_map_does_not_keep_results(make_executor: Maker) -> None:
    class Result:
        pass

    for result in make_executor().map(lambda _: Result(), range(10)):
        reference = weakref.ref(result)
        del result
        gc.collect()
        assert eventually(functools.partial(is_dead, reference))  # the last hand lets go of it


# shutdown, initializer, workers -----------------------------------------------------------------


def test_leaving_the_with_block_waits_for_all(make_executor: Maker) -> None:
    with make_executor() as executor:
        futures = [executor.submit(sleep_for, 0.05) for _ in range(5)]
    assert all(future.done() for future in futures)


def test_after_shutdown_nothing_is_taken(make_executor: Maker) -> None:
    executor = make_executor()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(add, 1, 1)
    with pytest.raises(RuntimeError):
        executor.map(add, [1], [1])
    with pytest.raises(RuntimeError):
        executor.options(priority=1).submit(add, 1, 1)


@pytest.mark.lacks("borrows")
def test_each_worker_is_initialized_with_the_initargs(make_executor: Maker) -> None:
    executor = make_executor(2, initializer=initialize, initargs=({"a": 1},))
    assert executor.submit(initialized_with).result(PATIENCE) == {"a": 1}


@pytest.mark.needs("recycles")
@pytest.mark.parametrize("most", [1, 3])
def test_no_worker_serves_more_jobs_than_it_may(make_executor: Maker, most: int) -> None:
    executor = make_executor(2, max_tasks_per_child=most)
    pids = Counter(f.result(PATIENCE) for f in [executor.submit(os.getpid) for _ in range(40)])
    assert max(pids.values()) <= most
    assert sum(pids.values()) == 40


@pytest.mark.needs("recycles")
def test_a_worker_that_is_replaced_is_replaced_with_its_initializer(make_executor: Maker) -> None:
    executor = make_executor(1, max_tasks_per_child=1, initializer=initialize, initargs=(8,))
    assert [executor.submit(initialized_with).result(PATIENCE) for _ in range(5)] == [8] * 5


def test_the_number_of_workers_is_known_by_the_name_that_dask_reads(make_executor: Maker) -> None:
    executor = make_executor(3)
    assert executor._max_workers == 3
    assert executor.options(priority=1)._max_workers == 3


# concurrent.futures, asyncio, Dask --------------------------------------------------------------


def test_the_stdlibs_wait_takes_our_futures(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    held: Future[Any] = executor.submit(hold, gate.path)
    quick: Future[Any] = executor.submit(add, 1, 1)
    done, pending = concurrent.futures.wait([held, quick], PATIENCE, FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {held})
    failing: Future[Any] = executor.submit(fail, ValueError)
    done, pending = concurrent.futures.wait([held, failing], PATIENCE, FIRST_EXCEPTION)
    assert (done, pending) == ({failing}, {held})
    gate.open()
    done, pending = concurrent.futures.wait([held, quick, failing], PATIENCE)
    assert pending == set()


def test_the_stdlibs_as_completed_takes_our_futures(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    held: Future[int] = executor.submit(hold, gate.path)
    quick: Future[int] = executor.submit(add, 1, 1)
    order = concurrent.futures.as_completed([held, quick], PATIENCE)
    assert next(order) is quick
    gate.open()
    assert list(order) == [held]


def test_asyncio_awaits_our_futures(make_executor: Maker) -> None:
    executor = make_executor()

    async def main() -> tuple[int, int, list[int]]:
        wrapped = await asyncio.wrap_future(executor.submit(add, 1, 1))
        loop = asyncio.get_running_loop()
        run = await loop.run_in_executor(executor, add, 2, 2)
        terms = executor.options(priority=1, timeout=PATIENCE)
        many = await asyncio.gather(*(loop.run_in_executor(terms, add, n, 1) for n in range(20)))
        with pytest.raises(KeyError):
            await loop.run_in_executor(executor, fail, KeyError)
        return wrapped, run, many

    assert asyncio.run(main()) == (2, 4, list(range(1, 21)))


def test_a_cancelled_asyncio_future_cancels_its_job(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)

    async def main() -> None:
        executor.submit(hold, gate.path)
        gate.heard()
        waiting = executor.submit(add, 1, 1)
        task = asyncio.wrap_future(waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)  # asyncio passes it on in its next turn
        assert waiting.cancelled()

    asyncio.run(main())


def test_dask_computes_on_it(make_executor: Maker) -> None:
    dask = pytest.importorskip("dask")
    executor = make_executor(2)
    before = executor.submit(add, 0, 0).info.id
    total = dask.delayed(sum)([dask.delayed(add)(n, 1) for n in range(10)])
    with dask.config.set(pool=executor):
        assert total.compute(scheduler="threads" if _is_threads(executor) else executor) == 55
    with dask.config.set(scheduler=executor):
        assert total.compute() == 55
    assert executor.submit(add, 0, 0).info.id >= before + 10


def _is_threads(executor: PriorityExecutor) -> bool:
    return not executor.capabilities.isolates


def test_dasks_default_scheduler_takes_it_as_its_pool(make_executor: Maker) -> None:
    dask = pytest.importorskip("dask")
    executor = make_executor(2)
    before = executor.submit(add, 0, 0).info.id
    total = dask.delayed(sum)([dask.delayed(add)(n, 1) for n in range(10)])
    with dask.config.set(pool=executor):
        assert total.compute() == 55
    assert executor.submit(add, 0, 0).info.id > before + 1


# References -------------------------------------------------------------------------------------


class Thing:
    """Something that a weak reference can be made to."""

    def method(self) -> None:
        """Nothing."""


def test_a_job_that_is_done_keeps_neither_its_arguments_nor_its_result(
    make_executor: Maker,
) -> None:
    executor = make_executor(1)
    thing = Thing()
    reference = weakref.ref(thing)
    executor.submit(lambda thing: thing.method(), thing)
    del thing
    executor.submit(add, 1, 1).result(PATIENCE)
    assert eventually(lambda: reference() is None)


def test_a_future_that_is_dropped_is_freed_with_its_result(make_executor: Maker) -> None:
    executor = make_executor(1)
    future = executor.submit(lambda: [1, 2, 3])
    future.result(PATIENCE)
    reference = weakref.ref(future)
    executor.submit(add, 1, 1).result(PATIENCE)
    gc.disable()  # by counting references alone
    try:
        del future
        assert eventually(lambda: reference() is None)
    finally:
        gc.enable()


def test_an_executor_that_is_dropped_finishes_its_jobs_and_goes(
    new_engine: Callable[[], Any],
) -> None:
    executor = PriorityExecutor(1, engine=new_engine())
    reference = weakref.ref(executor)
    future = executor.submit(sleep_for, 0.1)
    del executor
    gc.collect()
    assert reference() is None
    assert future.result(PATIENCE) == 0.1


# Programs ---------------------------------------------------------------------------------------


def run_program(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run Python with these arguments; its output. It must end well and say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


PROGRAM = """
    import dataclasses, enum, sys
    from ezpq_exec import PriorityExecutor

    FACTOR = 3

    class Color(enum.Enum):
        RED = 1

    @dataclasses.dataclass
    class Point:
        x: int
        def scaled(self):
            return Point(self.x * FACTOR)

    class Trouble(Exception):
        pass

    def scale(point):
        return helper(point)

    def helper(point):
        assert isinstance(point, Point)
        return point.scaled()

    def trouble():
        raise Trouble("mine")

    def main():
        with PriorityExecutor(2, engine=ENGINE) as ex:
            print(ex.submit(scale, Point(2)).result())
            print(list(ex.map(scale, [Point(n) for n in range(3)])))
            print(isinstance(ex.submit(scale, Point(2)).result(), Point))
            print(ex.submit(lambda: FACTOR).result(), ex.submit(lambda: Color.RED).result())
            error = ex.submit(trouble).exception()
            print(type(error).__name__, isinstance(error, Trouble))
            print(ex.submit(Point(5).scaled).result())

    if __name__ == "__main__":
        main()
"""
ANSWER = """\
Point(x=6)
[Point(x=0), Point(x=3), Point(x=6)]
True
3 Color.RED
Trouble True
Point(x=15)
"""


@pytest.fixture(params=["processes", "threads"])
def named_engine(request: pytest.FixtureRequest) -> str:
    """The engines that a program can name."""
    name: str = request.param
    return name


def source(text: str, engine: str) -> str:
    """A program over that engine."""
    return textwrap.dedent(text).replace("ENGINE", repr(engine))


def test_what_a_script_defines_travels(tmp_path: Path, named_engine: str) -> None:
    (tmp_path / "program.py").write_text(source(PROGRAM, named_engine))
    assert run_program("program.py", cwd=tmp_path) == ANSWER


def test_what_a_module_that_is_run_defines_travels(tmp_path: Path, named_engine: str) -> None:
    (tmp_path / "program.py").write_text(source(PROGRAM, named_engine))
    assert run_program("-m", "program", cwd=tmp_path) == ANSWER


def test_what_a_package_that_is_run_defines_travels(tmp_path: Path, named_engine: str) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("print('imported')\n")
    (package / "__main__.py").write_text(source(PROGRAM, named_engine))
    assert run_program("-m", "package", cwd=tmp_path) == "imported\n" + ANSWER


def test_what_a_command_line_defines_travels(tmp_path: Path, named_engine: str) -> None:
    assert run_program("-c", source(PROGRAM, named_engine), cwd=tmp_path) == ANSWER


def test_what_comes_from_standard_input_travels(tmp_path: Path, named_engine: str) -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=source(PROGRAM, named_engine),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == (ANSWER, "")


def test_what_an_ipython_session_defines_travels(tmp_path: Path, named_engine: str) -> None:
    pytest.importorskip("IPython")
    session = f"""
        import warnings
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.run_cell({source(PROGRAM, named_engine)!r})
        shell.run_cell("FACTOR = 5")
        shell.run_cell("main()")
        shell.history_manager.end_session()
    """
    (tmp_path / "session.py").write_text(textwrap.dedent(session))
    out = run_program("session.py", cwd=tmp_path, IPYTHONDIR=str(tmp_path / "profile"))
    assert out.startswith(ANSWER)
    assert "5 Color.RED" in out
    assert "Error" not in out


def test_what_ipythons_command_line_defines_travels(tmp_path: Path, named_engine: str) -> None:
    pytest.importorskip("IPython")
    out = run_program(
        *("-m", "IPython", "--no-banner", "--colors=NoColor", "-c"),
        source(PROGRAM, named_engine),
        cwd=tmp_path,
        IPYTHONDIR=str(tmp_path / "profile"),
    )
    assert out == ANSWER


def test_taking_in_a_result_leaves_the_programs_own_classes_alone(
    tmp_path: Path, named_engine: str
) -> None:
    program = """
        from ezpq_exec import PriorityExecutor
        FACTOR = 3
        class Point:
            def scaled(self):
                return FACTOR
        if __name__ == "__main__":
            scaled = Point.scaled
            with PriorityExecutor(1, engine=ENGINE) as ex:
                point = ex.submit(Point).result()
            FACTOR = 5
            print(Point.scaled is scaled, Point().scaled(), point.scaled())
    """
    (tmp_path / "program.py").write_text(source(program, named_engine))
    assert run_program("program.py", cwd=tmp_path) == "True 5 5\n"


def test_what_was_submitted_is_done_before_the_interpreter_exits(
    tmp_path: Path, named_engine: str
) -> None:
    program = """
        import os, time
        from ezpq_exec import PriorityExecutor
        def say(what, n):  # a line at once, since two processes write there
            os.write(1, f"{what} {n}{chr(10)}".encode())
        def job(n):
            time.sleep(0.05)
            say("did", n)
        ex = PriorityExecutor(1, engine=ENGINE)
        for n in range(4):
            ex.submit(job, n).add_done_callback(lambda f, n=n: say("called", n))
    """
    out = run_program("-c", source(program, named_engine), cwd=tmp_path)
    assert sorted(out.split("\n")) == sorted(
        ["", *(f"{what} {n}" for what in ("did", "called") for n in range(4))]
    )


@pytest.mark.parametrize("used", [True, False])
def test_at_exit_nothing_more_is_taken(tmp_path: Path, named_engine: str, used: bool) -> None:
    program = f"""
        import atexit
        from ezpq_exec import PriorityExecutor
        ex = PriorityExecutor(1, engine=ENGINE)
        if {used}:
            ex.submit(abs, -1).result()
        @atexit.register
        def late():
            try:
                ex.submit(abs, -1)
            except RuntimeError as error:
                print(error)
    """
    out = run_program("-c", source(program, named_engine), cwd=tmp_path)
    assert "cannot schedule new futures after" in out


@pytest.mark.parametrize(
    "ending", ["", "ex.shutdown(wait=False)", "del ex", "ex.pause()", "raise SystemExit"]
)
def test_an_idle_executor_does_not_hold_up_the_exit(
    tmp_path: Path, named_engine: str, ending: str
) -> None:
    program = f"""
        from ezpq_exec import PriorityExecutor
        ex = PriorityExecutor(2, engine=ENGINE)
        print(ex.submit(abs, -1).result())
        {ending}
    """
    assert run_program("-c", source(program, named_engine), cwd=tmp_path) == "1\n"


def test_no_process_outlives_a_program_that_is_killed(tmp_path: Path) -> None:
    import psutil

    program = """
        import os, sys, time
        from ezpq_exec import PriorityExecutor
        ex = PriorityExecutor(2)
        fs = [ex.submit(time.sleep, 3600) for _ in range(2)]
        while not all(f.running() for f in fs):
            time.sleep(0.01)
        print("up", flush=True)
        time.sleep(3600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        below = psutil.Process(process.pid).children(recursive=True)
        workers = [p for p in below if "resource_tracker" not in " ".join(p.cmdline())]
        assert len(workers) >= 3
        process.kill()
    assert eventually(lambda: not any(p.is_running() for p in below), within=PATIENCE)


def test_threads_may_submit_at_the_same_time(make_executor: Maker) -> None:
    executor = make_executor(2)
    sums: list[int] = []

    def submit_many() -> None:
        futures = [executor.submit(add, n, 1) for n in range(200)]
        sums.append(sum(future.result(PATIENCE) for future in futures))

    threads = [threading.Thread(target=submit_many) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sums == [sum(range(1, 201))] * 5
