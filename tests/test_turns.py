"""In which order keepers kill, where many are to at once."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")

SOON = 0.01  # seconds


@pytest.fixture
def keepers() -> Iterator[Callable[[int, float], list[Any]]]:
    """Makes so many turns, and keepers with so much patience, each of which has inherited them."""
    from ezpq_exec.engines.turns import Turns

    made: list[Turns] = []

    def make(count: int, patience: float) -> list[Any]:
        made.append(Turns(count, patience))
        return [copy.copy(made[-1]) for _ in range(3)]

    yield make
    for each in made:
        each.close()


def test_nobody_goes_while_others_have_all_turns(keepers: Any) -> None:
    """As many as there are go at once; the next goes when one is given back."""
    first, second, third = keepers(2, PATIENCE)
    assert first.take()
    assert second.take()
    order: list[str] = []

    def wait_and_go() -> None:
        assert third.take()
        order.append("went")

    thread = threading.Thread(target=wait_and_go)
    thread.start()
    order.append("given back")
    first.give_back()
    thread.join()
    assert order == ["given back", "went"]


def test_who_waits_in_vain_goes_on(keepers: Any) -> None:
    """And makes good what was lost with its owner: the next finds a turn."""
    first, second, _ = keepers(0, SOON)
    assert not first.take()
    first.give_back()
    assert second.take()


def test_who_has_no_turn_gives_none_back(keepers: Any) -> None:
    """Nor does anybody take two."""
    first, second, third = keepers(1, SOON)
    first.give_back()
    assert second.take()
    assert second.take()
    assert not third.take()
    second.give_back()
    second.give_back()
    assert first.take()
    third.give_back()  # the one that it made
    assert second.take()


def test_more_turns_than_there_is_room_for_are_as_good_as_so_many(keepers: Any) -> None:
    """Those who waited in vain may have made very many."""
    first, _, _ = keepers(5000, SOON)
    for _ in range(50):
        assert first.take()
        first.give_back()


def test_a_rehearsal_leaves_all_turns_as_they_are(keepers: Any) -> None:
    """Whether there is one, none, or one that is this process's."""
    first, second, third = keepers(1, SOON)
    first.rehearse()
    assert first.take()
    first.rehearse()
    second.rehearse()
    assert not second.take()  # there was only that one
    first.give_back()
    third.rehearse()
    assert third.take()
