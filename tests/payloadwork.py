"""Jobs with large arguments and results, which a worker imports by name."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

import numpy as np

from gates import hold, say

KEPT: list[Any] = []


def double(array: Any) -> Any:
    """A new array."""
    return array * 2


def double_in_place(array: Any) -> Any:
    """The same one, changed."""
    array *= 2
    return array


def keep_and_return(array: Any) -> Any:
    """What is returned here goes on changing there: see `change_kept`."""
    KEPT.append(array)
    return array


def change_kept() -> int:
    for array in KEPT:
        array[...] = -1
    return len(KEPT)


def sum_of_kept() -> list[float]:
    return [float(array.sum()) for array in KEPT]


def zeros(size: int) -> Any:
    return np.zeros(size, dtype=np.uint8)


def describe(value: Any) -> tuple[str, int, bool]:
    """What kind it is, its sum, and whether it can be written to."""
    array = np.asarray(value)
    return type(value).__name__, int(array.sum()), bool(array.flags.writeable)


def fail_once(array: Any, mark: str) -> float:
    """Change the argument and fail, the first time."""
    total = float(array.sum())
    if not os.path.exists(mark):
        with open(mark, "w"):
            pass
        array[...] = 0
        raise KeyError(total)
    return total


def first_of(array: Any, gate: str) -> float:
    hold(gate)
    return float(array[0])


def fork_and_return(array: Any, gate: str) -> int:
    """Leave a child behind which looks at the argument when it may."""
    child = os.fork()
    if child == 0:
        hold(gate, "child")
        say(gate, float(array.sum()))
        os._exit(0)
    return child


def identity_of(value: Any) -> tuple[int, int]:
    return os.getpid(), id(value)


def write_to(array: Any) -> None:
    array[0] = 1


def nested(value: Any) -> list[Any]:
    """What is in there."""
    return [type(value["list"][0]).__name__, float(value["list"][0].sum()), value["pair"][1]]


def memory_maps() -> int:
    """How many of this process's mappings are segments of ours."""
    with open("/proc/self/maps") as maps:
        return sum("ezpq_exec-segment" in line for line in maps)


def segments_open() -> int:
    """How many descriptors of segments this process has."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += "ezpq_exec-segment" in os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return count


def held() -> tuple[int, int]:
    return memory_maps(), segments_open()


def limit_files(most: int) -> None:
    """From now on, files of this process may have so many bytes at most."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def limit_descriptors(more: int) -> None:
    """From now on, this process may open so many descriptors more."""
    import resource

    last = max(map(int, os.listdir("/proc/self/fd")))
    for _ in range(last):  # so that there are no gaps below
        KEPT.append(os.open(os.devnull, os.O_RDONLY))
    now = max(map(int, os.listdir("/proc/self/fd")))  # that of the listing, which is free again
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (now + more, hard))


class Heavy:
    """Hands its memory over by pickle's protocol 5."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Heavy, (pickle.PickleBuffer(self.data),)

    def total(self) -> int:
        return sum(memoryview(self.data)[:10])


def total(heavy: Heavy) -> int:
    return heavy.total()


def size_of(value: Any) -> int:
    return len(value)


def is_loaded(name: str) -> bool:
    return name in sys.modules


def let_go() -> None:
    """Close a descriptor of `limit_descriptors`."""
    os.close(KEPT.pop())


def keep_at_the_second_try(array: Any, path: str) -> None:
    """Raise ValueError at first; then keep the array for as long as this process lives."""
    if not os.path.exists(path):
        open(path, "x").close()
        raise ValueError("the first try")
    KEPT.append(array)


def kept_range() -> tuple[float, float]:
    """The least and the greatest of what was kept last."""
    return float(KEPT[-1].min()), float(KEPT[-1].max())
