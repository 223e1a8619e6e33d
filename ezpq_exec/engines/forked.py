"""A fork of a worker, made by a job, that comes back from the job: it ends there.

Its original comes back as well, and answers. Two of them would answer, and take jobs, for one.
"""

from __future__ import annotations

import os
import sys

from .. import packing
from .outlet import flush

__all__ = ["end_fork", "mind_forks"]

_is_fork = False


def mind_forks() -> None:
    """From now on, forks of this process are to know that they are."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note)


def _note() -> None:
    global _is_fork
    _is_fork = True


def end_fork(packed_error: object) -> None:
    """If this process is one, end it as a program: with `sys.exit`'s code, or after an error with 1.

    Args:
        packed_error: what the job has raised, by `packing.pack_error`; else None.
    """
    if not _is_fork:
        return
    code = 0
    if isinstance(packed_error, bytes):
        code = _code_of(packing.unpack_error(packed_error))
    flush()
    os._exit(code)


def _code_of(error: BaseException) -> int:
    if not isinstance(error, SystemExit):
        print(error.__cause__, file=sys.stderr)  # noqa: T201 - the traceback, as at a program's end
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201 - as `sys.exit` does
    return 1
