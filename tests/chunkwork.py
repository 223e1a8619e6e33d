"""Calls that are made many at a time, with one that is bad. Workers import this, and no test."""

from __future__ import annotations

from workload import WillNotPickle, WillNotUnpickle

BAD = 300  # where the bad item is: beyond the first chunks, which are of single items


def reciprocal(number: int) -> float:
    return 1 / number


def note(folder: str, number: int) -> int:
    """Leave a file that says that it ran, which a second run would find."""
    with open(f"{folder}/{number}", "x"):
        pass
    if number == BAD:
        raise LookupError("the bad one")
    return number


def bad_result(number: int) -> object:
    return WillNotPickle() if number == BAD else number


def result_that_does_not_arrive(number: int) -> object:
    return WillNotUnpickle() if number == BAD else number


def raise_stop(number: int) -> int:
    if number == BAD:
        raise StopIteration
    return number
