"""Optional packages: imported on first use. If one is missing, the error says what to install."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load"]


def load(module: str, *, extra: str, purpose: str) -> Any:
    """Import and return `module`.

    Args:
        module: its full name.
        extra: which of this package's extras brings it.
        purpose: what needs it, for the error.

    Raises:
        ImportError: it is not installed; the text says what to install.

    >>> load("no_such_package", extra="plot", purpose="Plot")
    Traceback (most recent call last):
        ...
    ImportError: Plot needs no_such_package, which is not installed: pip install ezpq_exec[plot]
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise  # it is there, and lacks something itself
        raise ImportError(
            f"{purpose} needs {package}, which is not installed: pip install ezpq_exec[{extra}]",
            name=package,
        ) from error
    return importlib.import_module(module)
