"""Frames: any stream, cut anywhere, gives the same ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ezpq_exec.engines.channel import (
    FILL_SIZE,
    HEADER,
    READ_SIZE,
    Channel,
    Frame,
    Kind,
    Reader,
    header,
    receive,
    send,
)

LARGE = READ_SIZE + 1  # the smallest body that is read in place
SIZES = st.integers(0, 300) | st.sampled_from(
    [READ_SIZE - HEADER.size, READ_SIZE - 1, READ_SIZE, LARGE, LARGE + 5000]
)
NUMBERS = st.integers(0, 2**64 - 1)
SECONDS = st.floats(allow_nan=False)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Any frame."""
    body = bytes([draw(st.integers(0, 255))]) * draw(SIZES)
    kind = draw(st.sampled_from([Kind.SETUP, Kind.CALL, Kind.READY, Kind.RETURNED, Kind.RAISED]))
    stamps = draw(SECONDS), draw(SECONDS), draw(SECONDS)
    return Frame(draw(NUMBERS), kind, *stamps, draw(NUMBERS), body)


def wire(frame: Frame) -> bytes:
    """The frame as it travels."""
    number, kind, stamp, ended, cpu_time, rss, body = frame
    return header(number, kind, body, stamp, ended, cpu_time, rss) + bytes(body)


def read(reader: Reader, stream: bytes, steps: Iterator[int]) -> list[Frame]:
    """Let the reader have the stream as a socket would give it, so many bytes at a time."""
    found: list[Frame] = []
    at = 0
    while at < len(stream):
        room = reader.room()
        count = max(1, next(steps))
        if room is None:
            chunk = stream[at : at + count]
            found += reader.feed(chunk)
        else:
            assert len(room) > 0
            assert len(room) <= FILL_SIZE
            chunk = stream[at : at + min(count, len(room))]
            room[: len(chunk)] = chunk
            room.release()
            found += reader.filled(len(chunk))
        at += len(chunk)
    return found


def endless(sizes: list[int]) -> Iterator[int]:
    """These sizes over and over."""
    while True:
        yield from sizes


@settings(max_examples=150, deadline=None)
@example(sent=[Frame(1, Kind.CALL, 0.0, 0.0, 0.0, 0, b"x" * LARGE)], cuts=[HEADER.size])
@example(sent=[Frame(1, Kind.CALL, 0.0, 0.0, 0.0, 0, b"x" * LARGE)], cuts=[HEADER.size + LARGE - 1])
@example(sent=[Frame(1, Kind.CALL, 0.0, 0.0, 0.0, 0, b"")] * 3, cuts=[1])
@given(
    sent=st.lists(frames(), max_size=6),
    cuts=st.lists(st.integers(1, 200) | st.sampled_from([4096, READ_SIZE, 10**6]), min_size=1),
)
def test_any_cut_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    """Wherever a stream is cut, its frames come out whole, in order, and all of them."""
    stream = b"".join(map(wire, sent))
    reader = Reader()
    assert read(reader, stream, endless(cuts)) == sent
    assert reader.room() is None
    assert reader.feed(b"") == []


@settings(max_examples=40, deadline=None)
@given(frame=frames(), missing=st.integers(1, 500))
def test_half_a_frame_is_none(frame: Frame, missing: int) -> None:
    """Nothing comes out before the last byte is in; then it does."""
    stream = wire(frame)
    cut = max(0, len(stream) - missing)
    reader = Reader()
    assert read(reader, stream[:cut], endless([10**6])) == []
    assert read(reader, stream[cut:], endless([10**6])) == [frame]


def test_large_body_is_read_in_place() -> None:
    """A body that is larger than a read goes straight to where it stays, not through buffers."""
    reader = Reader()
    body = bytes(range(256)) * 10_000
    stream = header(1, Kind.CALL, body) + body
    assert reader.feed(stream[:READ_SIZE]) == []
    room = reader.room()
    assert room is not None
    assert len(room) == FILL_SIZE
    room.release()
    [frame] = read(reader, stream[READ_SIZE:], endless([10**9]))
    assert isinstance(frame.body, bytearray)
    assert frame.body == body


