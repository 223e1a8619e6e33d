"""What is due when, held to a plain dict."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ezpq_exec.deadlines import Deadlines
from ezpq_exec.heap import Entry


class Owner:
    """Somebody with a deadline."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alarm: Entry | None = None

    def __repr__(self) -> str:
        return self.name


def test_next_is_the_earliest() -> None:
    """The earliest deadline is at hand, whatever the order in which they were set."""
    deadlines = Deadlines[Owner]()
    assert deadlines.next() is None
    for when in [5.0, 3.0, 4.0]:
        deadlines.set(Owner("x"), when)
    assert (deadlines.next(), len(deadlines)) == (3.0, 3)


def test_due_at_its_very_moment() -> None:
    """A deadline is due at its moment, and not before."""
    deadlines = Deadlines[Owner]()
    owner = Owner("x")
    deadlines.set(owner, 5.0)
    assert list(deadlines.due(4.999)) == []
    assert list(deadlines.due(5.0)) == [owner]
    assert (owner.alarm, len(deadlines)) == (None, 0)


def test_due_come_in_order() -> None:
    """Those that are due come earliest first, and those that are not stay."""
    deadlines = Deadlines[Owner]()
    owners = [Owner(str(when)) for when in range(5)]
    for when in [3, 1, 4, 0, 2]:
        deadlines.set(owners[when], float(when))
    assert list(deadlines.due(2.5)) == owners[:3]
    assert deadlines.next() == 3.0


def test_equal_deadlines_come_in_the_order_of_setting() -> None:
    """Owners need not compare, even when they are due at the same moment."""
    deadlines = Deadlines[Owner]()
    owners = [Owner("a"), Owner("b")]
    for owner in owners:
        deadlines.set(owner, 1.0)
    assert list(deadlines.due(1.0)) == owners


def test_one_deadline_an_owner() -> None:
    """A new deadline takes the place of the old, earlier or later."""
    deadlines = Deadlines[Owner]()
    owner = Owner("x")
    for when in [5.0, 7.0, 6.0]:
        deadlines.set(owner, when)
        assert (deadlines.next(), len(deadlines)) == (when, 1)


def test_cleared_deadline_is_never_due() -> None:
    """An owner whose deadline was taken away is left alone; so is one that had none."""
    deadlines = Deadlines[Owner]()
    owner = Owner("x")
    deadlines.clear(owner)
    deadlines.set(owner, 5.0)
    deadlines.clear(owner)
    deadlines.clear(owner)
    assert (deadlines.next(), list(deadlines.due(9.0)), owner.alarm) == (None, [], None)


def test_deadlines_may_change_while_the_due_are_served() -> None:
    """One that is cleared by the service of another is not served; one set anew for later waits."""
    deadlines = Deadlines[Owner]()
    first, second, third = Owner("first"), Owner("second"), Owner("third")
    for owner in (first, second, third):
        deadlines.set(owner, 1.0)
    served = []
    for owner in deadlines.due(1.0):
        served.append(owner)
        deadlines.clear(second)
        deadlines.set(first, 2.0)
    assert served == [first, third]
    assert deadlines.next() == 2.0


def test_what_is_handed_on_is_due_at_its_own_moment() -> None:
    """Whose deadline was handed on has none; the heir's comes when it is due, and once."""
    deadlines = Deadlines[Owner]()
    owner, heir = Owner("owner"), Owner("heir")
    deadlines.set(owner, 5.0)
    deadlines.hand_on(owner, heir, 7.0)
    assert (owner.alarm, len(deadlines)) == (None, 1)
    assert list(deadlines.due(6.9)) == []
    assert deadlines.next() == 7.0
    assert list(deadlines.due(7.0)) == [heir]
    assert (heir.alarm, deadlines.next()) == (None, None)


def test_of_many_that_follow_each_other_none_moves_anything() -> None:
    """There is one entry for all of them, and it is looked at once for each moment that comes."""
    deadlines = Deadlines[Owner]()
    first = before = Owner("0")
    deadlines.set(first, 60.0)
    entry = first.alarm
    for moment in range(1, 1000):
        heir = Owner(str(moment))
        deadlines.hand_on(before, heir, 60.0 + moment / 1000)
        before = heir
    assert before.alarm is entry
    assert deadlines.next() == 60.0
    assert list(deadlines.due(60.0)) == []
    assert deadlines.next() == 60.999
    deadlines.clear(before)
    assert deadlines.next() is None


