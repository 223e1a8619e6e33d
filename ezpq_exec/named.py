"""Functions that pickle by name: each is pickled once, and looked up once, for all its calls.

Pickle looks a function up by its module and name for each call, on both sides. Here that is done
again only if the name has come to stand for another object, so the outcome is the same.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

__all__ = ["load", "packed"]

MOST = 64  # functions that are remembered; when there are more, all are forgotten

_packed: dict[Any, bytes] = {}  # where calls are submitted: the pickle of each function
_loaded: dict[bytes, Any] = {}  # in a worker: the function of each pickle


def packed(function: Callable[..., Any], protocol: int) -> bytes | None:
    """The pickle of `function`, if it is one that goes by name.

    >>> import os.path
    >>> pickle.loads(packed(os.path.join, 5)) is os.path.join, packed(lambda: None, 5)
    (True, None)
    """
    if not _goes_by_name(function):
        return None
    data = _packed.get(function)
    if data is None:
        data = pickle.dumps(function, protocol)
        if len(_packed) >= MOST:
            _packed.clear()
        _packed[function] = data
    return data


def load(data: bytes) -> Any:
    """What `data` is the pickle of.

    >>> load(pickle.dumps(max)) is load(pickle.dumps(max)) is max
    True
    """
    function = _loaded.get(data)
    if function is None or not _goes_by_name(function):
        function = pickle.loads(data)  # noqa: S301 - a part of a call
        if _goes_by_name(function) and pickle.dumps(function, data[1]) == data:  # by this name
            if len(_loaded) >= MOST:
                _loaded.clear()
            _loaded[data] = function
    return function


def _goes_by_name(function: Any) -> bool:
    """Whether its module has it under its name. In `__main__` this does not count."""
    if type(function) is not FunctionType and type(function) is not BuiltinFunctionType:
        return False
    name = function.__module__
    if type(name) is not str or name == "__main__":
        return False
    return getattr(sys.modules.get(name), function.__qualname__, None) is function
