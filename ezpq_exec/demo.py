"""A demonstration: parse the whole standard library, and survive two accidents on the way.

It uses only what `import ezpq_exec` offers. The jobs are at the top, what is done with them below,
and how it is shown at the end. Workers import this module too, so it imports little.
"""

from __future__ import annotations

import ast
import contextlib
import math
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, NamedTuple

import ezpq_exec

if TYPE_CHECKING:
    from ezpq_exec import JobFuture, JobInfo, JobTimeout, PriorityExecutor, WorkerDied

__all__ = ["Count", "Source", "count", "run", "sources"]

HANG_LIMIT = 1.0  # seconds
SLOWEST = 10  # jobs in the table
NOT_SOURCE = {"site-packages", "dist-packages", "__pycache__"}
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what the parser may raise
HEADINGS = ("job", "size", "lines", "waited", "runtime", "cpu", "max rss", "pid")


# The jobs ---------------------------------------------------------------------------------------


class Count(NamedTuple):
    """What was found in one file, or in many."""

    lines: int = 0
    functions: int = 0
    classes: int = 0


def count(path: str) -> Count:
    """Parse one file and count what it defines."""
    text = Path(path).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old files have escapes that newer Pythons warn about
        tree = ast.parse(text, path)
    functions = classes = 0
    for node in ast.walk(tree):
        functions += isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        classes += isinstance(node, ast.ClassDef)
    return Count(len(text.splitlines()), functions, classes)


def hang(note: str) -> None:
    """Wait for a child process that takes an hour; leave its pid in the file `note`."""
    command = [sys.executable, "-c", "import time; time.sleep(3600)"]
    child = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own words
    Path(note).write_text(str(child.pid), encoding="ascii")
    child.wait()


def crash() -> None:
    """End this process by a segmentation fault, without leaving a core file."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.raise_signal(signal.SIGSEGV)


# What is done with them -------------------------------------------------------------------------


class Source(NamedTuple):
    """One file of the standard library."""

    path: Path
    name: str
    size: int


def sources() -> Iterator[Source]:
    """Every source file of the standard library, without what was installed into it."""
    root = sysconfig.get_path("stdlib")
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = set(subfolders) - NOT_SOURCE
        for path in (Path(folder, name) for name in names):
            if path.suffix == ".py" and path.is_file():
                yield Source(path, str(path.relative_to(root)), path.stat().st_size)


class _Tally:
    """What came of the files so far."""

    def __init__(self) -> None:
        self.parsed: list[tuple[JobInfo, Source, Count]] = []
        self.total = Count()
        self.files = 0
        self.weight = 0

    def add(self, future: JobFuture[Count], source: Source) -> None:
        """One job is done; an error that is not about its file's text is raised."""
        self.files += 1
        self.weight += _weight(source)
        try:
            found = future.result()
        except UNPARSABLE:
            return
        self.total = Count(*map(sum, zip(self.total, found, strict=True)))
        self.parsed.append((future.info, source, found))


def _weight(source: Source) -> int:
    return source.size + 1  # so that an empty file counts as well


def run(workers: int | None = None) -> int:
    """Run the demonstration; its exit code: 0 if all went as announced."""
    with (
        tempfile.TemporaryDirectory(prefix="ezpq_exec-") as folder,
        ezpq_exec.PriorityExecutor(workers) as ex,
    ):
        try:
            return _demonstrate(ex, Path(folder, "child"), _screen())
        finally:  # after Ctrl-C, what still waits is not worth waiting for
            ex.shutdown(wait=False, cancel_futures=True)


def _demonstrate(ex: PriorityExecutor, note: Path, screen: _Screen) -> int:
    files = list(sources())
    screen.say(
        f"Parsing the standard library of Python {sys.version.split()[0]}: {len(files):,} files, "
        f"{ex.max_workers} at a time, the biggest first.\n"
        f"One more job hangs (its timeout: {HANG_LIMIT:g} s), and one crashes.\n"
    )
    began = time.monotonic()
    first = ex.options(priority=-math.inf)
    hanging = first.options(name="hang", timeout=HANG_LIMIT).submit(hang, str(note))
    crashing = first.options(name="crash").submit(crash)
    jobs = {ex.options(name=f.name, priority=-f.size).submit(count, str(f.path)): f for f in files}
    tally = _Tally()
    with screen.progress(sum(map(_weight, files))):
        done: Iterator[Any] = ezpq_exec.as_completed([hanging, crashing, *jobs])
        for future in done:
            if future in jobs:
                tally.add(future, jobs[future])
                screen.advance(tally)
            else:
                screen.say(f"the job {future.info.name!r}: {future.info.verdict.value}")
    _report(ex, tally, time.monotonic() - began, screen)
    as_announced = _explain(hanging, ezpq_exec.JobTimeout, screen)
    if ex.capabilities.whole_tree and note.exists():
        as_announced &= _is_gone(note, screen)
    as_announced &= _explain(crashing, ezpq_exec.WorkerDied, screen)
    screen.say("No other job was touched.")
    return 0 if as_announced else 1


