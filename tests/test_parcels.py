"""Parcels by hand: what happens to those that nobody opens, that go on, or that find no room."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ezpq_exec import packing
from ezpq_exec.jobs import Call, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is there on Linux alone")
if sys.platform == "linux":
    from ezpq_exec.engines import arrivals, mappings, parcels, segments, shared
    from ezpq_exec.engines.channel import HEADER, Kind, header
    from ezpq_exec.engines.counter import Counter
    from ezpq_exec.engines.depot import Depot
    from ezpq_exec.engines.jobqueue import JobQueue
    from ezpq_exec.engines.mappings import Mode
    from ezpq_exec.engines.parcels import LARGE, Kept, Packer, Parcel
    from ezpq_exec.engines.segments import Pool

MB = 1024 * 1024
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The ends of what parcels go through."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def packed(pool: Pool, value: object) -> Parcel:
    kept = Kept()
    data = packing.pack(value, kept)
    parcel = Packer(pool).pack(data, kept)
    assert parcel is not None
    return parcel


def head() -> bytes:
    return header(1, Kind.RETURNED, b"")


class Large:
    """Has a buffer of its own that pickle may leave out."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Large, (pickle.PickleBuffer(self.data),)


def opened(arrival: Any) -> bytes:
    value = arrival.open(packing.unpack_result, Mode.COPY)
    return bytes(value.data)


# On the way -----------------------------------------------------------------------------------


def test_what_goes_on_to_another_host_has_all_with_it(pair: Pair) -> None:
    """However often; there, nothing is to be let go of."""
    data = os.urandom(LARGE)
    packed(Pool(4, 4 * MB, 4), Large(data)).send(pair[0], head(), set())
    arrival = arrivals.receive(pair[1]).body
    assert len(arrival) >= LARGE
    carried = pickle.loads(pickle.dumps(arrival))
    del arrival
    again = pickle.loads(pickle.dumps(carried))
    assert len(again) >= LARGE
    assert opened(carried) == opened(again) == data


