"""Context variables, and jobs that look at them, for workers to import by name."""

from __future__ import annotations

import decimal
import os
import warnings
from contextvars import ContextVar
from typing import Any

from gates import hold
from workload import WillNotPickle

request: ContextVar[Any] = ContextVar("request", default="none")
user: ContextVar[Any] = ContextVar("user", default="nobody")


class Told(Exception):
    """So that it is tried again."""


def seen() -> tuple[Any, Any]:
    return request.get(), user.get()


def change(value: Any) -> Any:
    """What was there before; now it is `value`."""
    before = request.get()
    request.set(value)
    return before


def change_and_hold(gate: str, value: Any) -> Any:
    request.set(value)
    hold(gate)
    return request.get()


def change_once(path: str) -> Any:
    """The first attempt changes it, the second says what it finds."""
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8"):
            request.set("changed")
        raise Told
    return request.get()


def precision(new: int) -> int:
    """What it was before."""
    before = decimal.getcontext().prec
    decimal.getcontext().prec = new
    return before


def set_up(value: Any, digits: int) -> None:
    user.set(value)
    decimal.getcontext().prec = digits


def leave_traces(path: str) -> None:
    """All that a process is, as far as a job can easily change it."""
    os.chdir(path)
    os.environ["LEFT_BEHIND"] = path
    warnings.simplefilter("error")
    request.set("left behind")
    globals()["request_count"] = 1


def traces() -> list[Any]:
    return [
        os.getcwd(),
        os.environ.get("LEFT_BEHIND"),
        warnings.filters[0][0] == "error",
        request.get(),
        globals().get("request_count"),
    ]


__all__ = ["WillNotPickle"]