def _report(ex: PriorityExecutor, tally: _Tally, wall: float, screen: _Screen) -> None:
    """Show the slowest jobs, and what all of them came to."""
    slowest = sorted(tally.parsed, key=lambda job: -(job[0].runtime or 0.0))[:SLOWEST]
    screen.table("The slowest jobs that returned", [_row(*job) for job in slowest])
    busy = sum(info.cpu_time or 0.0 for info, _, _ in tally.parsed)
    stats = ex.stats()
    screen.say(
        f"\nTotal: {tally.files:,} files, {tally.total.lines:,} lines, "
        f"{tally.total.functions:,} functions, {tally.total.classes:,} classes.\n"
        f"{tally.files - len(tally.parsed):,} files do not parse: bad syntax kept as test data.\n"
        f"{wall:.1f} s by the clock, {busy:.1f} s of CPU time in {stats.workers_started} workers, "
        f"of which {stats.workers_killed} was killed and {stats.workers_died} died."
    )


def _row(info: JobInfo, source: Source, found: Count) -> Sequence[str]:
    times = (info.waited, info.runtime, info.cpu_time)
    return (
        info.name,
        f"{source.size / 1024:,.0f} KiB",
        f"{found.lines:,}",
        *("-" if seconds is None else f"{seconds:.3f} s" for seconds in times),
        f"{info.max_rss / 1024**2:,.1f} MiB" if info.max_rss else "-",
        str(info.pid),
    )


def _explain(future: JobFuture[None], kind: type[JobTimeout | WorkerDied], screen: _Screen) -> bool:
    """Say what became of a job that was to fail in this way; whether it did."""
    error = future.exception()
    if not isinstance(error, kind):
        screen.say(f"\nThe job {future.info.name!r} should have failed, but: {error!r}")
        return False
    what, code = str(error).splitlines()[0], future.info.exitcode
    screen.say(f"\n{kind.__name__}: {what}, exit code {code}. It was here:")
    screen.say(indent(error.stack or "(not known)", "    "))
    return True


def _is_gone(note: Path, screen: _Screen) -> bool:
    """Say whether the child process is gone whose pid is in the file `note`."""
    pid = int(note.read_text(encoding="ascii"))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        screen.say("The process that it had started is gone, too.")
        return True
    screen.say(f"The process that it had started is STILL THERE (pid {pid}).")
    return False


# How it is shown --------------------------------------------------------------------------------


class _Screen:
    """Plain lines, as a file or a pipe takes them; a terminal without rich gets them as well."""

    _whole = 1
    _tenths = 0

    def say(self, text: str) -> None:
        print(text, flush=True)

    @contextlib.contextmanager
    def progress(self, whole: int) -> Iterator[None]:
        """While this lasts, `advance` shows how much of the `whole` weight is done."""
        self._whole = whole
        yield
        self.say("")

    def advance(self, tally: _Tally) -> None:
        tenths = 10 * tally.weight // self._whole
        if tenths > self._tenths:
            self._tenths = tenths
            self.say(f"{tenths * 10:5} %  {tally.files:6,} files {tally.total.lines:10,} lines")

    def table(self, title: str, rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
        self.say(f"{title}:\n")
        for row in (HEADINGS, ["-" * width for width in widths], *rows):
            numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            self.say("  ".join((row[0].ljust(widths[0]), *numbers)))


class _RichScreen(_Screen):
    """A terminal, and rich is installed: a bar, and colours."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._bar: Any = None

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, whole: int) -> Iterator[None]:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console) as self._bar:
            self._bar.add_task("", total=whole)
            yield
        self.say("")

    def advance(self, tally: _Tally) -> None:
        described = f"{tally.files:,} files, {tally.total.lines:,} lines"
        self._bar.update(self._bar.task_ids[0], completed=tally.weight, description=described)

    def table(self, title: str, rows: Sequence[Sequence[str]]) -> None:
        from rich import box
        from rich.table import Table

        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for at, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="right" if at else "left", no_wrap=at > 0)
        for row in rows:
            table.add_row(*row)
        self._console.print(table)


def _screen() -> _Screen:
    """What fits where the output goes."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console

            console = Console()
            if console.is_interactive:
                return _RichScreen(console)
    return _Screen()
