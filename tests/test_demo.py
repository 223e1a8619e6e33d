"""The demo does what it announces, and says so to whoever reads it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ezpq_exec import demo

PATIENCE = 100  # seconds


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m ezpq_exec` with these arguments, its output in a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "ezpq_exec", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def demonstration() -> subprocess.CompletedProcess[str]:
    """One run of the demo, which all tests look at."""
    return run("demo", "--workers", "2")


def standard_library() -> list[Path]:
    """The files that the demo is to find, found in another way."""
    root = Path(os.__file__).parent
    found = (path.relative_to(root) for path in root.rglob("*.py") if path.is_file())
    return [path for path in found if not {"site-packages", "dist-packages"} & set(path.parts)]


def number(text: str, label: str) -> int:
    """The number that stands before `label`."""
    match = re.search(rf"([\d,]+) {label}", text)
    assert match is not None, text
    return int(match[1].replace(",", ""))


def test_the_demo_succeeds(demonstration: subprocess.CompletedProcess[str]) -> None:
    """Its exit code is 0, and it has nothing to complain of."""
    assert (demonstration.returncode, demonstration.stderr) == (0, "")


def test_every_file_is_counted(demonstration: subprocess.CompletedProcess[str]) -> None:
    """The total is that of the files that are there, and the announcement said the same."""
    announcement, _, rest = demonstration.stdout.partition("\n")
    total = rest[rest.index("Total:") :]
    assert number(announcement, "files") == len(standard_library())
    assert number(total, "files") == len(standard_library())
    assert 0 <= number(total, "files do not parse") < len(standard_library()) / 10
    assert number(total, "lines") > number(total, "functions") > number(total, "classes") > 0


def test_both_accidents_are_explained(demonstration: subprocess.CompletedProcess[str]) -> None:
    """What hung and what crashed: the name, the pid, how it ended and where it was."""
    hang, crash = demonstration.stdout.split("\nJobTimeout: ")[1].split("\nWorkerDied: ")
    assert re.search(r"job \d+ \(hang\) .* was killed \(pid \d+\)", hang)
    assert re.search(r'demo\.py", line \d+ in hang$', hang, re.MULTILINE)
    assert "STILL THERE" not in hang
    assert re.search(r"job \d+ \(crash\) died by SIGSEGV \(pid \d+\), exit code -11", crash)
    assert re.search(r'demo\.py", line \d+ in crash$', crash, re.MULTILINE)
    if sys.platform == "linux":
        assert "The process that it had started is gone, too." in hang


def test_the_slowest_jobs_are_listed(demonstration: subprocess.CompletedProcess[str]) -> None:
    """Ten rows, of files that exist, the longest runtime first."""
    table = demonstration.stdout.split("The slowest jobs")[1].split("\n\n")[1].splitlines()
    rows = [re.split(r"  +", line) for line in table[2:]]
    runtimes = [float(row[4].removesuffix(" s")) for row in rows]
    assert table[0].split() == [
        "job",
        "size",
        "lines",
        *["waited", "runtime", "cpu", "max", "rss", "pid"],
    ]
    assert len(rows) == 10
    assert {Path(row[0]) for row in rows} <= set(standard_library())
    assert runtimes == sorted(runtimes, reverse=True)


def test_a_pipe_gets_plain_lines(demonstration: subprocess.CompletedProcess[str]) -> None:
    """There is progress in it, and nothing that only a terminal understands."""
    assert re.findall(r"^ +(\d+) % ", demonstration.stdout, re.MULTILINE)[-1] == "100"
    assert demonstration.stdout.isascii()
    assert not re.search(r"[\x1b\r]", demonstration.stdout)


def test_a_terminal_gets_a_bar_and_a_table() -> None:
    """Text comes out as it is, square brackets too."""
    console = pytest.importorskip("rich.console")
    out = io.StringIO()
    screen = demo._RichScreen(console.Console(file=out, force_terminal=True, width=100))
    tally = demo._Tally()
    with screen.progress(2):
        tally.weight, tally.files = 1, 1234
        screen.advance(tally)
        screen.say("[bold]no markup[/bold]")
    screen.table("A table", [("name.py", *"1234567")])
    for text in ("50%", "1,234 files", "[bold]no markup[/bold]", "A table", "name.py", "max rss"):
        assert text in out.getvalue()


def test_without_a_command_it_says_how_it_is_used() -> None:
    """The usage goes to stderr, with the command that there is."""
    result = run()
    assert (result.returncode, result.stdout) == (2, "")
    assert re.search(r"^usage: python -m ezpq_exec ", result.stderr)
    assert re.search(r"^ +demo +parse ", result.stderr, re.MULTILINE)


@pytest.mark.parametrize("workers", ["0", "-1", "two", "1.5", ""])
def test_workers_must_be_a_number_of_workers(workers: str) -> None:
    """What is not gets the reason, and nothing is run."""
    result = run("demo", f"--workers={workers}")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"whole number from 1 up, not {workers!r}" in result.stderr


def test_definitions_are_counted_wherever_they_are(tmp_path: Path) -> None:
    """Nested, asynchronous, in a class; and strings that look like definitions are none."""
    file = tmp_path / "some.py"
    file.write_text(
        "class A:\n"
        "    class B:\n"
        "        async def f(self):\n"
        "            def g(): return lambda: 0\n"
        "'''\n"
        "def h(): pass\n"
        "'''\n",
        encoding="utf-8",
    )
    assert demo.count(str(file)) == demo.Count(lines=7, functions=2, classes=2)
