"""`@Queue()`: a function of one item becomes one of many items, with a job for each.

After the decoration, the function's name stands for the decorated object, so plain pickle, which
sends a name, would send that object. If the name can be imported, it is sent all the same, and the
worker unwraps what it finds. Otherwise (in `__main__` or a notebook) the function is sent by value.
The workers stay from one call to the next.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .checks import check_callable

if TYPE_CHECKING:
    from .queue import Queue

__all__ = ["Parallel"]

_ITEMS = ("iterable", "items")  # what 0.2 and 0.1 call them


class Parallel:
    """What a function becomes that is decorated with a `Queue`.

    Each call has its own jobs, with ids from 1 on, and may be made from any thread. `queue` is the
    queue that it was decorated with, whose workers run them: `queue.dispose()` ends those.

    >>> from ezpq_exec import Queue
    >>> @Queue(2)
    ... def power(x, y=2):
    ...     return x**y
    >>> [job["output"] for job in power([1, 2, 3])]
    [1, 4, 9]
    >>> [job["output"] for job in power(items=[1, 2, 3], y=3)]
    [1, 8, 27]
    >>> power.queue.dispose()
    """

    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., Any], queue: Queue) -> None:
        check_callable(function)
        functools.update_wrapper(self, function)
        self.queue = queue

    def __call__(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Run a job for each item of the first argument, wait, and collect.

        Args:
            args: the items (`iterable` or `items`, if named), then more arguments for each job.
            kwargs: keyword arguments for each job.

        Returns:
            The jobs' dicts, in the order of the items.
        """
        items, rest = _split(self.__wrapped__, args, kwargs)
        with self.queue.lend() as queue:
            progress = queue.settings.show_progress
            return queue.map(self._travelling(), items, rest, kwargs, show_progress=progress)

    def _travelling(self) -> Callable[..., Any]:
        """The function as it can be sent to another process."""
        function = self.__wrapped__
        if not self.queue.settings.can_kill or not self._has_name():
            return function
        return _Named(function.__module__, function.__qualname__)

    def _has_name(self) -> bool:
        module = getattr(self, "__module__", None)
        name = getattr(self, "__qualname__", None)
        if not module or not name or module == "__main__":
            return False
        try:
            return _find(module, name) is self
        except (ImportError, AttributeError):
            return False

    def __reduce__(self) -> Any:
        if self._has_name():
            return _find, (self.__module__, self.__qualname__)
        return _itself, (self.__wrapped__,)  # a worker has no use for its queue


class _Named:
    """A decorated function, by its name. Where it is called, the name is looked up."""

    def __init__(self, module: str, qualname: str) -> None:
        self.module = module
        self.__qualname__ = qualname
        self.__name__ = qualname.rpartition(".")[2]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _find(self.module, self.__qualname__).__wrapped__(*args, **kwargs)


def _find(module: str, qualname: str) -> Any:
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def _itself(function: Any) -> Any:
    return function


def _split(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Iterable[Any], list[Any]]:
    """The items, which are taken out of `kwargs` if they are there, and the other arguments."""
    if args:
        return args[0], list(args[1:])
    for name in _ITEMS:
        if name in kwargs:
            return kwargs.pop(name), []
    name = getattr(function, "__name__", "the decorated function")
    raise TypeError(f"{name}() needs the items to work on, as its first argument or as iterable=…")
