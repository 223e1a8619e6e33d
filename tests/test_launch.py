"""Processes that are launched: clean, lean, and with what they take over from the program."""

from __future__ import annotations

import errno
import gc
import importlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

from gates import PATIENCE

if sys.platform != "linux":
    pytest.skip("keepers are Linux's", allow_module_level=True)

from ezpq_exec import PriorityExecutor
from ezpq_exec.engines import heritage, preload, roots
from ezpq_exec.engines.heritage import trackers
from ezpq_exec.engines.launch import launch
from launchwork import die, end, tell, use_an_executor
from workload import add

TESTS = Path(__file__).parent


def told(*args: Any) -> tuple[tuple[Any, ...], list[str], list[str]]:
    """What a launched process says that it was given, its path, and its modules."""
    heard, tells = os.pipe()
    process = launch("test", tell, (tells, *args), [tells])
    os.close(tells)
    with open(heard, "rb") as pipe:
        data = pipe.read()
    process.join()
    assert process.exitcode == 0
    answer: tuple[tuple[Any, ...], list[str], list[str]] = pickle.loads(data)
    return answer


def said_by(program: str, **environ: str) -> list[str]:
    """What that program prints; neither it nor what it starts is to have anything to complain of."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONWARNINGS": "default::ResourceWarning", **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_launched_process_calls_the_function_with_its_arguments() -> None:
    args, _, _ = told(1, "two", b"three", None, ["four"])
    assert args == (1, "two", b"three", None, ["four"])


def test_it_finds_modules_where_the_program_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the program's start is named; what is no text finds nothing, and stays behind."""
    odd: Any = Path("odd")

    class Text(str):
        __slots__ = ()

    monkeypatch.setattr(sys, "path", ["", Text("subclass"), odd, *sys.path])
    _, path, _ = told()
    started = vars(multiprocessing.process)["ORIGINAL_DIR"]
    assert path == [started, "subclass", *sys.path[3:]]


def test_it_imports_no_more_than_it_is_told_to() -> None:
    """Least of all loky, of which each fork would pay for every page."""
    _, _, modules = told()
    assert not {"loky", "multiprocessing", "concurrent.futures", "socket"} & set(modules)


def test_workers_are_lean() -> None:
    with PriorityExecutor(1) as executor:
        found = executor.submit(eval, "[*__import__('sys').modules]").result(PATIENCE)
    assert not {"loky", "concurrent.futures", "asyncio"} & set(found)


def test_few_frames_of_ours_are_below_a_job() -> None:
    """Each would be written, and read, where a job that overruns has its stack dumped."""
    with PriorityExecutor(1) as executor:
        names = "[each.name for each in __import__('traceback').extract_stack()]"
        found = executor.submit(eval, names).result(PATIENCE)
    assert (found[0], found[-1]) == ("<module>", "<module>")  # the process's, and what is evaluated
    assert len(found) <= 5


HAS_IT = "'cloudpickle' in __import__('sys').modules"


@pytest.mark.parametrize(
    "last", ["submit(abs, 1)", "submit(function)", "submit(eval, 'lambda: 1')"]
)
def test_what_brings_functions_of_main_is_loaded_for_all_once_one_went_or_came(last: str) -> None:
    """Not before, since each worker would be larger; and not by each worker, since it takes milliseconds."""
    lines = said_by(f"""
from ezpq_exec import PriorityExecutor

def function(): pass

for _ in range(2):
    with PriorityExecutor(1) as executor:
        print(executor.submit(eval, {HAS_IT!r}).result())
with PriorityExecutor(1) as executor:
    executor.{last}.result()
with PriorityExecutor(1) as executor:
    print(executor.submit(eval, {HAS_IT!r}).result())
""")
    assert lines == ["False", "False", str("abs" not in last)]


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ("max_tasks_per_child=1", "executor.submit(function).result()"),
        ("", "print(repr(executor.options(timeout=0.1).submit(time.sleep, 60).exception())[:10])"),
    ],
)
def test_a_keeper_loads_it_for_the_workers_to_come(options: str, end: str) -> None:
    """Else a job with a short timeout might never have enough of it, in whatever worker it ran."""
    lines = said_by(f"""
import time
from ezpq_exec import PriorityExecutor

def function(): pass

with PriorityExecutor(1, {options}) as executor:
    print(executor.submit(eval, {HAS_IT!r}).result())
    executor.submit(function).result()
    {end}
    print(executor.submit(eval, {HAS_IT!r}).result())
""")
    assert (lines[0], lines[-1]) == ("False", "True")