def test_an_earlier_deadline_than_the_one_before_is_not_missed() -> None:
    """Then the old moment would be too late."""
    deadlines = Deadlines[Owner]()
    owner, heir, other = Owner("owner"), Owner("heir"), Owner("other")
    deadlines.set(owner, 5.0)
    deadlines.hand_on(owner, heir, 3.0)
    deadlines.hand_on(other, owner, 4.0)  # it had none to hand on
    assert list(deadlines.due(4.0)) == [heir, owner]


def test_those_that_were_handed_on_come_in_order() -> None:
    """If several are due, the earliest comes first, whatever was before them."""
    deadlines = Deadlines[Owner]()
    owner, late, early = Owner("owner"), Owner("late"), Owner("early")
    deadlines.set(owner, 1.0)
    deadlines.hand_on(owner, late, 5.0)
    deadlines.set(early, 4.0)
    assert list(deadlines.due(9.0)) == [early, late]


class DeadlinesAgainstDict(RuleBasedStateMachine):
    """Whatever is set and cleared, a dict says what must be due."""

    which = st.integers(0, 7)

    def __init__(self) -> None:
        super().__init__()
        self.deadlines = Deadlines[Owner]()
        self.owners = [Owner(f"owner {i}") for i in range(8)]
        self.oracle: dict[int, float] = {}

    @rule(i=which, when=st.integers(0, 20))
    def set(self, i: int, when: int) -> None:
        """A deadline, in place of any other."""
        self.deadlines.set(self.owners[i], float(when))
        self.oracle[i] = float(when)

    @rule(i=which)
    def clear(self, i: int) -> None:
        """None any more."""
        self.deadlines.clear(self.owners[i])
        self.oracle.pop(i, None)

    @rule(now=st.integers(0, 20))
    def due(self, now: int) -> None:
        """Those of the dict come, earliest first, and no others."""
        due = [i for i, when in self.oracle.items() if when <= now]
        came = [self.owners.index(owner) for owner in self.deadlines.due(now)]
        assert sorted(came) == sorted(due)
        moments = [self.oracle.pop(i) for i in came]
        assert moments == sorted(moments)

    @rule(i=which)
    def churn(self, i: int) -> None:
        """A deadline that is put off again and again takes no more room for that."""
        for when in range(300):
            self.set(i, when % 20)
        assert len(self.deadlines._heap._entries) < 150

    @invariant()
    def agrees(self) -> None:
        """The number and the earliest are those of the dict; alarms tell who has one."""
        assert len(self.deadlines) == len(self.oracle)
        assert self.deadlines.next() == min(self.oracle.values(), default=None)
        assert [owner.alarm is not None for owner in self.owners] == [
            i in self.oracle for i in range(8)
        ]


class HandedOnAgainstDict(DeadlinesAgainstDict):
    """The same where deadlines are handed on: then `next` may be too early, but never too late."""

    which = st.integers(0, 7)

    @rule(i=which, j=which, when=st.integers(0, 20))
    def hand_on(self, i: int, j: int, when: int) -> None:
        """One has no deadline any more, and another has this one."""
        if i == j:
            return
        self.deadlines.hand_on(self.owners[i], self.owners[j], float(when))
        self.oracle.pop(i, None)
        self.oracle[j] = float(when)

    @invariant()
    def agrees(self) -> None:
        """The number is that of the dict; alarms tell who has one; whoever asks at `next` is in time."""
        assert len(self.deadlines) == len(self.oracle)
        moment = self.deadlines.next()
        assert (moment is None) == (not self.oracle)
        if moment is not None:
            assert moment <= min(self.oracle.values())
        assert [owner.alarm is not None for owner in self.owners] == [
            i in self.oracle for i in range(8)
        ]


TestDeadlinesAgainstDict = DeadlinesAgainstDict.TestCase
TestDeadlinesAgainstDict.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

TestHandedOnAgainstDict = HandedOnAgainstDict.TestCase
TestHandedOnAgainstDict.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
