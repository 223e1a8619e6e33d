"""How deep this process is in workers of workers, and that there is an end to it.

A module that makes an executor when it is imported, and has it run a function of the module's own,
is imported by the worker, which makes an executor in its turn, and so on.
"""

from __future__ import annotations

__all__ = ["DEEPEST", "check_depth", "depth", "descend"]

DEEPEST = 10  # as with loky

_depth = 0


def depth() -> int:
    """How many workers this process is within: 0 in a program."""
    return _depth


def descend(to: int) -> None:
    """This process is a worker, or what workers come of; `to`: how deep it is."""
    global _depth
    _depth = to


def check_depth() -> None:
    """Raise RecursionError where no more workers are to be started."""
    if _depth >= DEEPEST:
        raise RecursionError(
            f"this is a job of an executor in a job of an executor …, {_depth} deep. Perhaps a module "
            "makes an executor when it is imported, which its workers do, too: make it in a function, "
            "or below `if __name__ == '__main__':`"
        )
