"""Segments as a reader has them: mapped into its memory, for as long as any object refers to them.

The memory is unmapped with the last object that uses it (an array, say). The segment's first byte
then tells the lender. After a fork, the child may read for an unknown time; so from then on the
lender is not told, and what is written there stays private to each process.
"""

from __future__ import annotations

import enum
import functools
import os
import sys
import weakref
from typing import Any

from .segments import HEAD, Lease

__all__ = ["Mapping", "Mode", "locate", "view"]

_READ, _WRITE = 1, 2
_SHARED, _PRIVATE, _FIXED, _POPULATE = 0x1, 0x2, 0x10, 0x8000


class Mode(enum.Enum):
    """How a segment is mapped.

    OWN: what is written goes into the segment, which nobody else reads meanwhile. COPY: it stays
    in this process. READ: nothing can be written.
    """

    OWN = (_READ | _WRITE, _SHARED)
    COPY = (_READ | _WRITE, _PRIVATE)
    READ = (_READ, _SHARED)


class Mapping:
    """The beginning of a segment in this process's memory.

    Attributes:
        memory: a weak reference to the object by which all others refer to this memory.
    """

    def __init__(self, fd: int, size: int, mode: Mode, lease: Lease | None) -> None:
        """As `view`.

        Raises:
            OSError: there are no more mappings, or descriptors, to be had.
        """
        import ctypes

        self.size = size
        self.mode = mode
        self.address = 0
        self._lease = lease
        self._forked = False
        # The first page is mapped a second time, to write there that the segment is free again.
        self._head = 0
        self._fd = os.dup(fd) if mode is Mode.OWN else -1
        try:
            self.address = _map(fd, size, *mode.value)
            if lease is None and mode is not Mode.READ:
                self._head = _map(fd, HEAD, *Mode.OWN.value)
        except OSError:
            self._let_go()
            raise
        memory = (ctypes.c_char * size).from_address(self.address)
        self.memory = weakref.ref(memory)
        _mappings.add(self)
        # Not at the interpreter's exit: objects may use the memory even after that.
        weakref.finalize(memory, self._end).atexit = False
        self._whole = memory

    def whole(self) -> memoryview:
        """All of it. To be called once: it lives as long as what is made of this."""
        memory = self.__dict__.pop("_whole")
        seen = memoryview(memory).cast("B")
        return seen.toreadonly() if self.mode is Mode.READ else seen

    def fork(self) -> None:
        """This process is about to fork: make the memory private to parent and child."""
        self._forked = True
        if self.mode is Mode.OWN:
            _map(self._fd, self.size, *Mode.COPY.value, at=self.address)
            self.mode = Mode.COPY

    def _end(self) -> None:
        """Nothing refers to the memory any more."""
        _mappings.discard(self)
        if self._lease is not None and self._forked:
            self._lease.segment.keep()
        if self._head and not self._forked:
            import ctypes

            ctypes.c_char.from_address(self._head).value = b"\0"
        self._let_go()
        self._lease = None

    def _let_go(self) -> None:
        if self.address:
            _libc().munmap(self.address, self.size)
        if self._head:
            _libc().munmap(self._head, HEAD)
        if self._fd >= 0:
            os.close(self._fd)


_mappings: set[Mapping] = set()


def view(fd: int, size: int, mode: Mode, lease: Lease | None = None) -> memoryview:
    """The first `size` bytes of a segment, head included.

    Args:
        fd: the segment's, which the caller keeps.
        lease: this process's own hold on it, to be kept as long as the memory is; without one, the
            segment is a lender's, who is told when it is not needed any more.
    """
    _hear_of_forks()
    try:
        return Mapping(fd, size, mode, lease).whole()
    except OSError:
        return _copy(fd, size, mode, lease)


def _copy(fd: int, size: int, mode: Mode, lease: Lease | None) -> memoryview:
    """As `view`, by a copy: the system allows no more mappings."""
    if sys.platform != "linux":  # elsewhere there are none
        raise NotImplementedError
    memory = memoryview(bytearray(size))
    at = 0
    while count := os.preadv(fd, [memory[at:]], at):
        at += count
    if lease is None and mode is not Mode.READ:
        os.pwrite(fd, b"\0", 0)
    return memory.toreadonly() if mode is Mode.READ else memory


def locate(memory: memoryview) -> tuple[Mapping, int] | None:
    """The mapping that has these bytes, and their offset; None if there is none, or it is private."""
    if not _mappings or memory.readonly:
        return None
    import ctypes

    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for mapping in list(_mappings):
        at = address - mapping.address
        if mapping.mode is Mode.OWN and 0 <= at <= mapping.size - memory.nbytes:
            return mapping, at
    return None


def _before_fork() -> None:
    for mapping in list(_mappings):
        mapping.fork()


@functools.cache
def _hear_of_forks() -> None:
    if sys.platform != "linux":  # elsewhere there are none
        raise NotImplementedError
    os.register_at_fork(before=_before_fork)


@functools.cache
def _libc() -> Any:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    size, number, address = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
    libc.mmap.restype = size
    libc.mmap.argtypes = (address, size, number, number, number, ctypes.c_int64)
    libc.munmap.argtypes = (address, size)
    libc.mprotect.argtypes = (address, size, number)
    return libc


def _map(fd: int, size: int, protection: int, flags: int, at: int | None = None) -> int:
    import ctypes

    libc = _libc()
    if at is not None:
        flags |= _FIXED
    # To map all pages at once is cheaper than one by one. But writable private pages would be copied
    # by that; so they are mapped for reading first.
    first = _READ if flags & _PRIVATE else protection
    address: int = libc.mmap(at, size, first, flags | _POPULATE, fd, 0)
    failed = address == ctypes.c_size_t(-1).value
    if failed or (first != protection and libc.mprotect(address, size, protection)):
        code = ctypes.get_errno()
        if not failed:
            libc.munmap(address, size)
        raise OSError(code, f"cannot map {size} bytes: {os.strerror(code)}")
    return address
