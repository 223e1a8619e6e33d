"""What the tests of queues have run, importable by workers: decorated functions are among it."""

from __future__ import annotations

import os
from multiprocessing import Process
from threading import Thread
from typing import Any, NoReturn

import ezpq_exec as ezpq

CALLS: list[int] = []  # of this process


@ezpq.Queue(2)
def decorated(x: int, low: int = 0, high: int = 1) -> list[int]:
    """A decorated function of a module."""
    CALLS.append(x)
    return [x, low, high]


@ezpq.Queue(n_workers=2, job_runner=Thread)
def in_threads(x: int) -> tuple[int, int]:
    return x, os.getpid()


@ezpq.Queue(n_workers=2, job_runner=Process)
def own_items(x: int, items: list[int]) -> list[int]:
    return [x, *items]


def same(x: Any) -> Any:
    return x


def fail(text: str = "no") -> NoReturn:
    raise ValueError(text)


class Unprintable:
    """Its repr raises; it is not text in any way."""

    def __repr__(self) -> str:
        raise KeyboardInterrupt("its repr")


class Grumpy(Exception):
    """Its text raises."""

    def __str__(self) -> str:
        raise SystemExit(3)


def grumble() -> NoReturn:
    raise Grumpy


def unprintable() -> Unprintable:
    return Unprintable()
