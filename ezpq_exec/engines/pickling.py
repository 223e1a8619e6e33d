"""What engines share whose workers are processes: calls go to them as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import packing
from ..jobs import Call
from . import loglevels
from .base import Engine, Setup

__all__ = ["PicklingEngine"]


class PicklingEngine(Engine):
    """Packs calls by pickling."""

    _setup: Setup

    def _levels(self) -> loglevels.Levels | None:
        """What a new worker is to log; None if it is not to send that."""
        if self._setup.relays_logs is False:
            return None
        return self._setup.levels or loglevels.levels()

    def pack(self, call: Call, packed_function: Any = None) -> Any:
        """See `Engine.pack`."""
        return packing.pack_call(call, packed_function)

    def pack_function(self, function: Callable[..., Any]) -> Any:
        """See `Engine.pack_function`."""
        return packing.pack(function)
