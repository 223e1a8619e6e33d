"""Imports point up the table of layers, and modules stay small."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ezpq_exec"

# Top first. A module may import from its own layer and from those above it.
LAYERS = [
    "excerpt naming errors options jobs owner heap wallclock",
    "history lanes ranks backlog deadlines commands reports slots idleness verdicts sizing",
    "decisions attempts lookahead succession promises overview scheduler ending stats named packing contexts batching inbox exitorder",
    "engines.*",
    "courier loglistener exits mailbox places gate condition offers handed resolver settling hearing question wreck loop submitting whereabouts desk",
    "extras progress",
    "lightfuture future checks configured lanetable intake assembly mapping automap controls executor completed",
    "reusable",
    "joblib",
    "records tracks",
    "frame trace plots.* joblog",
    "plot queue_record",
    "ezpq_job ledger queue_settings queue_clerk queue_counts queue_outlet queue_intake",
    "decorator queue",
    "demo __main__",
]
PURE = [
    *(
        "excerpt",
        "naming",
        "errors",
        "options",
        "jobs",
        "heap",
        "backlog",
        "deadlines",
        "commands",
        "reports",
        "slots",
    ),
    *("history", "lanes", "ranks", "idleness", "verdicts", "decisions", "attempts", "lookahead"),
    *("succession", "promises", "overview", "sizing"),
    *("scheduler", "ending", "stats"),
]
IMPURE = {
    *("time", "threading", "os", "subprocess", "multiprocessing", "socket", "select", "signal"),
    *("asyncio", "queue", "selectors", "_thread", "random", "io"),
}
ALLOWED = {("errors", "queue")}  # for queue.Full, which callers catch

# A list to which nothing is to be added.
LONG_MODULES: set[str] = set()

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
INNER = [name for name in MODULES if not name.endswith("__init__")]


@functools.cache
def parsed(name: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(MODULES[name].read_text())


def is_for_typing(node: ast.AST) -> bool:
    """Whether it is an `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All that may be carried out, functions' insides included."""
    for child in ast.iter_child_nodes(node):
        if is_for_typing(child):
            for other in getattr(child, "orelse", []):
                yield from run_time_nodes(other)
            continue
        yield child
        yield from run_time_nodes(child)


def imports(name: str) -> Iterator[str]:
    """What a module imports: names within the package begin with a dot."""
    for node in run_time_nodes(parsed(name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.replace("ezpq_exec", "", 1) or "."
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            module = node.module or ""
            yield module.replace("ezpq_exec", "", 1) or "."
        elif isinstance(node, ast.ImportFrom):
            here = name.split(".")[: -node.level]
            base = [*here, *(node.module.split(".") if node.module else [])]
            inside = [".".join([*base, alias.name]) for alias in node.names]
            known = [each for each in inside if each in MODULES]
            yield from ("." + each for each in known or [".".join(base)])


def layer(name: str) -> int:
    """Where a module stands in the table."""
    package = name.split(".", maxsplit=1)[0]
    home = f"{package}.*" if f"{package}.__init__" in MODULES else name
    found = [i for i, names in enumerate(LAYERS) if home in names.split()]
    assert found, f"{name} has no place in the table of layers: give it one"
    return found[0]


def test_every_module_is_in_the_architecture() -> None:
    """The page on how it is built has a row for each module, and for nothing else."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    index = page.partition("## Where to find what")[2]
    rows = [line.split("|")[1] for line in index.splitlines() if line.startswith("| `")]
    found = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert sorted(found) == sorted(INNER)


@pytest.mark.parametrize("name", INNER)
def test_imports_point_up(name: str) -> None:
    """No module imports from a layer below its own."""
    wrong = [
        other
        for other in imports(name)
        if other.startswith(".") and other != "." and layer(other[1:]) > layer(name)
    ]
    assert not wrong


def test_imports_make_no_circle() -> None:
    """No module needs itself, however far round."""
    needs = {
        name: {other[1:] for other in imports(name) if other.startswith(".") and other != "."}
        for name in INNER
    }
    for others in needs.values():
        others -= {"engines"}  # its `__init__` has nothing but functions that are called late
    while needs:
        free = [name for name, others in needs.items() if not others & needs.keys()]
        assert free, f"a circle among {sorted(needs)}"
        for name in free:
            del needs[name]


@pytest.mark.parametrize("name", [name for name in PURE if name in MODULES])
def test_pure_modules_do_nothing(name: str) -> None:
    """The pure modules import no clock, thread, process or engine."""
    found = set(imports(name))
    roots = {other.split(".")[0] for other in found if not other.startswith(".")}
    forbidden = {other for other in roots & IMPURE if (name, other) not in ALLOWED}
    forbidden |= {other for other in found if other.startswith(".engines")}
    if name not in ("errors", "verdicts"):
        forbidden |= roots & {"concurrent"}
    assert not forbidden


def test_the_check_sees_what_it_should() -> None:
    """The reading of imports finds those of functions too, and leaves out those for typing."""
    assert {".engines.base", ".future", ".jobs", ".desk"} <= set(imports("intake"))
    assert ".errors" in set(imports("packing"))
    assert ".jobs" not in set(imports("packing"))
    assert ".future" not in set(imports("jobs"))
    assert ".engines.base" in set(imports("engines.threads"))
    assert ".packing" in set(imports("engines.worker"))


def run_python(code: str) -> str:
    """What it prints, in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout


HEAVY = "loky cloudpickle multiprocessing concurrent.futures.process rich tqdm pandas plotnine numpy dask"


def test_package_is_light() -> None:
    """`import ezpq_exec` alone imports nothing that takes its time."""
    code = "import sys; old = set(sys.modules); import ezpq_exec; print(*set(sys.modules) - old)"
    new = run_python(code).split()
    assert "ezpq_exec" in new
    assert not set(new) & set(HEAVY.split())
    assert not [name for name in new if name.startswith("ezpq_exec.")]


def test_worker_is_light() -> None:
    """What a worker imports brings in none of the executor's own side."""
    code = "import sys, ezpq_exec.engines.worker; print(*sys.modules)"
    loaded = set(run_python(code).split())
    assert not loaded & {*HEAVY.split(), "concurrent.futures"}
    assert not loaded & {f"ezpq_exec.{name}" for name in ("loop", "scheduler", "executor")}


def test_public_names_are_all_there() -> None:
    """Every public name can be had from the package, and is listed by `dir`."""
    code = """
import ezpq_exec
names = ezpq_exec.__all__
assert set(names) <= set(dir(ezpq_exec))
print(*[name for name in names if getattr(ezpq_exec, name) is None], len(names) > 10)
"""
    assert run_python(code).split() == ["True"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.xfail(strict=True, reason="too long")]
            if name in LONG_MODULES
            else [],
        )
        for name in MODULES
    ],
)
def test_modules_are_short(name: str) -> None:
    """No module is longer than 300 lines."""
    assert len(MODULES[name].read_text().splitlines()) <= 300


@pytest.mark.parametrize("name", MODULES)
def test_functions_are_short(name: str) -> None:
    """No function is longer than 60 lines, its docstring included."""
    for node in ast.walk(parsed(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name
