"""Runs the examples: `python docs/site/notebook.py [file]`.

Without a file, `docs/examples.ipynb` is replaced by itself with new outputs. A cell that fails is an
error, and then nothing is written.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SOURCE = Path(__file__).resolve().parent.parent / "examples.ipynb"
TIMEOUT = 120  # seconds that a cell may take


def main(target: Path) -> None:
    """Run all cells with this Python, in a folder of their own, and write the result."""
    notebook = nbformat.read(SOURCE, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=TIMEOUT, resources=resources, record_timing=False
        ).execute()
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE)
