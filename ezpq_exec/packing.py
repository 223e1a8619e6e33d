"""Calls and outcomes as bytes: plain pickle where it can, cloudpickle where it must.

Plain pickle runs at C speed and carries functions and classes by name. It cannot carry what has no
importable name: lambdas, closures, and all that lives in `__main__`, which in a worker is another
module. Those go by cloudpickle, by value.
"""

from __future__ import annotations

import functools
import io
import pickle
import re
import struct
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from . import named
from .excerpt import shown
from .history import explain, traceback_of
from .naming import class_name

if TYPE_CHECKING:
    from .jobs import Call

__all__ = [
    "LATER",
    "Keep",
    "goes_by_value",
    "is_quick",
    "load_call",
    "names_nothing",
    "pack",
    "pack_call",
    "pack_error",
    "unpack",
    "unpack_at_once",
    "unpack_error",
    "unpack_result",
    "without_our_frame",
]

PROTOCOL = 5
QUICK_SIZE = 64 * 1024
_BY_VALUE = "cloudpickle.cloudpickle"  # the module that all by value names
_find_by_value = re.compile(_BY_VALUE.encode()).search
# What goes before two pickles: a one if there are no keyword arguments, else a zero, which no pickle
# begins with; and the length of the first.
_TWO = struct.Struct("<BQ")
_NO_ARGUMENTS = pickle.dumps((), PROTOCOL)
_NONE = pickle.dumps(None, PROTOCOL)
_BARE = frozenset((bool, int, float, str))  # what has no buffers, and names nothing

# The pickle opcodes that name a class or function: STACK_GLOBAL and EXT1, EXT2, EXT4. Protocol 5
# writes no other such opcode. Without them, unpickling runs no code but pickle's own.
_NAMING = "\x93\x82\x83\x84"
_NAMES_SOMETHING = re.compile(b"[%b]" % _NAMING.encode("latin-1")).search
_CODES = [code.encode("latin-1") for code in _NAMING]
LATER = object()  # what would take its time, or may run a user's code
FEW = 64  # bytes: a pickle that is no longer is worth a closer look


class Keep(Protocol):
    """Decides, for each buffer that pickle could leave out, whether pickle is to include it."""

    def __call__(self, buffer: pickle.PickleBuffer, /) -> object:
        """False: pickle leaves it out, and this object keeps it. True: it is in the pickle."""

    def clear(self) -> None:
        """Forget all buffers: pickling begins again, by cloudpickle."""


def pack(value: object, keep: Keep | None = None) -> bytes:
    """`value` as bytes.

    Args:
        keep: asked of each buffer that can be left out; it holds those that are.

    Raises:
        Exception: whatever cloudpickle, or the object's own code, raises.

    >>> unpack(pack(lambda: 42))()
    42
    """
    if value is None:
        return _NONE
    if type(value) in _BARE:
        return pickle.dumps(value, PROTOCOL)
    try:
        packed = pickle.dumps(value, PROTOCOL, buffer_callback=keep)
    except Exception:
        return _pack_by_value(value, keep)
    return _pack_by_value(value, keep) if b"__main__" in packed else packed


_goes_by_value = False


def goes_by_value() -> bool:
    """Whether anything has come or gone by value so far, which takes cloudpickle."""
    return _goes_by_value


def _pack_by_value(value: object, keep: Keep | None) -> bytes:
    global _goes_by_value
    import cloudpickle

    _goes_by_value = True
    if keep is not None:
        keep.clear()
    by_value: bytes = cloudpickle.dumps(value, PROTOCOL, keep)
    return by_value


def pack_call(call: Call, packed_function: bytes | None, keep: Keep | None = None) -> bytes:
    """A call as bytes, for `load_call`; with its function packed already, if that is at hand."""
    function, args, kwargs = call
    if packed_function is None:
        packed_function = named.packed(function, PROTOCOL)
        if packed_function is None:
            return pack((function, args, dict(kwargs)), keep)
    if kwargs:
        rest = pack((args, dict(kwargs)), keep)
    else:
        rest = pack(args, keep) if args else _NO_ARGUMENTS
    return b"".join((_TWO.pack(not kwargs, len(packed_function)), packed_function, rest))


def unpack(packed: bytes | bytearray | memoryview) -> Any:
    """What `pack` was given, or a copy of it."""
    return pickle.loads(packed)


def unpack_at_once(packed: bytes | bytearray | memoryview) -> Any:
    """As `unpack`, if that `is_quick`; `LATER` if it is not.

    >>> unpack_at_once(pack([1, "two"])), unpack_at_once(pack(ValueError("no"))) is LATER
    ([1, 'two'], True)
    """
    if packed == _NONE:
        return None
    return pickle.loads(packed) if is_quick(packed) else LATER


def unpack_result(
    packed: bytes | bytearray | memoryview, buffers: Sequence[memoryview] = ()
) -> Any:
    """As `unpack`, but the program's own classes stay as they are.

    Args:
        buffers: what was left out when it was packed.

    A class of `__main__` comes back from a worker by value, and cloudpickle, which finds that it is
    the program's own, would set all its attributes anew, to copies.
    """
    if _find_by_value(packed) is None:
        return pickle.loads(packed, buffers=buffers)
    return _Homecoming(io.BytesIO(packed), buffers=buffers).load()


