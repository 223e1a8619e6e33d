"""Builds the site from the pages above: `python docs/site/build.py [folder]`.

It needs the extra `docs`. Without a folder, a new temporary one is used. Anything amiss, such as a
link to nowhere, is an error, and nothing is written into the repository.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(folder: Path) -> int:
    """Build the site into `folder`; return Sphinx' exit code."""
    strict = ["--fail-on-warning", "--keep-going", "--quiet"]
    with tempfile.TemporaryDirectory() as cache:
        places = ["--conf-dir", HERE, "--doctree-dir", cache, HERE.parent, folder]
        command = [sys.executable, "-B", "-m", "sphinx", "build", *strict, *map(str, places)]
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - no shell
    if code == 0:
        print(folder / "index.html")  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).resolve()))
