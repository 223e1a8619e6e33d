"""Parcels: calls and results whose large parts go by shared memory, and only the rest by a socket.

Arrays, and whatever else hands over its memory by pickle's protocol 5, are copied once, into a
segment, where the reader uses them. A pickle that is itself large goes the same way. Descriptors
are sent with the message, by a socket of their own. If no shared memory is available, all is one
pickle, as usual.
"""

from __future__ import annotations

import errno
import pickle
import socket
import sys
import weakref
from typing import Any, NamedTuple, Union

from .channel import HEADER
from .mappings import Mapping, locate
from .segments import HEAD, Lease, Pool, room_for
from .shared import Block, block_of

__all__ = [
    "LARGE",
    "MOST_BLOCKS",
    "MOST_MESSAGE",
    "OWN",
    "YOURS",
    "Content",
    "Kept",
    "Packer",
    "Parcel",
]

LARGE = 256 * 1024  # bytes from which on a buffer, or a pickle, goes by shared memory
_MOST_KEPT = 1000  # buffers of one parcel; the others are pickled
MOST_BLOCKS = 200  # of them in shared memory already: the kernel takes 253 descriptors a message
_MOST_INLINE = 8 * 1024  # bytes of a pickle that go with the message
MOST_MESSAGE = 128 * 1024

OWN, YOURS = 0, -1  # sources of spans: the parcel's own segment; that of the call it answers


class Span(NamedTuple):
    """Where a buffer is: source, first byte and number of bytes."""

    source: int
    begin: int
    size: int


class Content(NamedTuple):
    """What a parcel's message says.

    `size`: bytes of its own segment, 0 without one. `blocks`: numbers and sizes of the shared
    objects to which spans refer, as sources from 1 on. `news`: those of them whose descriptors come
    with this message. `lasting`: the segment may be read again, so it must not be changed.
    """

    main: Union[bytes, Span]
    spans: list[Span]
    size: int
    lasting: bool
    blocks: list[tuple[int, int]]
    news: list[int]


class Kept(list[pickle.PickleBuffer]):
    """The buffers that pickle leaves out. Pickle calls it with each, and includes it if that is True."""

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """See `packing.Keep`."""
        if len(self) >= _MOST_KEPT:
            return True
        with buffer.raw() as memory:  # not in pieces, which pickle refuses before it asks
            if memory.nbytes < LARGE and block_of(memory) is None:
                return True
        self.append(buffer)
        return False


class Parcel:
    """A call, or a result, as it is to be sent.

    Attributes:
        lease: its own segment, if it has one.
        lasting: it may have to be read a second time.
    """

    def __init__(self) -> None:
        self.main: bytes | Span = b""
        self.spans: list[Span] = []
        self.blocks: list[Block] = []
        self.lease: Lease | None = None
        self.lasting = False
        self._was_sent = False
        # What lies in the segment of the call that this answers: which span, and where.
        self.borrowed: list[tuple[int, Mapping]] = []

    def __len__(self) -> int:
        """A length above what a queue takes, so that it is treated as large."""
        return LARGE + (0 if self.lease is None else self.lease.segment.end)

    def send(self, sock: socket.socket, head: bytes, known: set[int]) -> list[Block]:
        """Send it, as one message; the blocks that the other end did not know before.

        Args:
            head: the header of a frame, whose length is to be set right.
            known: the numbers of the blocks that the other end knows.

        Raises:
            OSError: the other end is gone, or too many descriptors are on their way to it.
        """
        if sys.platform != "linux":  # elsewhere there are none
            raise NotImplementedError
        news = {block.number: block for block in self.blocks if block.number not in known}
        segment = None if self.lease is None else self.lease.segment
        if segment is not None and self._was_sent:
            # Its first reader may say that it is free when its second is not done.
            segment.is_spent = True
        self._was_sent = True
        content = Content(
            self.main,
            self.spans,
            0 if segment is None else segment.end,
            self.lasting,
            [(block.number, block.size) for block in self.blocks],
            list(news),
        )
        message = pickle.dumps(tuple(content))
        fds = [each.fd for each in (segment, *(new.segment for new in news.values())) if each]
        head = HEADER.pack(len(message), *HEADER.unpack(head)[1:])
        socket.send_fds(sock, [head, message], fds)
        return list(news.values())


class Packer:
    """Makes parcels, of segments from its pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        # The memory of the call in hand. What lies there can be given back without a copy.
        self.call: weakref.ref[Any] | None = None

    def pack(self, packed: bytes, kept: Kept) -> Parcel | None:
        """A parcel of a pickle and what it left out; None if there is no shared memory for it.

        Raises:
            OSError: there is no memory left.
        """
        parcel = Parcel()
        copies: list[tuple[int, memoryview]] = []
        blocks: dict[int, int] = {}
        for at, buffer in enumerate(kept):
            memory = buffer.raw()
            block, found = block_of(memory), None if self.call is None else locate(memory)
            if block is not None and len(blocks) < MOST_BLOCKS:
                if block.number not in blocks:
                    parcel.blocks.append(block)
                source = blocks.setdefault(block.number, len(parcel.blocks))
                parcel.spans.append(Span(source, HEAD, memory.nbytes))
            elif found is not None and found[0].memory is self.call:
                parcel.borrowed.append((at, found[0]))
                parcel.spans.append(Span(YOURS, found[1], memory.nbytes))
            else:
                copies.append((at, memory))
                parcel.spans.append(Span(OWN, 0, memory.nbytes))
        if len(packed) > _MOST_INLINE:
            copies.append((-1, memoryview(packed)))
        else:
            parcel.main = packed
        return parcel if self._copy(parcel, copies) else None

    def seal(self, parcel: Parcel) -> None:
        """Copy what it borrows from the call's segment and is still in use. The caller has dropped it.

        Raises:
            OSError: there is no memory, or no descriptor, left.
        """
        copies = []
        for at, mapping in parcel.borrowed:
            memory = mapping.memory()
            if memory is not None:
                _, begin, size = parcel.spans[at]
                copies.append((at, memoryview(memory).cast("B")[begin : begin + size]))
        parcel.borrowed.clear()
        if not self._copy(parcel, copies):
            raise OSError(errno.EMFILE, "too many open files: no shared memory for the result")

    def _copy(self, parcel: Parcel, copies: list[tuple[int, memoryview]]) -> bool:
        """Copy these into the parcel's segment; False if there is none to be had."""
        if not copies:
            return True
        need = sum(room_for(memory.nbytes) for _, memory in copies)
        try:
            if parcel.lease is None:
                parcel.lease = self._pool.take(need)
            if parcel.lease is None:
                return False
            for at, memory in copies:
                begin = parcel.lease.segment.append(memory)
                span = Span(OWN, begin, memory.nbytes)
                if at < 0:
                    parcel.main = span
                else:
                    parcel.spans[at] = span
        except OSError as failure:
            raise OSError(
                failure.errno, f"no room in shared memory for {need:,} bytes: {failure.strerror}"
            ) from failure
        return True
