"""The worker's side of shared memory: opens calls that came as parcels, packs and sends results."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

from .. import packing
from .arrivals import Arrival, receive
from .channel import Frame
from .mappings import Mode
from .parcels import LARGE, Kept, Packer, Parcel
from .segments import Pool
from .shared import forget

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Counter"]

_MOST_KEPT = 4  # segments, lent ones included
_MOST_BYTES = 128 * 1024 * 1024
_NOTHING_KNOWN: set[int] = set()  # results refer to no shared objects


class Counter:
    """Where parcels are handed in and out."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pool = Pool(_MOST_KEPT, _MOST_BYTES, most_lent=2**62)
        self._packer = Packer(self._pool)
        self._kept = Kept()

    def next(self) -> Iterator[Frame]:
        """The parcel that was announced, which is kept by none but whoever takes it."""
        with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
            yield receive(self._sock)

    def open(self, arrival: Arrival) -> tuple[Any, Any, Any]:
        """Function, args and kwargs of a call that came as a parcel."""
        call: tuple[Any, Any, Any] = arrival.open(packing.load_call, Mode.OWN)
        self._packer.call = arrival.memory
        return call

    def pack(self, value: object) -> bytes | Parcel:
        """A result, as it is to be sent.

        Raises:
            Exception: it cannot be pickled, or there is no memory for it.
        """
        kept = self._kept
        packed = packing.pack(value, kept)
        if not kept and len(packed) < LARGE:
            self._packer.call = None
            return packed
        try:
            parcel = self._packer.pack(packed, kept)
        finally:
            self.clear()
        if parcel is None:
            return packing.pack(value)
        return parcel

    def clear(self) -> None:
        """The job in hand is over."""
        self._packer.call = None
        self._kept.clear()

    def seal(self, parcel: Parcel) -> Parcel:
        """See `Packer.seal`."""
        self._packer.seal(parcel)
        return parcel

    def send(self, parcel: Parcel, head: bytes) -> None:
        """Send it; word of it is to go by the stream, where it has its turn.

        Raises:
            OSError: the parent is gone, or there are too many descriptors on their way.
        """
        parcel.send(self._sock, head, _NOTHING_KNOWN)

    def tidy(self, order: bytes) -> None:
        """Let go of shared objects that are gone; and if large jobs have become rare, of all else."""
        numbers, is_idle = packing.unpack(order)
        for number in numbers:
            forget(number)
        if is_idle:
            self._pool.rest()
