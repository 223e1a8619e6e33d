"""The command line: `python -m ezpq_exec demo`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .demo import run

__all__ = ["main"]

_INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` (default: the command line's) say; the exit code."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return run(chosen.workers)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ezpq_exec",
        description="An executor with priorities, timeouts that kill, and rich futures.",
    )
    parser.add_argument("--version", action="version", version=f"ezpq_exec {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    demo = commands.add_parser(
        "demo",
        help="parse Python's standard library in worker processes, with two accidents on the way",
        description="Parse every source file of Python's own standard library in worker "
        "processes, the biggest first, while one job hangs and another one crashes.",
    )
    demo.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="how many jobs run at once (default: the CPUs that this process may use)",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
