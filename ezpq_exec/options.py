"""`Options`: the terms on which jobs run. Each is checked as soon as it is given."""

from __future__ import annotations

import decimal
import fractions
import math
import numbers
from collections.abc import Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any

from .excerpt import shown

__all__ = [
    "DEFAULT_PRIORITY",
    "Options",
    "check_bytes",
    "check_integer",
    "check_priority",
    "check_seconds",
]

DEFAULT_PRIORITY = 100


def check_integer(name: str, value: object, wanted: str = "an integer") -> int:
    """`value` as an int: numpy's are integers, too, and a bool is not. `wanted`: what the error says that it must be.

    Raises:
        TypeError: it is none.

    >>> check_integer("max_size", True, "an integer (0: no limit)")
    Traceback (most recent call last):
        ...
    TypeError: max_size must be an integer (0: no limit), not True
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be {wanted}, not {shown(value)}")
    return int(value)


def check_seconds(name: str, value: object, *, or_none: bool = False) -> float:
    """`value` as a number of seconds, more than 0. `or_none`: what the error says of None.

    Raises:
        TypeError, ValueError: it is no such number.

    >>> check_seconds("start_timeout", 0)
    Traceback (most recent call last):
        ...
    ValueError: start_timeout must be more than 0 seconds, not 0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        wanted = "a number of seconds or None" if or_none else "a number of seconds"
        raise TypeError(f"{name} must be {wanted}, not {shown(value)}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not seconds > 0:
        wanted = "more than 0 seconds (None for no limit)" if or_none else "more than 0 seconds"
        raise ValueError(f"{name} must be {wanted}, not {shown(value)}")
    return seconds


def _limit(name: str, value: object) -> float | None:
    return None if value is None else check_seconds(name, value, or_none=True)


def check_priority(value: object) -> Any:
    """`value` as a number that can rank a job among others, whatever kinds theirs are of.

    It is of a class that we know, since to compare it must not run anybody's code.

    Raises:
        TypeError, ValueError: it is none.

    >>> check_priority(float("nan"))
    Traceback (most recent call last):
        ...
    ValueError: priority must compare with other numbers, which nan does not
    """
    if type(value) is int:
        return value
    if isinstance(value, decimal.Decimal):
        rank: Any = decimal.Decimal(value)
        unordered = rank.is_nan()
    elif isinstance(value, numbers.Integral):
        rank, unordered = int(value), False
    elif isinstance(value, fractions.Fraction):
        rank, unordered = fractions.Fraction(value), False
    elif isinstance(value, numbers.Real):
        rank = float(value)
        unordered = math.isnan(rank)
    else:
        raise TypeError(f"priority must be a real number, not {shown(value)}")
    if unordered:
        raise ValueError(f"priority must compare with other numbers, which {shown(value)} does not")
    return rank


def _retries(value: object) -> int:
    retries = check_integer("retries", value)
    if retries < 0:
        raise ValueError(f"retries must be >= 0, not {shown(value)}")
    return retries


def check_bytes(name: str, value: object) -> int | None:
    """`value` as a number of bytes, None for no limit.

    Raises:
        TypeError, ValueError: it is neither.

    >>> check_bytes("memory_limit", 1.5)
    Traceback (most recent call last):
        ...
    TypeError: memory_limit must be an integer, of bytes, or None, not 1.5
    """
    if value is None:
        return None
    size = check_integer(name, value, "an integer, of bytes, or None")
    if size <= 0:
        raise ValueError(
            f"{name} must be more than 0 bytes (None for no limit), not {shown(value)}"
        )
    return size


def _exceptions(value: object) -> tuple[type[BaseException], ...]:
    kinds = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise TypeError(
                f"retry_on must be an exception class, or a tuple of them, not {shown(value)}"
            )
    return kinds


def _variables(value: object) -> tuple[ContextVar[Any], ...]:
    variables = value if isinstance(value, tuple) else (value,)
    for variable in variables:
        if not isinstance(variable, ContextVar):
            raise TypeError(f"context must be a ContextVar, or a tuple of them, not {shown(value)}")
    return variables


def _name(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"name must be a str or None, not {shown(value)}")
    return value if value is None else str.__str__(value)  # a subclass may have its own ways


def _check_lane(value: object) -> None:
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(f"lane must be hashable, or None, which {shown(value)} is not") from error


@dataclass(frozen=True)
class Options:
    """The terms on which jobs run. One object serves all the jobs submitted on the same terms."""

    priority: Any = DEFAULT_PRIORITY
    timeout: float | None = None
    queue_timeout: float | None = None
    name: str | None = None
    lane: Hashable = None
    stop_on_lane_error: bool = False
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = ()
    memory_limit: int | None = None
    capture: bool = False
    context: tuple[ContextVar[Any], ...] = ()
    # Derived from the others, since they are asked for with each job: whether it may be handed over
    # ahead of its turn, whether to wait means no more than to be in the backlog, and whether the thread
    # that submits it may hand it over.
    may_be_queued: bool = field(init=False, repr=False, compare=False)
    only_waits: bool = field(init=False, repr=False, compare=False)
    is_plain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__  # it is frozen
        put(self, "priority", check_priority(self.priority))
        put(self, "timeout", _limit("timeout", self.timeout))
        put(self, "queue_timeout", _limit("queue_timeout", self.queue_timeout))
        put(self, "name", _name(self.name))
        _check_lane(self.lane)
        if not isinstance(self.stop_on_lane_error, bool):
            text = f"stop_on_lane_error must be True or False, not {shown(self.stop_on_lane_error)}"
            raise TypeError(text)
        if not isinstance(self.capture, bool):
            raise TypeError(f"capture must be True or False, not {shown(self.capture)}")
        put(self, "context", _variables(self.context))
        put(self, "retries", _retries(self.retries))
        put(self, "retry_on", _exceptions(self.retry_on))
        put(self, "memory_limit", check_bytes("memory_limit", self.memory_limit))
        limits = (
            *(self.timeout, self.queue_timeout, self.memory_limit),
            *(self.lane, self.retries or None, self.capture or None),
        )
        put(self, "may_be_queued", all(limit is None for limit in limits))
        put(self, "only_waits", self.lane is None and self.queue_timeout is None)
        is_bare = self.memory_limit is None and not self.capture
        put(self, "is_plain", self.lane is None and is_bare)

    def but(self, changes: Mapping[str, Any]) -> Options:
        """These options with `changes` made; an unknown name raises TypeError."""
        known = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        for name in changes:
            if name not in known:
                raise TypeError(f"unknown option {shown(name)}; the options are {', '.join(known)}")
        return Options(**{**known, **changes})