class _Homecoming(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler.find_class`."""
        global _goes_by_value
        if module == _BY_VALUE:  # a worker needs it to pack the next such, too
            _goes_by_value = True
        found = super().find_class(module, name)
        # Read in cloudpickle 3.0 to 3.1: how a class that comes by value gets its attributes.
        if name == "_class_setstate" and module == _BY_VALUE:
            return functools.partial(_set_state_of_strangers, found)
        return found


def _set_state_of_strangers(set_state: Callable[..., Any], cls: type, state: Any) -> Any:
    home: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        home = getattr(home, name, None)
    return cls if home is cls else set_state(cls, state)


def is_quick(packed: bytes | bytearray | memoryview) -> bool:
    """Whether unpacking is sure to run no user's code, and to be over at once.

    >>> is_quick(pack([1, "two", {"three": 3.0}])), is_quick(pack(ValueError("no")))
    (True, False)
    """
    return len(packed) <= QUICK_SIZE and names_nothing(packed)


def names_nothing(packed: bytes | bytearray | memoryview) -> bool:
    """Whether it is sure to name no class or function; then whoever unpacks it cannot fail.

    >>> names_nothing(pack([1, "two"])), names_nothing(pack([ValueError("no")]))
    (True, False)
    """
    # For each byte, the expression takes a hundred times as long as looking for one code after another.
    if len(packed) > FEW and not isinstance(packed, memoryview):
        return not any(code in packed for code in _CODES)
    if _NAMES_SOMETHING(packed) is None:
        return True
    return len(packed) <= FEW and not _has_opcode_that_names(packed)


def _has_opcode_that_names(packed: bytes | bytearray | memoryview) -> bool:
    """The exact answer: the expression also finds such bytes within numbers and texts."""
    import pickletools  # here, since few programs need it

    return any(opcode.code in _NAMING for opcode, _, _ in pickletools.genops(bytes(packed)))


def load_call(
    packed: bytes | bytearray | memoryview, buffers: Sequence[memoryview] = ()
) -> tuple[Any, Any, Any]:
    """Function, args and kwargs of a call that was packed; `buffers`: what was left out of it."""
    if packed[0] > 1:  # it is a single pickle
        function, args, kwargs = pickle.loads(packed, buffers=buffers)
        return function, args, kwargs
    end = _TWO.size + _TWO.unpack_from(packed)[1]
    function = named.load(bytes(packed[_TWO.size : end]))
    rest = packed[end:]
    if rest == _NO_ARGUMENTS:
        return function, (), {}
    if packed[0]:
        return function, pickle.loads(rest, buffers=buffers), {}
    args, kwargs = pickle.loads(rest, buffers=buffers)
    return function, args, kwargs


def without_our_frame(error: BaseException) -> BaseException:
    """`error`, less the first frame of its traceback: that of our function which caught it.

    The frame is of no use to anybody who reads the traceback, and would keep the error alive.
    """
    trace = traceback_of(error)
    if trace is not None and trace.tb_next is not None:  # not set: a frozen dataclass refuses that
        BaseException.with_traceback(error, trace.tb_next)
    return error


def pack_error(error: BaseException) -> bytes:
    """An exception as bytes, whatever it is made of; never raises anything."""
    name = class_name(type(error))
    try:
        text = "".join((str(error),))  # a str, though it may have been something derived
    except BaseException:  # the user's code, which may raise what it likes
        text = "<its str() raised>"
    try:
        carried = pack(error)
    except BaseException:  # the same
        carried = None
    return pickle.dumps((carried, name, text, _story(error, name, text)), PROTOCOL)


def _story(error: BaseException, name: str, text: str) -> str:
    """What a traceback shows of it, and of those before it."""
    import traceback

    trace = traceback_of(error)
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # the user's class, whose notes, say, raise
        places = "".join(traceback.format_tb(trace))
        return f"Traceback (most recent call last):\n{places}{name}: {text}\n"


def unpack_error(packed: bytes | bytearray | memoryview) -> BaseException:
    """The exception that `pack_error` was given, with the remote traceback as its cause.

    One that cannot be rebuilt comes as a RemoteError that says all that is known of it.
    """
    # Read in CPython 3.10 to 3.14: an exception whose text is that of a traceback, made to be
    # another's cause. Users and tools know it from the stdlib's pools by this name.
    from concurrent.futures.process import _RemoteTraceback

    from .errors import RemoteError

    carried, name, text, trace = pickle.loads(packed)
    why = "it does not pickle"
    error: object = None
    if carried is not None:
        try:
            error = unpack_result(carried)
        except BaseException as failure:  # the user's class, which may raise what it likes
            if isinstance(failure, KeyboardInterrupt):  # whoever asks for it is to hear that
                raise
            why = f"it does not unpickle: {shown(failure)}"
    if not isinstance(error, BaseException):
        message = f"{name}: {text} (the exception itself could not be carried over: {why})"
        error = RemoteError(message, type_name=name, text=text, traceback=trace)
    explain(error, _RemoteTraceback(f'\n"""\n{trace}"""'))  # type: ignore[arg-type]
    return error