def test_what_nobody_opens_is_let_go_and_its_memory_is_used_again(pair: Pair) -> None:
    pool = Pool(4, 4 * MB, 4)
    parcel = packed(pool, Large(bytes(LARGE)))
    parcel.send(pair[0], head(), set())
    assert parcel.lease is not None
    segment = parcel.lease.segment
    arrival = arrivals.receive(pair[1]).body
    assert not segment.is_free
    before = len(os.listdir("/proc/self/fd"))
    del arrival
    gc.collect()
    assert segment.is_free
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_where_nobody_sends_any_more_there_is_an_end(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(EOFError):
        arrivals.receive(pair[1])


# What is left out -----------------------------------------------------------------------------


def test_of_very_many_buffers_the_rest_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message has room for so many."""
    monkeypatch.setattr(parcels, "_MOST_KEPT", 2)
    kept = Kept()
    data = packing.pack([Large(bytes(LARGE)) for _ in range(4)], kept)
    assert len(kept) == 2
    assert 2 * LARGE < len(data) < 3 * LARGE


def test_of_what_lies_in_pieces_we_are_not_asked() -> None:
    """A view of every second byte, say, is no block that could be copied as one: pickle refuses it."""
    kept = Kept()
    with pytest.raises(pickle.PicklingError, match="non-contiguous"):
        packing.pack(Large(memoryview(bytes(4 * LARGE))[::2]), kept)
    assert kept == []


def test_without_shared_memory_there_is_no_parcel() -> None:
    """The call goes by the socket then; a result that was half given back says so."""
    pool = Pool(4, 4 * MB, 0)
    kept = Kept()
    data = packing.pack(Large(bytes(LARGE)), kept)
    assert Packer(pool).pack(data, kept) is None


def test_a_result_for_which_there_is_no_shared_memory_goes_by_the_stream(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(pair[1])
    monkeypatch.setattr(counter, "_packer", Packer(Pool(4, 4 * MB, 0)))
    data = os.urandom(LARGE)
    body = counter.pack(Large(data))
    assert isinstance(body, bytes)
    assert bytes(packing.unpack(body).data) == data


def test_a_result_that_has_to_be_copied_after_all_and_finds_no_room_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lay in its call's memory, which somebody still holds."""
    segment = segments.new_segment()
    assert segment is not None
    segment.append(memoryview(bytes(LARGE)))
    seen = mappings.view(segment.fd, segment.size, Mode.OWN)
    packer = Packer(Pool(4, 4 * MB, 0))
    mapping = next(each for each in mappings._mappings if each.memory() is seen.obj)
    parcel = Parcel()
    parcel.spans.append(parcels.Span(parcels.YOURS, 0, 8))
    parcel.borrowed.append((0, mapping))
    with pytest.raises(OSError, match="no shared memory for the result") as caught:
        packer.seal(parcel)
    assert caught.value.errno == errno.EMFILE


@pytest.mark.parametrize("size", [0, 4096])
def test_what_cannot_be_mapped_says_how_much_it_was(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """And leaves nothing mapped, where it is the second step that fails."""
    segment = segments.new_segment()
    assert segment is not None
    segment.append(memoryview(b"some words"))
    libc, unmapped = mappings._libc(), list[int]()

    def munmap(address: int, length: int) -> int:
        unmapped.append(address)
        return int(libc.munmap(address, length))

    refusing = SimpleNamespace(mmap=libc.mmap, mprotect=lambda *_: -1, munmap=munmap)
    monkeypatch.setattr(mappings, "_libc", lambda: refusing)
    with pytest.raises(OSError, match=f"cannot map {size} bytes"):
        mappings._map(segment.fd, size, *Mode.COPY.value)
    assert len(unmapped) == (size > 0)


def test_an_object_is_shared_without_shared_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in this process's own then, and is the same to whoever asks for it."""
    monkeypatch.setattr(shared, "new_segment", lambda: None)
    handle = shared.Shared(Large(os.urandom(1000)))
    assert handle.nbytes > 1000
    assert bytes(handle.value.data) == bytes(handle.value.data)
    assert len(handle.value.data) == 1000
    handle.close()


# The parent's side ----------------------------------------------------------------------------


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    """With both of its ends."""
    made = JobQueue(*socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    yield made
    made.close()


def bare_link(**what: Any) -> Any:
    """What a depot needs of a link."""
    link = SimpleNamespace(slot=0, ticket=9, number=3, blocks=set(), maybe=set())
    link.parcel = link.parcels = link.queue = link.channel = None
    link.has_segments = False
    link.end_capture = link.kill_keeper = lambda: None
    vars(link).update(what)
    return link


def call(depot: Depot) -> Any:
    return depot.pack(Call(len, (Large(bytes(LARGE)),), {}), None)


def test_a_call_for_a_worker_that_is_gone_is_sent_nowhere(pair: Pair) -> None:
    """Whether that is known here or not; the keeper will tell."""
    depot = Depot(lambda: None)
    assert depot.send(bare_link(), call(depot), head()) is None
    pair[1].close()
    link = bare_link(parcels=pair[0], queue=object())
    assert depot.send(link, call(depot), head()) is None


def test_a_worker_that_cannot_be_told_of_a_call_is_given_up(pair: Pair, queue: JobQueue) -> None:
    """Its queue takes nothing more, and there is no other way to it."""
    killed: list[None] = []
    depot = Depot(lambda: None)
    link = bare_link(parcels=pair[0], queue=queue, kill_keeper=lambda: killed.append(None))
    while queue.send(bytes(HEADER.size)):
        pass
    assert depot.send(link, call(depot), head()) is None
    assert killed == [None]


def test_a_call_that_cannot_be_sent_is_its_jobs_exception() -> None:
    """Too many descriptors are on their way: another may go later."""
    depot = Depot(lambda: None)

    class Full:
        def fileno(self) -> int:
            return -1

        def sendmsg(self, *_: object) -> None:
            raise OSError(errno.ETOOMANYREFS, "Too many references")

    finished = depot.send(bare_link(parcels=Full(), queue=object()), call(depot), head())
    assert finished is not None
    assert (finished.number, finished.ready) == (3, True)
    assert finished.outcome.verdict is Verdict.RAISED
    assert finished.outcome.value.errno == errno.ETOOMANYREFS


def test_an_answer_of_a_worker_that_is_gone_is_none(pair: Pair) -> None:
    depot = Depot(lambda: None)
    assert depot.receive(bare_link()) == []
    pair[0].close()
    assert depot.receive(bare_link(parcels=pair[1])) == []


def test_a_worker_that_is_stopped_is_told_another_time_what_it_need_not_keep(
    pair: Pair, queue: JobQueue
) -> None:
    """Its queue is full; until it goes on, nothing is forgotten."""
    depot = Depot(lambda: None)
    link = bare_link(queue=queue, maybe={7}, blocks={7})
    while queue.send(bytes(HEADER.size)):
        pass
    depot.forget(7)
    depot.tidy([link], itertools.count(1))
    assert link.maybe == {7}
    assert depot.is_in_use
    assert depot.patience(None) == 0.0
    queue.recall()
    depot.tidy([link], itertools.count(1))
    assert link.maybe == link.blocks == set()
    calls, orders = queue.recall()
    assert (calls, len(orders)) == ({}, 1)


def test_a_fork_that_reads_on_keeps_the_memory_of_its_parents_call() -> None:
    """Nobody can know how long."""
    pool = Pool(4, 4 * MB, 4)
    lease = pool.take(8)
    assert lease is not None
    segment = lease.segment
    for forks in (False, True):
        segment.clear()
        segment.append(memoryview(b"12345678"))
        os.pwrite(segment.fd, b"\0", 0)  # its reader has said that it is done
        seen = mappings.view(segment.fd, segment.end, Mode.COPY, lease)
        if forks:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        del seen
        assert segment.is_free is not forks
