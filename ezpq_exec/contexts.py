"""Context variables of jobs: each job has its own context, and finds in it what it asked for.

What a job sets there, no other job sees. A context variable does not pickle, and does not know its
own importable name. So it is sent as the name of the module of which it is an attribute, and the
attribute's name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any

from . import packing

__all__ = ["Within", "home_of", "own_copy"]

_NOT_IMPORTABLE = {"__main__", "__mp_main__"}
_homes: dict[ContextVar[Any], tuple[str, str]] = {}


def own_copy(context: Context | None = None, default: Context | None = None) -> Context:
    """A copy of `context`, or of the caller's, for one job.

    What it does not have it has from `default`. A copy would share the one object by which
    `decimal` is set, so that is copied, too.
    """
    own = copy_context() if context is None else context.copy()
    if default is not None:
        for variable, value in default.items():
            if variable not in own:
                own.run(variable.set, value)
    decimal = sys.modules.get("decimal") if len(own) else None
    if decimal is not None:
        own.run(decimal.setcontext, own.run(decimal.getcontext).copy())
    return own


def home_of(variable: ContextVar[Any]) -> tuple[str, str]:
    """The module of which `variable` is an attribute, and under which name.

    Raises:
        ValueError: there is none that a worker could import.

    >>> home_of(ContextVar("lost"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: context: <ContextVar name='lost' at 0x...> is no attribute of a module ...
    """
    home = _homes.get(variable)
    if home is None or not _is_at(variable, home):
        home = _homes[variable] = _find(variable)
    return home


def _is_at(variable: ContextVar[Any], home: tuple[str, str]) -> bool:
    return getattr(sys.modules.get(home[0]), home[1], None) is variable


def _find(variable: ContextVar[Any]) -> tuple[str, str]:
    for module_name, module in list(sys.modules.items()):
        if module_name not in _NOT_IMPORTABLE:  # what is in there need not be a module
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if value is variable:
                    return module_name, name
    raise ValueError(
        f"context: {variable!r} is no attribute of a module that a worker could import; define it "
        "at the top of one, which __main__ is not"
    )


class Within:
    """A function that is called in a context of its own, with the values that variables have now.

    Raises:
        TypeError: one of the values does not pickle.
    """

    def __init__(self, variables: Iterable[ContextVar[Any]], function: Callable[..., Any]) -> None:
        now = copy_context()
        self._function = function
        self._values = [(*home_of(each), _pack(each)) for each in variables if each in now]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        context = copy_context()
        for module, name, packed in self._values:
            variable = getattr(importlib.import_module(module), name)
            context.run(variable.set, packing.unpack(packed))
        return context.run(self._function, *args, **kwargs)


def _pack(variable: ContextVar[Any]) -> bytes:
    try:
        return packing.pack(variable.get())
    except Exception as failure:
        raise TypeError(
            f"the value of the context variable {variable.name!r} cannot be carried: {failure}"
        ) from failure