def test_room_ends_with_the_body() -> None:
    """A body read in place never takes bytes of the next frame."""
    reader = Reader()
    body = b"x" * LARGE
    reader.feed(header(1, Kind.CALL, body) + body[:-3])
    room = reader.room()
    assert room is not None
    assert len(room) == 3


def test_small_bodies_need_no_room() -> None:
    """A body that fits in one read is collected from what comes."""
    reader = Reader()
    reader.feed(header(1, Kind.CALL, b"x" * READ_SIZE))
    assert reader.room() is None


def test_reader_keeps_no_frame() -> None:
    """A large body that came out is nobody's but the caller's: the next does not overwrite it."""
    reader = Reader()
    first, second = b"1" * LARGE, b"2" * LARGE
    stream = header(1, Kind.CALL, first) + first + header(2, Kind.CALL, second) + second
    found = read(reader, stream, endless([7777]))
    assert [bytes(frame.body) for frame in found] == [first, second]


# Over sockets ------------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """The parent's end, and the worker's."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    channel = Channel(ours)
    with theirs:
        yield channel, theirs
        channel.close()


@pytest.mark.parametrize("size", [0, 10, READ_SIZE, LARGE, 3 * FILL_SIZE])
def test_parent_never_blocks(ends: tuple[Channel, socket.socket], size: int) -> None:
    """What a socket does not take at once is kept, and sent as the other end reads."""
    channel, theirs = ends
    body = bytes(size)
    done = channel.send(header(5, Kind.CALL, body), body)
    reader = Reader()
    found: list[Frame] = []
    while not found:
        found += receive(theirs, reader)
        done = done or channel.flush()
    assert done
    assert [(frame.number, len(frame.body)) for frame in found] == [(5, size)]


def test_frames_stay_in_order(ends: tuple[Channel, socket.socket]) -> None:
    """Frames that had to wait are sent in the order in which they were given."""
    channel, theirs = ends
    bodies = [bytes([i]) * size for i, size in enumerate([10, LARGE, 0, READ_SIZE, 10])]
    for i, body in enumerate(bodies):
        channel.send(header(i, Kind.CALL, body), body)
    reader = Reader()
    found: list[Frame] = []
    while len(found) < len(bodies):
        found += receive(theirs, reader)
        channel.flush()
    assert [bytes(frame.body) for frame in found] == bodies


def test_nothing_there_is_no_end(ends: tuple[Channel, socket.socket]) -> None:
    """Reading when nothing has come says so, and does not wait."""
    with pytest.raises(BlockingIOError):
        ends[0].receive()


def test_closed_end_is_the_end(ends: tuple[Channel, socket.socket]) -> None:
    """When the other end is closed, reading raises EOFError, within a large body too."""
    channel, theirs = ends
    theirs.sendall((header(1, Kind.CALL, b"x" * LARGE) + b"x")[:60])
    assert channel.receive() == []
    theirs.close()
    with pytest.raises(EOFError):
        channel.receive()


def test_last_words_are_heard(ends: tuple[Channel, socket.socket]) -> None:
    """All whole frames that were sent before the end can still be had; half a frame cannot."""
    channel, theirs = ends
    for number in (1, 2):
        send(theirs, header(number, Kind.RETURNED, b"done"), b"done")
    theirs.sendall(header(3, Kind.RETURNED, b"done") + b"do")
    theirs.close()
    assert [frame.number for frame in channel.drain()] == [1, 2]


def test_close_is_seen_whoever_holds_the_descriptor(
    ends: tuple[Channel, socket.socket],
) -> None:
    """A worker sees the end even if somebody else still holds a copy of the parent's end."""
    channel, theirs = ends
    with channel.sock.dup():
        channel.close()
        assert theirs.recv(1) == b""
