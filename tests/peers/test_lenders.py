"""The released executors that others have made, each as our engine: `lent.py` has the promises."""

from __future__ import annotations

import concurrent.futures
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from lent import LENDERS, PROMISES

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
LIMIT = 110.0  # seconds for one lender
NEEDS = {"distributed": "distributed", "distributed, pure": "distributed"}
NEEDS |= {name: name for name in ("loky", "mpi4py", "executorlib")}
LISTEN_EVERYWHERE = {"mpi4py", "executorlib"}
ALONE = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@functools.cache
def _has_namespaces() -> bool:
    """Whether programs can have a network of their own here."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0


def _why_not(name: str) -> str | None:
    """Why that lender cannot be tried here, if it cannot."""
    package = NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        return f"{package} is not installed; the extra peers brings it"
    if name == "mpi4py" and _mpiexec() is None:
        return "there is no mpiexec; the extra peers brings one for Linux"
    if name == "stdlib interpreters" and not hasattr(concurrent.futures, "InterpreterPoolExecutor"):
        return "InterpreterPoolExecutor comes with Python 3.14"
    if name in LISTEN_EVERYWHERE and not _has_namespaces():
        return f"{name} listens on every address, and needs a network of its own (unshare, ip)"
    return None


def _mpiexec() -> str | None:
    return shutil.which("mpiexec", path=_path())


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


@functools.cache
def _tried(name: str) -> tuple[dict[str, str | None], str]:
    """What was wrong with each promise, as far as the program came; and what it said besides."""
    command = [sys.executable, str(HERE / "lent.py"), name]
    if name in LISTEN_EVERYWHERE:
        command = [*ALONE, *command]
    places = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PATH": _path(), "PYTHONPATH": os.pathsep.join(filter(None, places))}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        program = subprocess.Popen(
            [*command, folder], env=environ, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            output, _ = program.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            program.kill()
            output, _ = program.communicate()
        errors.seek(0)
        said = errors.read()
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("[")]
    return {
        promise: fault for promise, fault, _ in lines
    }, f"exit code {program.returncode}\n{said}"


@pytest.mark.timeout(LIMIT + 30)
@pytest.mark.parametrize("promise", [promise.__name__ for promise in PROMISES])
@pytest.mark.parametrize("name", LENDERS)
def test_a_lender(name: str, promise: str) -> None:
    """What `lent.py` says of the promise holds with this lender."""
    reason = _why_not(name)
    if reason is not None:
        pytest.skip(reason)
    faults, said = _tried(name)
    assert promise in faults, f"the program did not come so far:\n{said}"
    assert faults[promise] is None, faults[promise]
