"""What is imported before a fork, so that no worker has to: no more than workers will need.

Each fork is larger by what has been imported before it, and dies later for it when it is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import traceback

from . import logsender

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["expect_by_value", "freeze"]

_PRELOADED = (logsender, traceback)  # else each worker would take 4 ms to import logging
_BY_VALUE = "cloudpickle"


def expect_by_value() -> None:
    """Import what brings functions by value: the program sends such, and it takes a worker 5 ms or more.

    Where that fails, for want of a descriptor say, whoever needs it in a worker will be told.
    """
    if _BY_VALUE not in sys.modules:
        with contextlib.suppress(ImportError, OSError, MemoryError):
            importlib.import_module(_BY_VALUE)
            freeze()


def freeze() -> None:
    """See to it that a collection in a fork does not copy the pages that it shares with this process."""
    gc.collect()
    gc.freeze()
