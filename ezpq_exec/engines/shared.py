"""`Shared`: an object that is pickled once and lies in shared memory, for as many jobs as there are.

Our engine for processes pickles its handle as a reference to that memory. Any other pickle takes
the bytes along. So the object arrives in any case, read-only, and by the same code.
"""

from __future__ import annotations

import functools
import operator
import os
import pickle
import weakref
from typing import TYPE_CHECKING, Any, Generic, Protocol, SupportsIndex, TypeVar

from .. import packing
from .mappings import Mode, view
from .segments import HEAD, new_segment

if TYPE_CHECKING:  # workers read this, and need nothing of jobs
    from ..jobs import Call

__all__ = ["Block", "Home", "Shared", "block_of", "forget", "opened", "shelve", "shelved"]

T = TypeVar("T")

Index = list[tuple[int, int]]  # where the pickle and each of its buffers begins, and its size


class Home(Protocol):
    """Where a block is known: an engine that has sent it to its workers."""

    def forget(self, number: int) -> None:
        """The block of that number is gone. Called by any thread, and by finalizers."""


class Block:
    """The memory of one shared object, as long as its handle or a waiting job needs it.

    Attributes:
        number: what it is known by; unlike that of any other, of other programs included.
        index: where in `memory` the pickle and each of its buffers are.
        segment: None where there is no shared memory.
        size: of the segment, head included, in bytes.
        homes: who is to be told when it is gone.
    """

    def __init__(self, value: object) -> None:
        buffers = _All()
        packed = packing.pack(value, buffers)
        parts = [memoryview(packed), *(buffer.raw() for buffer in buffers)]
        self.number = int.from_bytes(os.urandom(8), "little")
        self.homes: dict[int, weakref.ref[Home]] = {}
        self.segment = new_segment()
        self.size = 0
        if self.segment is None:
            begins = _begins(parts)
            self.memory = memoryview(b"".join(parts))
        else:
            begins = [self.segment.append(part) - HEAD for part in parts]
            self.size = self.segment.size
            self.memory = view(self.segment.fd, self.size, Mode.READ)[HEAD:]
        self.index = [(begin, part.nbytes) for begin, part in zip(begins, parts, strict=True)]
        _blocks[id(self.memory)] = self

    def __del__(self) -> None:
        for reference in self.__dict__.get("homes", {}).values():
            home = reference()
            if home is not None:
                home.forget(self.number)


class _All(list[pickle.PickleBuffer]):
    """The buffers that pickle leaves out: all of them."""

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        self.append(buffer)
        return False


def _begins(parts: list[memoryview]) -> list[int]:
    begins, at = [], 0
    for part in parts:
        begins.append(at)
        at += part.nbytes
    return begins


# Blocks by the id of the object that pickle asks about, when it pickles a handle.
_blocks: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()


def block_of(memory: memoryview) -> Block | None:
    """The block that this memory is, if it is one that can be referred to."""
    block = _blocks.get(id(memory.obj))
    return None if block is None or block.segment is None else block


class Shared(Generic[T]):
    """A handle of an object in shared memory; made by `PriorityExecutor.share`.

    A job that is given the handle, by itself or within other objects, finds the object in its
    place. Its arrays are not copied, and cannot be written to. The memory is let go when the handle
    is closed, or nobody has it any more, and the jobs that were given it have ended.

    >>> from ezpq_exec import PriorityExecutor
    >>> with PriorityExecutor(1) as ex, ex.share({"one": 1}) as numbers:
    ...     print(ex.submit(len, numbers).result())
    1
    """

    def __init__(self, value: T) -> None:
        self._block: Block | None = Block(value)
        self._opened: list[T] = []

    @property
    def value(self) -> T:
        """The object, as jobs find it.

        Raises:
            SharedClosed: the handle is closed.
        """
        block = self._open_block("what is asked for its value")
        if not self._opened:
            self._opened.append(_load(block.index, block.memory))
        return self._opened[0]

    @property
    def nbytes(self) -> int:
        """How much memory it takes, in bytes."""
        return self._open_block("what is asked for its size").memory.nbytes

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._block is None

    def close(self) -> None:
        """Let go of the memory. It stays until the jobs that were given the handle have ended."""
        self._block = None
        self._opened = []

    def _open_block(self, what: str) -> Block:
        if self._block is None:
            from ..errors import SharedClosed  # which a worker has no need of

            raise SharedClosed(f"{what} must be a shared object that is open, not {self!r}")
        return self._block

    def __enter__(self) -> Shared[T]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        block = self._block
        return f"<Shared {'closed' if block is None else f'{block.memory.nbytes:,} bytes'}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        block = self._open_block("an argument")
        memory = pickle.PickleBuffer(block.memory) if int(protocol) >= 5 else bytes(block.memory)
        return _arrive, (block.number, block.index, memory)


# Where nothing is pickled --------------------------------------------------------------------------


def opened(call: Call) -> Call:
    """The call with objects in the place of their handles.

    They are found among its arguments, and in plain containers and partial functions there. Those
    that hold none stay what they are.
    """
    if not _blocks:
        return call
    function, args, kwargs = call
    return call._replace(
        function=_opened(function, ()), args=_opened(args, ()), kwargs=_opened(dict(kwargs), ())
    )


def _opened(value: Any, within: tuple[int, ...]) -> Any:
    """`within`: the ids of the containers around it, so that a cycle comes to an end."""
    kind = type(value)
    if kind is Shared:
        return value.value
    if kind not in _SEEN_THROUGH or id(value) in within:
        return value
    within = (*within, id(value))
    if kind is functools.partial:
        parts = (value.func, value.args, value.keywords)
        new = tuple(_opened(part, within) for part in parts)
        same = all(map(operator.is_, parts, new))
        return value if same else functools.partial(new[0], *new[1], **new[2])
    if kind is dict:
        pairs = {key: _opened(each, within) for key, each in value.items()}
        return value if all(map(operator.is_, pairs.values(), value.values())) else pairs
    items = [_opened(each, within) for each in value]
    return value if all(map(operator.is_, items, value)) else kind(items)


_SEEN_THROUGH = {tuple, list, dict, functools.partial}


# In a worker --------------------------------------------------------------------------------------

_shelf: dict[int, memoryview] = {}  # blocks that came here, heads included
_objects: dict[int, Any] = {}  # the objects that were unpickled from them


def shelve(number: int, fd: int, size: int) -> None:
    """A block has come, to be kept until `forget`."""
    _shelf[number] = view(fd, size, Mode.READ)


def shelved(number: int) -> memoryview:
    """The memory of a block that has come, head included."""
    return _shelf[number]


def forget(number: int) -> None:
    """Nobody will refer to that block any more. What was made of it lives on by itself."""
    _objects.pop(number, None)
    _shelf.pop(number, None)


def _arrive(number: int, index: Index, memory: Any) -> Any:
    """What a handle unpickles to."""
    if number not in _shelf:
        return _load(index, memoryview(memory))
    if number not in _objects:
        _objects[number] = _load(index, memoryview(memory))
    return _objects[number]


def _load(index: Index, memory: memoryview) -> Any:
    memory = memory.toreadonly()
    packed, *buffers = (memory[begin : begin + size] for begin, size in index)
    return packing.unpack_result(packed, buffers)
