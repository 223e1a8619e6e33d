"""The mailbox: no letter lies while the reader sleeps, and nobody wakes it while it does not."""

from __future__ import annotations

import threading

import pytest

from ezpq_exec.mailbox import Mailbox


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


def test_a_reader_that_is_awake_is_not_woken() -> None:
    """A letter to a reader that is awake rings no bell, and is read."""
    bell = Bell()
    box = Mailbox[str](bell)
    box.post("a")
    assert bell.rung == 0
    assert box.read() == ["a"]


def test_a_sleeper_is_woken() -> None:
    """The first letter that comes while the reader sleeps rings the bell; none is lost."""
    bell = Bell()
    box = Mailbox[str](bell)
    assert box.fall_asleep()
    box.post("a")
    assert bell.rung == 1
    box.post("b")
    box.post("c")
    box.wake_up()
    assert box.read() == ["a", "b", "c"]


def test_what_comes_while_letters_are_read_is_for_the_next_time() -> None:
    """So whoever answers each letter with another cannot keep the reader for ever."""
    box = Mailbox[int](Bell())
    box.post(1)
    box.post(2)
    for letter in box.read():
        box.post(10 * letter)
    assert box.read() == [10, 20]
    assert not box.is_unread


def test_each_sleep_is_ended_by_a_ring_of_its_own() -> None:
    """Who has rung for one sleep has not rung for the next."""
    bell = Bell()
    box = Mailbox[str](bell)
    for rung in (1, 2, 3):
        assert box.fall_asleep()
        box.post("a")
        assert bell.rung == rung
        box.wake_up()
        assert box.read() == ["a"]


def test_a_letter_that_came_too_late_to_be_read_keeps_the_reader_awake() -> None:
    """A letter posted between the last reading and falling asleep is noticed then."""
    bell = Bell()
    box = Mailbox[str](bell)
    assert box.read() == []
    box.post("late")
    assert not box.fall_asleep()
    box.wake_up()
    assert box.read() == ["late"]
    assert box.fall_asleep()


def test_nothing_is_lost_between_threads() -> None:
    """Every letter of several threads is read, by a reader that sleeps whenever it may."""
    woken = threading.Semaphore(0)
    box = Mailbox[int](woken.release)
    each, senders = 2000, 3

    def send() -> None:
        for number in range(each):
            box.post(number)

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    read = 0
    while read < each * senders:
        if box.fall_asleep():
            assert woken.acquire(timeout=60), f"asleep with {read} letters read"
        box.wake_up()
        while woken.acquire(blocking=False):
            pass
        read += sum(1 for _ in box.read())
    for thread in threads:
        thread.join()
    assert read == each * senders


def test_a_poster_that_fails_to_ring_leaves_it_to_the_next() -> None:
    """If the first letter's bell does not ring (Ctrl-C came between), the second's does."""
    rung: list[str] = []

    def bell() -> None:
        rung.append("tried")
        if len(rung) == 1:
            raise KeyboardInterrupt

    box = Mailbox[str](bell)
    assert box.fall_asleep()
    with pytest.raises(KeyboardInterrupt):
        box.post("a")
    box.post("b")
    assert rung == ["tried", "tried"]
    assert [*box.read()] == ["a", "b"]
