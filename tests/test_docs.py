"""The documentation says what is true: its code runs, its notebook too, and the site builds."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ezpq_exec
from pages import MARK, blocks, expected, is_like, pages, program

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "examples.ipynb"
WITH_CODE = [
    page
    for page in pages(DOCS)
    if any(block.language == "python" for block in blocks(page.read_text(encoding="utf-8")))
]
PATIENCE = 100.0  # seconds


def _has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def _missing(code: str) -> set[str]:
    """The packages that it imports and that are not installed."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    packages = {name.partition(".")[0] for name in found}
    return {package for package in packages if not _has(package)}


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"}


def _python(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _files() -> set[str]:
    hidden = {".git", "__pycache__"}
    names = (name for name in DOCS.rglob("*") if not hidden & set(name.parts))
    return {f"{name} {name.stat().st_mtime_ns}" for name in names if name.is_file()}


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(DOCS)))
def test_what_a_page_shows_is_what_its_code_prints(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = _missing(program(text))
    if missing:
        pytest.skip(f"{', '.join(sorted(missing))} is not installed; the extra peers brings it")
    script = tmp_path / "page.py"
    script.write_text(program(text), encoding="utf-8")
    run = _python(tmp_path, str(script))
    assert run.returncode == 0, f"{page.name}, by line:\n{run.stderr}"
    printed = run.stdout.split(MARK + "\n")[:-1]
    for (line, wanted), got in zip(expected(text), printed, strict=True):
        if wanted is not None:
            assert is_like(wanted, got), f"{page.name}, line {line}, prints:\n{got}"


def test_the_programs_of_the_readme_run(tmp_path: Path) -> None:
    """Each block of Python in the README is a program that runs as it is."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    programs = [block.lines for block in blocks(page) if block.language == "python"]
    assert programs
    for number, lines in enumerate(programs):
        script = tmp_path / f"readme{number}.py"
        script.write_text("\n".join(lines), encoding="utf-8")
        run = _python(tmp_path, str(script))
        assert run.returncode == 0, run.stderr


def test_every_public_name_is_in_the_reference() -> None:
    reference = (DOCS / "reference.md").read_text(encoding="utf-8")
    described = re.findall(
        r"^\.\. auto(?:class|function|exception):: (\w+)", reference, re.MULTILINE
    )
    assert sorted(described) == sorted(ezpq_exec.__all__)


def test_an_engine_can_be_written_in_sixty_lines() -> None:
    page = (DOCS / "writing-an-engine.md").read_text(encoding="utf-8")
    example = next(block for block in blocks(page) if block.language == "python")
    lines = [line for line in example.lines if line.strip()]
    assert any("(Engine):" in line for line in lines)
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100


def test_every_attribute_that_a_page_names_is_there() -> None:
    owners: dict[str, Any] = {
        "ex": ezpq_exec.PriorityExecutor,
        "future": ezpq_exec.JobFuture,
        "job": ezpq_exec.JobFuture,
        "info": {field.name for field in dataclasses.fields(ezpq_exec.JobInfo)},
        "Q": ezpq_exec.Queue,
    }
    for page in pages(DOCS):
        text = page.read_text(encoding="utf-8")
        for owner, name in re.findall(r"\b(ex|future|job|info|Q)\.([a-z]\w*)", text):
            known = owners[owner]
            there = name in known if isinstance(known, set) else hasattr(known, name)
            assert there, f"{page.name}: {owner}.{name}"


@pytest.mark.skipif(not _has("furo", "myst_nb", "sphinx"), reason="the extra docs is not installed")
def test_the_site_builds_without_a_warning_and_writes_nothing_into_the_repository(
    tmp_path: Path,
) -> None:
    before = _files()
    build = _python(tmp_path, str(DOCS / "site" / "build.py"), str(tmp_path / "site"))
    assert build.returncode == 0, build.stdout + build.stderr
    assert _files() == before
    reference = (tmp_path / "site" / "reference.html").read_text(encoding="utf-8")
    assert 'id="ezpq_exec.PriorityExecutor.submit"' in reference


@pytest.mark.skipif(
    not _has("nbclient", "nbformat", "ipykernel"), reason="the extra docs is not installed"
)
def test_the_notebook_runs_and_is_kept_with_its_outputs(tmp_path: Path) -> None:
    fresh = tmp_path / "examples.ipynb"
    run = _python(tmp_path, str(DOCS / "site" / "notebook.py"), str(fresh))
    assert run.returncode == 0, run.stdout + run.stderr
    kept, made = (json.loads(path.read_text(encoding="utf-8")) for path in (NOTEBOOK, fresh))
    assert _shape(kept) == _shape(made)


def _shape(notebook: Any) -> list[tuple[str, list[list[str]]]]:
    """Each cell, with the kinds of its outputs: what they say differs from run to run."""
    return [
        (
            "".join(cell["source"]),
            [sorted(output.get("data", ())) for output in cell.get("outputs", ())],
        )
        for cell in notebook["cells"]
    ]
