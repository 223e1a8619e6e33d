"""Nothing of a running executor can be reached by others, and no pickle comes from where they write."""

from __future__ import annotations

import ast
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from conftest import eventually
from ezpq_exec import PriorityExecutor
from ezpq_exec.engines import sockets
from ezpq_exec.engines.spawned import SpawnedEngine
from gates import PATIENCE, Gate
from programs import Program, started
from workload import add

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "ezpq_exec"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Two jobs run, one waits, and the executor has done all kinds of things before.
RUNNING = """
import tempfile
from ezpq_exec import get_reusable_executor
ex = get_reusable_executor(2) if {reusable} else executor(2)
assert ex.submit(bytes, 3_000_000).result() and list(ex.map(abs, range(50), chunksize="auto"))
assert ex.options(timeout=60).submit(len, bytes(3_000_000)).result()
fs = [ex.submit(hold, GATE) for _ in range(3)]
tell("ready")
fs[0].result()
"""

RUNS = [("processes", False), ("processes", True), ("spawned", False)]


def listed(table: str) -> dict[str, list[str]]:
    """The sockets of a table in /proc/net by inode, each with its line's words."""
    at = {"unix": 6}.get(table, 9)
    with open(f"/proc/net/{table}") as lines:
        found = [line.split() for line in lines][1:]
    return {words[at]: words for words in found}


def descriptors(pids: list[int]) -> list[tuple[int, str, os.stat_result]]:
    """What those processes have open: pid, the name that the kernel gives it, its status."""
    found = []
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{name}"
            try:
                found.append((pid, os.readlink(path), os.stat(path)))
            except FileNotFoundError:
                continue  # it has just been closed
    return found


def everybody(program: Program, gate: Gate) -> list[int]:
    """The program and all its processes, in the midst of their work."""
    program.heard("ready")
    gate.heard(2)
    program.blocks()
    return [program.pid, *program.watch()]


@on_linux
@pytest.mark.parametrize(("engine", "reusable"), RUNS)
def test_nobody_can_connect(engine: str, reusable: bool, gate: Gate, tmp_path: Path) -> None:
    """No socket of any process is one of a network, or listens, or has a name or an address."""
    code = RUNNING.format(reusable=reusable)
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        pids = everybody(program, gate)
        inodes = {str(s.st_ino) for _, _, s in descriptors(pids) if stat.S_ISSOCK(s.st_mode)}
        assert len(inodes) >= 4
        for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet", "netlink"):
            if os.path.exists(f"/proc/net/{table}"):
                assert not inodes & listed(table).keys(), table
        unix = listed("unix")
        for inode in inodes:
            words = unix[inode]
            assert int(words[3], 16) & 0x10000 == 0, f"it accepts connections: {words}"
            assert len(words) == 7, f"it has a name: {words}"
        program.ctrl_c()
        program.ends()


@on_linux
@pytest.mark.parametrize(("engine", "reusable"), RUNS)
def test_no_file_lies_where_others_could_find_it(
    engine: str, reusable: bool, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no temporary file at all; what is shared in memory is its owner's alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    code = RUNNING.format(reusable=reusable)
    with started(code, gate.path, folder=tmp_path, engine=engine) as program:
        pids = everybody(program, gate)
        me = os.getuid()
        for pid, name, status in descriptors(pids):
            is_module = name.startswith(sys.prefix)  # just read, wherever that is installed
            if not stat.S_ISREG(status.st_mode) or is_module:
                continue
            is_ours = name.startswith(("/memfd:", "/dev/shm/", "/tmp/", str(folder)))  # noqa: S108
            if is_ours:
                assert (status.st_uid, stat.S_IMODE(status.st_mode) & 0o077) == (me, 0), (pid, name)
        assert os.listdir(folder) == []
        program.ctrl_c()
        program.ends()
    assert os.listdir(folder) == []


@on_linux
def test_programs_that_jobs_start_inherit_no_end_of_ours(gate: Gate, tmp_path: Path) -> None:
    """What a worker holds to talk with stays its own, and is closed in what it executes."""
    code = """
import subprocess
ex = executor(1)
look = ["/bin/ls", "-l", "/proc/self/fd"]
listing = ex.submit(subprocess.run, look, capture_output=True, stdin=subprocess.DEVNULL).result()
tell("sockets", listing.stdout.count(b"socket:"), listing.stdout.count(b"memfd"))
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("sockets 0 0")
        assert program.ends() == 0


# Windows' pairs ---------------------------------------------------------------------------------


def _hijacked() -> tuple[socket.socket, socket.socket]:
    """A pair as it comes of a listener that somebody else was the first to find."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stranger = socket.create_connection(server.getsockname())
        one = socket.create_connection(server.getsockname())
        other = server.accept()[0]
    stranger.close()
    return one, other


def test_a_pair_with_a_stranger_in_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a pair is made by a listener, whose first caller may be another user."""
    monkeypatch.setattr(socket, "socketpair", _hijacked)
    with pytest.raises(ConnectionError, match="stranger"):
        sockets.pair()


def test_no_worker_is_started_with_a_stranger(
    monkeypatch: pytest.MonkeyPatch, gate: Gate, tmp_path: Path
) -> None:
    """The jobs' futures say why; nothing that the stranger sent is read."""
    executor = PriorityExecutor(1, engine=SpawnedEngine())
    monkeypatch.setattr(socket, "socketpair", _hijacked)
    future = executor.submit(add, 1, 1)
    error = future.exception(PATIENCE)
    assert "stranger" in str(error)
    executor.shutdown()
    assert eventually(lambda: not executor.is_open)


# Pickles ----------------------------------------------------------------------------------------

READERS = {"load", "loads", "Unpickler", "open"}
FORBIDDEN = {"eval", "exec", "compile"}
BRINGERS = {"pickle", "cloudpickle", "marshal", "shelve", "_pickle"}


def readings() -> set[str]:
    """Where the package reads pickles: `module:function`, as the page has it."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found |= {f"{module}:{name}" for name in _within(ast.parse(path.read_text()), "")}
    return found


def _within(node: ast.AST, name: str) -> set[str]:
    found = set()
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            inner = f"{name}.{child.name}".lstrip(".")
        if _reads(child):
            found.add(inner)
        found |= _within(child, inner)
    return found


def _reads(node: ast.AST) -> bool:
    """Whether it is, or could be used as, a call that runs what some bytes say."""
    if isinstance(node, ast.ImportFrom):
        return node.module in BRINGERS
    if isinstance(node, ast.Attribute):
        of = node.value.id if isinstance(node.value, ast.Name) else None
        return of in BRINGERS and node.attr in READERS
    return isinstance(node, ast.Name) and node.id in FORBIDDEN


def test_every_place_where_a_pickle_is_read_is_accounted_for() -> None:
    """The table in docs/security.md has each of them, and says where the bytes come from."""
    page = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
    section = page.split("## Every place where a pickle is read")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    told = {name.strip("` ") for row in rows for name in row[1].split(",")}
    assert told == readings()
    assert all(len(row) == 5 and row[3].strip() for row in rows)
