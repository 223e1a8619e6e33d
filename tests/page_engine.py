"""The engine that the page on writing one shows, taken from there; so it is held to what it says."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

from pages import blocks

PAGE = Path(__file__).parents[1] / "docs" / "writing-an-engine.md"


def crew() -> Any:
    """A new `CrewEngine`, as the page has it."""
    return _module().CrewEngine()


def _module() -> types.ModuleType:
    """The page's example as a module; what it does when it is run is left out."""
    name = "crew_of_the_page"
    if name not in sys.modules:
        example = next(block for block in blocks(PAGE.read_text()) if block.language == "python")
        code = "\n" * example.start + "\n".join(example.lines).partition("\n\n\nwith ")[0]
        module = types.ModuleType(name)
        exec(compile(code, str(PAGE), "exec"), module.__dict__)  # noqa: S102 - it is our own page
        sys.modules[name] = module
    return sys.modules[name]
