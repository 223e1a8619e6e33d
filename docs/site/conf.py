"""Sphinx' settings; `build.py` beside it says how the site is built."""

from __future__ import annotations

import re
from typing import Any

import ezpq_exec

project = "ezpq_exec"
copyright = "the authors of ezpq_exec"  # noqa: A001 - Sphinx' name for it
release = ezpq_exec.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["site"]

html_theme = "furo"
html_title = f"ezpq_exec {release}"
html_copy_source = False

myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebook is kept with its outputs, and a test runs it

autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_rtype = False

_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)(\w*)")
_PUBLIC = frozenset(ezpq_exec.__all__)


def _code(found: re.Match[str]) -> str:
    text, suffix = found.groups()
    code = f":py:obj:`~ezpq_exec.{text}`" if text in _PUBLIC else f"``{text}``"
    return f"{code}\\ {suffix}" if suffix else code


def _as_restructured_text(*event: Any) -> None:
    """Docstrings have code between single backquotes, as Markdown has it."""
    lines: list[str] = event[-1]
    lines[:] = [_CODE.sub(_code, line) for line in lines]


def _without_paths(*event: Any) -> tuple[str | None, str | None] | None:
    """Sphinx cannot make anything of `*args: P.args`, and would show the whole as it stands."""
    signature, returned = event[-2:]
    if signature is None or "~P" not in signature:
        return None
    return re.sub(r"~(\w+\.)*", "", signature), returned


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _without_paths)
    app.connect("autodoc-process-docstring", _as_restructured_text, priority=400)
