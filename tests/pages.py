"""The blocks of code in a page of the documentation, as a program that can be run.

Blocks of `python` are one program, each on the lines that it has in the page, so that a traceback
tells the place. A block of `text` right below one is what that prints; `...` stands for anything.
"""

from __future__ import annotations

import doctest
import re
from dataclasses import dataclass
from pathlib import Path

MARK = "\x1e"  # printed after each block; no page prints it


@dataclass
class Block:
    """What stands between two fences: its language, its lines, and that of the first fence."""

    language: str
    lines: list[str]
    start: int


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    inside = False
    for number, line in enumerate(page.splitlines(), 1):
        fence = re.match(r"^```(\S*)\s*$", line)
        if fence and not inside:
            found.append(Block(fence.group(1), [], number))
        elif not fence and inside:
            found[-1].lines.append(line)
        inside = inside != bool(fence)
    assert not inside, "a block of code has no end"
    return found


def program(page: str) -> str:
    """All blocks of `python`; every other line is empty, but for the mark behind each block."""
    lines = [""] * (len(page.splitlines()) + 1)
    for block in blocks(page):
        if block.language == "python":
            lines[block.start : block.start + len(block.lines)] = block.lines
            lines[block.start + len(block.lines)] = f"print({MARK!r}, flush=True)"
    return "\n".join(lines)


def expected(page: str) -> list[tuple[int, str | None]]:
    """Of each block of `python`, the line where it begins, and what it prints where that is said."""
    answers: list[tuple[int, str | None]] = []
    all_blocks = blocks(page)
    for block, after in zip(all_blocks, [*all_blocks[1:], None], strict=True):
        if block.language != "python":
            continue
        end = block.start + len(block.lines) + 1
        text = None
        if after is not None and after.language == "text":
            between = page.splitlines()[end : after.start - 1]
            if not any(line.strip() for line in between):
                text = "\n".join(after.lines)
        answers.append((block.start, text))
    return answers


def is_like(wanted: str, got: str) -> bool:
    checker = doctest.OutputChecker()
    return checker.check_output(wanted.strip() + "\n", got.strip() + "\n", doctest.ELLIPSIS)


def pages(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.md"))
