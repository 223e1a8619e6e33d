"""In a worker: sends log records and warnings to the parent.

It is a handler of the root logger, until a job configures logging in the worker. A fork of the
worker has no channel; there, logging works as if this handler did not exist.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .channel import Kind
from .loglevels import Levels, adopt
from .wire import Wire

__all__ = ["LONGEST", "send_logs"]

LONGEST = 32 * 1024  # characters of a message, a traceback or an attribute; the rest is cut off

_STANDARD = frozenset(vars(logging.makeLogRecord({})))
_NOT_CARRIED = {"args", "exc_info", "message", "asctime"}  # all are in the text
_PLAIN = (str, int, float, type(None))
_traces = logging.Formatter()


def send_logs(wire: Wire, theirs: Levels) -> None:
    """Have this process's log records and warnings sent by `wire`, at the parent's levels."""
    adopt(theirs)
    relay = _Relay(wire)
    logging.getLogger().addHandler(relay)
    _yield_to_configuration(relay)
    warnings.showwarning = functools.partial(_show, wire, os.getpid(), warnings.showwarning)


class _Relay(logging.Handler):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self._pid = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if os.getpid() != self._pid:  # frames of two processes would mix on one stream
            last = logging.lastResort
            if last is not None and record.levelno >= last.level:
                last.handle(record)
            return
        try:
            body = _pack(record)
        except Exception:  # the message does not fit its arguments, for instance
            self.handleError(record)
            return
        self._wire.tell(Kind.LOGGED, body)


def _yield_to_configuration(relay: logging.Handler) -> None:
    """Have `basicConfig`, which does nothing where there is a handler, not count that one.

    `dictConfig` and `fileConfig` take the handlers away by themselves. The functions of `logging`
    that call it unasked do so only where there is no handler. Read in CPython 3.10 to 3.14.
    """
    configure = logging.basicConfig

    @functools.wraps(configure)
    def basic_config(**options: Any) -> None:
        if logging.getLogger().handlers == [relay]:
            logging.getLogger().removeHandler(relay)
        configure(**options)

    vars(logging)["basicConfig"] = basic_config


def _pack(record: logging.LogRecord) -> bytes:
    """A record as bytes: all that is needed to format it, and the attributes that were added to it."""
    fields: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in vars(record).items():
        if name in _NOT_CARRIED:
            continue
        is_plain = name in _STANDARD and type(value) in _PLAIN
        (fields if is_plain else others)[name] = value
    fields["msg"] = _short(record.getMessage())
    trace = record.exc_text
    if not trace and record.exc_info:
        trace = _traces.formatException(record.exc_info)
    fields["exc_text"] = _short(trace) if trace else None
    if record.stack_info:
        fields["stack_info"] = _short(record.stack_info)
    others.pop("msg", None)
    return pickle.dumps((fields, _pack_others(others) if others else b""), pickle.HIGHEST_PROTOCOL)


def _pack_others(others: dict[str, Any]) -> bytes:
    return pickle.dumps({name: _carried(value) for name, value in others.items()})


def _carried(value: object) -> bytes | str:
    """A value packed, if it can be, else as text."""
    try:
        packed = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # the user's object, which may not pickle
        return _short(_text(value))
    return packed if len(packed) <= LONGEST else _short(_text(value))


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception as failure:  # the user's code
        return f"<its repr() raised {type(failure).__name__}>"


def _short(text: str) -> str:
    text = str.__str__(text)  # a str, though it may have been something derived
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}… ({len(text) - LONGEST} more characters)"


def _show(
    wire: Wire,
    owner: int,
    show: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """See `warnings.showwarning`."""
    if file is not None or os.getpid() != owner:
        show(message, category, filename, lineno, file, line)
        return
    standard = next(kind for kind in category.__mro__ if kind.__module__ == "builtins")
    kinds = category.__module__, category.__qualname__, standard.__name__
    text = _short(str(message))
    where = filename, lineno, _module_at(filename, lineno)
    wire.tell(Kind.WARNED, pickle.dumps((text, kinds, where)))


def _module_at(filename: str, lineno: int) -> str | None:
    """The name of the module in which a warning is being issued there; None if that is not known."""
    frame = sys._getframe(1)  # noqa: SLF001 - documented, in spite of its name
    while frame is not None:
        if frame.f_code.co_filename == filename and frame.f_lineno == lineno:
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