def test_a_worker_that_leaves_has_closed_what_is_its_own() -> None:
    """Before what its job has left is awaited; and nobody is warned of it."""
    lines = said_by("""
from ezpq_exec import PriorityExecutor

with PriorityExecutor(1) as executor:
    print(executor.submit(abs, -1).result())
""")
    assert lines == ["1"]


@pytest.mark.parametrize("failure", [ImportError, OSError, MemoryError])
def test_where_it_cannot_be_loaded_nothing_ends(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root has others to care for; whoever needs it in a worker will be told."""

    def fail(name: str) -> None:
        raise failure(name)

    monkeypatch.delitem(sys.modules, "cloudpickle", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", fail)
        preload.expect_by_value()
    assert "cloudpickle" not in sys.modules
    preload.expect_by_value()
    assert "cloudpickle" in sys.modules
    gc.unfreeze()


@pytest.mark.parametrize(("function", "args", "code"), [(end, (3,), 3), (die, (), -9)])
def test_its_exit_code_is_known(function: Any, args: tuple[int, ...], code: int) -> None:
    """More than once."""
    process = launch("test", function, args, [])
    process.join()
    process.join()
    assert (process.exitcode, process.exitcode) == (code, code)


def test_while_it_runs_it_has_no_exit_code() -> None:
    heard, tells = os.pipe()
    process = launch("test", os.read, (heard, 1), [heard])
    assert process.exitcode is None
    os.write(tells, b".")
    process.join()
    assert process.exitcode == 0
    os.close(heard)
    os.close(tells)


def test_where_the_program_has_collected_it_nobody_waits_for_it() -> None:
    """As programs do that wait for any child of theirs."""
    process = launch("test", end, (3,), [])
    os.waitpid(process.pid, 0)
    process.join()
    assert process.exitcode is None


def test_one_that_ends_at_once_does_not_end_the_program_by_sigpipe() -> None:
    """Programs for the command line often have that signal end them."""
    code = (
        "import signal, sys; signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "from ezpq_exec.engines.launch import launch\n"
        "sys.executable = '/nowhere/python'\n"
        "process = launch('test', abs, (1,), []); process.join(); print(process.exitcode)"
    )
    assert said_by(code) == ["255"]


def test_what_cannot_be_handed_over_starts_no_process() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ValueError, match="unmarshallable"):
        launch("test", end, (object(),), [])
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("is_quick", [False, True])
def test_without_an_interpreter_the_executor_is_broken_and_says_so(
    monkeypatch: pytest.MonkeyPatch, is_quick: bool
) -> None:
    """Even if it ends before it can be asked for a worker. The next one, with an interpreter, is well."""
    roots.close_shared()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    request = roots.Root.request_keeper

    def request_late(root: roots.Root, name: str, control: int, tombstone: int, page: int) -> None:
        root._starter.join()
        assert root._process is not None
        root._process.join()
        request(root, name, control, tombstone, page)

    if is_quick:
        monkeypatch.setattr(roots.Root, "request_keeper", request_late)
    with PriorityExecutor(1) as executor:
        error = executor.submit(add, 1, 1).exception(PATIENCE)
    assert isinstance(error, BrokenExecutor)
    assert "exit code 255" in f"{error} {error.__cause__}"
    monkeypatch.undo()
    with PriorityExecutor(1) as executor:
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_a_root_that_is_given_up_is_no_zombie_for_long() -> None:
    roots.close_shared()
    first = roots.shared()
    first._starter.join()
    assert first._process is not None
    os.kill(first._process.pid, signal.SIGKILL)
    assert roots.shared(instead_of=first) is not first
    roots.close_shared()
    with pytest.raises(ChildProcessError):
        os.waitpid(first._process.pid, os.WNOHANG)
    with PriorityExecutor(1) as executor:  # what all tests have for good
        executor.submit(add, 1, 1).result(PATIENCE)


def test_for_want_of_descriptors_no_root_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With it would go what all other executors run."""
    with PriorityExecutor(1) as beside:
        job = beside.submit(os.getpid)
        pid, root = job.result(PATIENCE), roots.shared()

        def refuse() -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(roots, "_streams", refuse)
        with PriorityExecutor(1) as executor:
            assert isinstance(executor.submit(add, 1, 1).exception(PATIENCE), BrokenExecutor)
        monkeypatch.undo()
        assert roots.shared() is root
        assert beside.submit(os.getpid).result(PATIENCE) == pid


def test_a_daemon_of_multiprocessing_may_have_an_executor() -> None:
    """Though it may have no children of multiprocessing's own."""
    context = multiprocessing.get_context("spawn")
    answer, answers = context.Pipe(duplex=False)
    process = context.Process(target=use_an_executor, args=(answers,), daemon=True)
    process.start()
    assert answer.poll(PATIENCE)
    assert answer.recv() == 2
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()


def test_modules_in_the_programs_folder_do_not_get_in_the_way(tmp_path: Path) -> None:
    """That a file there is called like a module of Python's concerns nobody who is not to find it."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    for name in ("socket", "struct", "pickle", "threading", "ezpq_exec"):
        (here / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    program = elsewhere / "program.py"
    program.write_text(
        "from ezpq_exec import PriorityExecutor\n"
        "with PriorityExecutor(1) as executor:\n    print(executor.submit(abs, -2).result())\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "2\n"  # the trackers, which are not ours, do look there, and say so


# What is taken over -----------------------------------------------------------------------------


def seen(expression: str) -> Any:
    """The value of an expression in a worker."""
    with PriorityExecutor(1) as executor:
        return executor.submit(eval, expression).result(PATIENCE)


def test_a_job_knows_the_program_for_its_parent() -> None:
    """As in every pool of processes: libraries ask this to know whether they are in a worker."""
    parent = "__import__('multiprocessing').parent_process()"
    mine = multiprocessing.current_process()
    assert seen(f"({parent}.name, {parent}.pid)") == (mine.name, os.getpid())


def test_a_job_has_the_programs_key() -> None:
    """So it can talk to the program's managers and listeners."""
    key = seen("bytes(__import__('multiprocessing').current_process().authkey)")
    assert key == bytes(multiprocessing.current_process().authkey)


def test_a_job_has_no_start_method_forced_upon_it() -> None:
    assert seen("__import__('multiprocessing').get_start_method(allow_none=True)") is None


def test_a_job_reads_nothing_from_the_programs_stdin() -> None:
    assert seen("__import__('sys').stdin.read()") == ""


@pytest.mark.parametrize("at", [0, 1], ids=["multiprocessing", "loky"])
def test_a_job_shares_the_programs_tracker(at: int) -> None:
    """Else shared memory of the program's that a job has looked at would go when the job's worker does."""
    tracker = os.fstat(trackers()[at])
    name = ("multiprocessing.resource_tracker", "loky.backend.resource_tracker")[at]
    getfd = f"__import__({name!r}, fromlist=['getfd']).getfd()"
    inode, found = seen(f"(__import__('os').fstat({getfd}).st_ino, __import__({name!r}).__name__)")
    assert inode == tracker.st_ino
    assert found == name.partition(".")[0]


def test_a_tracker_that_is_imported_already_is_handed_over(tmp_path: Path) -> None:
    """A `sitecustomize` may do that, in each process."""
    (tmp_path / "sitecustomize.py").write_text("import multiprocessing.resource_tracker")
    getfd = "__import__('multiprocessing.resource_tracker', fromlist=['getfd']).getfd()"
    code = f"""
import os
from multiprocessing import resource_tracker
from ezpq_exec import PriorityExecutor
with PriorityExecutor(1) as executor:
    inode = executor.submit(eval, "__import__('os').fstat({getfd}).st_ino").result()
    print(inode == os.fstat(resource_tracker.getfd()).st_ino)
"""
    path = os.pathsep.join([str(tmp_path), str(TESTS.parent)])
    assert said_by(code, PYTHONPATH=path) == ["True"]


def test_a_tracker_in_a_zip_file_is_handed_over_and_its_neighbours_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All modules of such a file have one loader."""
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as file:
        file.writestr("tracker.py", "import neighbour\nclass _resource_tracker: _fd = None")
        file.writestr("neighbour.py", "here = True")
        file.writestr("later.py", "here = True")
    monkeypatch.syspath_prepend(str(tmp_path / "some.zip"))
    monkeypatch.setattr(sys, "meta_path", [heritage._Trackers({"tracker": 7}), *sys.meta_path])
    assert importlib.import_module("tracker")._resource_tracker._fd == 7
    assert importlib.import_module("later").here
    for name in ("tracker", "neighbour", "later"):
        monkeypatch.delitem(sys.modules, name)


def test_a_tracker_that_did_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import resource_tracker

    monkeypatch.setattr(resource_tracker, "getfd", lambda: None)
    with pytest.raises(OSError, match="tracker of shared memory has not started"):
        trackers()
