"""What the package does where it takes this Linux for macOS or Windows: see elsewhere/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gates import PATIENCE

TESTS = Path(__file__).parent
PLATFORMS = ["darwin", "win32"]
KEEPERS = [
    *("ahead", "capture", "counter", "depot", "heritage", "holding", "keeper"),
    *("launch", "line", "link", "lives", "page", "preload", "processes"),
    *("renewal", "root", "roots", "scales"),
    *("stackdump", "switchboard", "tree", "turns", "watched"),
]

PROGRAM = """
import csv, logging, os, sys, threading, time
import loky.backend.utils
import ezpq_exec
from ezpq_exec import JobKilled, JobTimeout, PriorityExecutor, Queue, WorkerDied, as_completed
from ezpq_exec.engines.choice import choose
from gates import PATIENCE
from workload import add, die, fail, forever

assert type(choose("processes")).__name__ == "SpawnedEngine"
keepers = ["keeper", "link", "lives", "page", "processes", "renewal", "root", "roots", "stackdump", "tree"]
for name in keepers:
    try:
        __import__(f"ezpq_exec.engines.{name}")
    except ImportError as error:
        assert "Linux" in str(error), (name, error)
    else:
        raise AssertionError(f"{name} was imported")

with PriorityExecutor(2) as ex:
    assert list(ex.map(add, range(20), range(20))) == list(range(0, 40, 2))
    assert ex.submit(lambda: sys.argv[1:]).result() == sys.argv[1:]
    late = ex.options(timeout=0.5).submit(forever)
    assert isinstance(late.exception(PATIENCE), JobTimeout)
    assert isinstance(ex.submit(die, 3).exception(PATIENCE), WorkerDied)
    doomed = ex.submit(forever)
    while not doomed.running():
        time.sleep(0.01)
    assert doomed.kill() and isinstance(doomed.exception(PATIENCE), JobKilled)
    loky.backend.utils.kill_process_tree = lambda _: fail(PermissionError)  # whatever is in its way, the worker dies
    logging.disable()
    doomed = ex.submit(forever)
    while not doomed.running():
        time.sleep(0.01)
    assert doomed.kill() and isinstance(doomed.exception(PATIENCE), JobKilled)
    huge = ex.submit(bytes, 9_000_000)
    assert len(huge.result()) == 9_000_000
    print("peak", huge.info.max_rss is None, huge.info.cpu_time is None)
    assert len(list(as_completed([ex.submit(add, 1, n) for n in range(9)]))) == 9
with PriorityExecutor(2, engine="threads") as ex:
    assert list(ex.map(add, range(9), range(9))) == list(range(0, 18, 2))

def fill(log):
    with Queue(2, log_file=log) as queue:
        for n in range(10):
            queue.put(abs, n)
        queue.wait()

fillers = [threading.Thread(target=fill, args=("log.csv",)) for _ in range(3)]
for each in fillers:
    each.start()
for each in fillers:
    each.join()
with open("log.csv", newline="") as file:
    assert sorted(int(row["output"]) for row in csv.DictReader(file)) == sorted([*range(10)] * 3)
left = ezpq_exec.get_reusable_executor(1).submit(print, "done at exit", flush=True)
if (3, 12) <= sys.version_info < (3, 12, 2):  # no thread can be started at exit there
    left.result()
"""


def run(platform: str, folder: Path, *words: str) -> str:
    """Run the words as Python's arguments, fooled; what it printed. It fails if that fails."""
    paths = [TESTS / "elsewhere", TESTS.parent, TESTS]
    environ = {
        **os.environ,
        "PRETEND": platform,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    done = subprocess.run(
        [sys.executable, *words],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_program_does_well_there(platform: str, tmp_path: Path) -> None:
    """Jobs, kills, crashes, large data, logs, exit: nothing is asked for that is not there."""
    (tmp_path / "program.py").write_text(PROGRAM)
    text = run(platform, tmp_path, "program.py", "a word")
    windows = platform == "win32"
    assert text == f"peak {windows} False\ndone at exit\n"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_module_but_those_for_keepers_can_be_imported_there(
    platform: str, tmp_path: Path
) -> None:
    code = """
import importlib, pathlib, sys
import ezpq_exec
home = pathlib.Path(ezpq_exec.__file__).parent
for path in sorted(home.rglob("*.py")):
    name = ".".join(path.relative_to(home.parent).with_suffix("").parts)
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ImportError as error:
        if str(error) != "keepers need Linux":
            raise
        print(name.rpartition(".")[2])
"""
    refused = run(platform, tmp_path, "-c", code).split()
    assert refused == KEEPERS


def test_the_pretence_is_seen_by_the_package_alone(tmp_path: Path) -> None:
    code = """
import os, sys
from ezpq_exec.engines import choice
print(sys.platform, choice.sys.platform, hasattr(os, "fork"), hasattr(choice.os, "fork"))
"""
    assert run("win32", tmp_path, "-c", code) == "linux win32 True False\n"
