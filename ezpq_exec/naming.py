"""What people call functions and classes, found without running a line of their code.

The loop asks, which nothing may hold up or break. An object that makes up attributes when it is asked
for them, as mocks and proxies do, has no name of its own here: it goes by its class's.
"""

from __future__ import annotations

import types
from typing import Any

__all__ = ["class_name", "function_name"]

_DEEPEST = 100  # a `functools.partial` of a partial of a …
_PLAIN = types.FunctionType, types.BuiltinFunctionType
_IN_C = types.GetSetDescriptorType, types.MemberDescriptorType
_of_class: Any = vars(type)  # whose descriptors ask no metaclass
_QUALIFIED = "__qualname__", "__name__"


def function_name(function: object, attributes: tuple[str, ...] = _QUALIFIED) -> str:
    """The name by which people know `function`.

    Args:
        function: anything that can be called.
        attributes: where a name may be, the best first.

    >>> import functools
    >>> function_name(len), function_name(str.upper), function_name(functools.partial(sorted, []))
    ('len', 'str.upper', 'sorted')
    """
    named = function
    for _ in range(_DEEPEST):
        if type(named) is types.MethodType:
            named = named.__func__
        for attribute in attributes:
            name = _attribute(named, attribute)
            if issubclass(type(name), str):
                return str.__str__(name)  # though it may be something derived
        inner = _attribute(named, "func")
        if not callable(inner):  # there is none, or it is a property, which is not to be asked
            break
        named = inner
    return _text(_of_class["__name__"].__get__(type(named)))


def class_name(kind: type) -> str:
    """The class's name with its module's.

    >>> class_name(KeyError), class_name(types.SimpleNamespace)
    ('builtins.KeyError', 'types.SimpleNamespace')
    """
    parts = (_of_class[each].__get__(kind) for each in ("__module__", "__qualname__"))
    return ".".join(map(_text, parts))


def _text(name: Any) -> str:
    return str.__str__(name) if issubclass(type(name), str) else "?"


def _attribute(owner: object, name: str) -> Any:
    """What `owner` has under this name, if that is a plain attribute of its own; else None."""
    if type(owner) in _PLAIN:
        return getattr(owner, name, None)
    if issubclass(type(owner), type):
        return _of_class[name].__get__(owner) if name in _QUALIFIED else None
    import inspect  # which few need

    found = inspect.getattr_static(owner, name, None)
    if not issubclass(type(found), _IN_C):
        return found
    try:
        return found.__get__(owner)
    except Exception:  # a slot that is empty
        return None
