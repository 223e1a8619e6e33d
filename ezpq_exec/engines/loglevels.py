"""The log levels that the program has set, for its workers to take over."""

from __future__ import annotations

import logging
from typing import NamedTuple

__all__ = ["Levels", "adopt", "levels"]


class Levels(NamedTuple):
    """The levels of one moment.

    `named`: of each logger that has a level of its own, the root's under "root"; `disabled`: the
    loggers that are; `disable`: up to which level all are.
    """

    named: dict[str, int]
    disabled: tuple[str, ...]
    disable: int


def levels() -> Levels:
    """Those of this process."""
    manager = logging.root.manager
    named = {"root": logging.root.level}
    disabled = []
    for name, logger in list(manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):  # else it stands for one that has only children
            if logger.level:
                named[name] = logger.level
            if logger.disabled:
                disabled.append(name)
    return Levels(named, tuple(disabled), manager.disable)


def adopt(theirs: Levels) -> None:
    """Have this process log no more, and no less, than that one."""
    for name, level in theirs.named.items():
        logging.getLogger(name).setLevel(level)
    for name in theirs.disabled:
        logging.getLogger(name).disabled = True
    logging.disable(theirs.disable)
