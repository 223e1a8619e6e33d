"""Where jobs run: worker processes, threads, other executors, or the workers of a Dask cluster."""

from __future__ import annotations

import sys

__all__ = ["close_leftovers"]


def close_leftovers() -> None:
    """End what engines keep for the whole program, where any did."""
    roots = sys.modules.get(f"{__name__}.roots")
    if roots is not None:
        roots.close_shared()
