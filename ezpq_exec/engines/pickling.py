"""What engines share whose workers are processes: calls go to them as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import packing
from ..jobs import Call
from .base import Engine

__all__ = ["PicklingEngine"]


class PicklingEngine(Engine):
    """Packs calls by pickling."""

    def pack(self, call: Call, packed_function: Any = None) -> Any:
        """See `Engine.pack`."""
        return packing.pack_call(call, packed_function)

    def pack_function(self, function: Callable[..., Any]) -> Any:
        """See `Engine.pack_function`."""
        return packing.pack(function)
