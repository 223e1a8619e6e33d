"""Options are checked, and what is known of a job can be told."""

from __future__ import annotations

import dataclasses
import functools
import json
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from ezpq_exec.jobs import Call, Job, JobInfo, State, Verdict, describe
from ezpq_exec.naming import function_name
from ezpq_exec.options import Options, check_priority

NAN = float("nan")


class Silent:
    """Something that is no number, and says what it is."""

    def __repr__(self) -> str:
        return "<silent>"


# Options -----------------------------------------------------------------------------------------


def test_defaults() -> None:
    """Without options: priority 100, no limits, no name, no lane, no retries, no capture."""
    given = [each.name for each in dataclasses.fields(Options) if each.init]
    values = [getattr(Options(), name) for name in given]
    assert values == [100, None, None, None, None, False, 0, (), None, False, ()]


@pytest.mark.parametrize(
    "priority",
    [
        *(0, -5, 10**400, True, 2.5, float("inf"), float("-inf")),
        *(Decimal("1.5"), Decimal("-Infinity"), Fraction(1, 3)),
        *(np.float64(2), np.float32(2), np.int64(3), np.uint8(3)),
    ],
    ids=repr,
)
def test_any_real_number_is_a_priority(priority: Any) -> None:
    """Numbers that compare are taken as they are."""
    assert Options(priority=priority).priority == priority


@pytest.mark.parametrize(
    "priority", [None, "1", b"1", 1j, [1], (1,), Silent(), object, np.array([1]), np.bool_(True)]
)
def test_what_is_no_real_number_is_no_priority(priority: Any) -> None:
    """Anything else raises TypeError that says what it was."""
    with pytest.raises(TypeError) as caught:
        Options(priority=priority)
    assert str(caught.value) == f"priority must be a real number, not {priority!r}"


@pytest.mark.parametrize(
    "priority", [NAN, -NAN, np.float64("nan"), np.float32("nan"), Decimal("nan"), Decimal("sNaN")]
)
def test_nan_is_no_priority(priority: Any) -> None:
    """What compares with nothing raises ValueError that says so."""
    with pytest.raises(ValueError, match="priority must compare with other numbers") as caught:
        check_priority(priority)
    assert repr(priority) in str(caught.value)


def test_priority_may_be_a_fraction_beyond_floats() -> None:
    """A number too large for a float compares all the same."""
    Options(priority=Fraction(10**400, 3))


@pytest.mark.parametrize("pair", [(Decimal(1), np.int64(2)), (Fraction(1), np.longdouble(2))])
def test_accepted_priorities_compare(pair: tuple[Any, Any]) -> None:
    """Any two priorities that were accepted can be ranked."""
    ranks = [check_priority(priority) for priority in pair]
    assert max(ranks) == max(reversed(ranks))


LIMITS = ["timeout", "queue_timeout"]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [None, 1, 0.001, 1e9, Fraction(1, 2), np.float64(2), 5e-324])
def test_limits_are_seconds(name: str, value: Any) -> None:
    """Any positive number is a limit, None is none."""
    assert getattr(Options(**{name: value}), name) == value


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", ["5", True, False, 1j, [5], Decimal(5), Silent()], ids=repr)
def test_what_is_no_number_is_no_limit(name: str, value: Any) -> None:
    """Anything else raises TypeError that names option and value."""
    with pytest.raises(TypeError) as caught:
        Options(**{name: value})
    assert str(caught.value) == f"{name} must be a number of seconds or None, not {value!r}"


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, 0.0, -0.5, NAN, float("-inf"), np.float64("nan")])
def test_limits_are_positive(name: str, value: Any) -> None:
    """Zero, less, and NaN raise ValueError that names option, expectation and value."""
    with pytest.raises(ValueError, match=f"{name} must be more than 0 seconds") as caught:
        Options(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [None, 1, 2**70, np.int64(5)], ids=repr)
def test_a_memory_limit_is_a_number_of_bytes(value: Any) -> None:
    assert Options(memory_limit=value).memory_limit == value
    assert type(Options(memory_limit=value).memory_limit) in (int, type(None))


@pytest.mark.parametrize("value", ["5", "1GB", True, 1.0, 1e9, [5], Decimal(5), np.float64(2)])
def test_what_is_no_integer_is_no_memory_limit(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Options(memory_limit=value)
    assert str(caught.value) == f"memory_limit must be an integer, of bytes, or None, not {value!r}"


@pytest.mark.parametrize("value", [0, -1, np.int64(-5)])
def test_a_memory_limit_is_positive(value: Any) -> None:
    with pytest.raises(ValueError, match="memory_limit must be more than 0 bytes") as caught:
        Options(memory_limit=value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", LIMITS)
def test_limit_beyond_floats(name: str) -> None:
    """A limit that no clock reaches is accepted, or refused with ValueError."""
    limit: dict[str, Any] = {name: 10**400}
    try:
        Options(**limit)
    except ValueError as error:
        assert name in str(error)


@pytest.mark.parametrize("value", [5, b"name", ["name"], Silent()], ids=repr)
def test_names_are_text(value: Any) -> None:
    """A name that is no str raises TypeError that says what it was."""
    with pytest.raises(TypeError) as caught:
        Options(name=value)
    assert str(caught.value) == f"name must be a str or None, not {value!r}"


def test_but_changes_some() -> None:
    """Options can be made of others, of which they keep the rest; the others stay."""
    old = Options(priority=1, name="old")
    assert old.but({"timeout": 5}) == Options(priority=1, name="old", timeout=5)
    assert old == Options(priority=1, name="old")


def test_unknown_options_are_refused() -> None:
    """An option that does not exist raises TypeError that lists those that do."""
    with pytest.raises(TypeError) as caught:
        Options().but({"priority": 1, "prio": 2})
    message = str(caught.value)
    assert message.startswith("unknown option 'prio'; ")
    for field in dataclasses.fields(Options):
        assert (field.name in message) == field.init


def test_but_checks() -> None:
    """Changed options are checked as new ones are."""
    with pytest.raises(ValueError, match="timeout"):
        Options().but({"timeout": -1})


def test_options_are_frozen() -> None:
    """One object serves many jobs, so nobody can change it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().priority = 5  # type: ignore[misc]


# Names of functions ------------------------------------------------------------------------------


class Doer:
    """Something callable without a name."""

    def __call__(self) -> None:
        """Do nothing."""

    def method(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (len, "len"),
        (str.upper, "str.upper"),
        ("x".upper, "str.upper"),
        (Doer, "Doer"),
        (Doer().method, "Doer.method"),
        (Doer(), "Doer"),
        (functools.partial(len, "x"), "len"),
        (functools.partial(functools.partial(Doer())), "Doer"),
        (np.sin, "sin"),
    ],
)
def test_functions_have_names(function: Any, name: str) -> None:
    """Whatever can be called has a name that people know."""
    assert function_name(function) == name


# What is known of a job -----------------------------------------------------------------------------


def make(**options: Any) -> Job:
    """A job submitted at 100 s."""
    return Job(3, Call(divmod, (7, 2), {"k": 1}), Options(**options), b"", 100.0)


def told(job: Job, started: float | None = None, exception: BaseException | None = None) -> JobInfo:
    """Its info, where monotonic 0 is 1000 s after the epoch."""
    return describe(job, started=started, wall=1000.0, exception=exception)


def at(seconds: float) -> datetime:
    """A moment on that clock."""
    return datetime.fromtimestamp(1000.0 + seconds, timezone.utc)


def run(job: Job) -> Job:
    """It runs."""
    job.state, job.slot, job.pid, job.attempt = State.RUNNING, 1, 77, 1
    return job


def end(job: Job) -> Job:
    """It has run from 102 to 105 s and was delivered at 106."""
    run(job)
    job.state, job.verdict = State.DONE, Verdict.RETURNED
    job.started, job.ended, job.processed = 102.0, 105.0, 106.0
    job.cpu_time, job.max_rss, job.exitcode = 0.5, 4096, 0
    return job


def test_job_that_waits() -> None:
    """Of a job that waits it is known what it is and since when; nothing of how it went."""
    info = told(make(priority=5, timeout=9, name="mine"), started=101.0)
    assert (info.id, info.name, info.priority, info.timeout) == (3, "mine", 5, 9)
    assert (info.function, info.args, info.kwargs) == (divmod, (7, 2), {"k": 1})
    assert (info.state, info.submitted, info.attempt) == (State.WAITING, at(100), 0)
    later = ["verdict", "started", "ended", "processed", "waited", "runtime", "cpu_time"]
    later += ["max_rss", "worker", "pid", "exitcode", "exception"]
    assert [getattr(info, name) for name in later] == [None] * len(later)


def test_job_without_a_name_has_its_functions() -> None:
    """The name is the function's, if none was given."""
    assert told(make()).name == "divmod"


def test_job_that_runs() -> None:
    """Of a job that runs it is known where, and since when if the caller knows."""
    info = told(run(make()), started=102.0)
    assert (info.state, info.worker, info.pid, info.attempt) == (State.RUNNING, 1, 77, 1)
    assert (info.started, info.waited, info.runtime, info.ended) == (at(102), 2.0, None, None)
    assert told(run(make())).started is None


def test_job_that_is_done() -> None:
    """Of a job that is done all is known, and its own times count."""
    info = told(end(make()), started=103.0)
    assert (info.state, info.verdict) == (State.DONE, Verdict.RETURNED)
    assert (info.started, info.ended, info.processed) == (at(102), at(105), at(106))
    assert (info.waited, info.runtime) == (2.0, 3.0)
    assert (info.cpu_time, info.max_rss, info.exitcode) == (0.5, 4096, 0)
    assert info.started is not None
    assert info.started.tzinfo is timezone.utc


def test_half_written_record_is_not_told() -> None:
    """While a job is not done, what is already noted of its end is not shown."""
    job = end(make())
    job.state = State.RUNNING
    info = told(job, exception=ValueError())
    assert (info.verdict, info.ended, info.processed, info.runtime) == (None,) * 4
    assert (info.cpu_time, info.max_rss, info.exitcode, info.exception) == (None,) * 4


def test_job_that_never_ran() -> None:
    """A cancelled job has neither start nor duration."""
    job = make()
    job.state, job.verdict = State.DONE, Verdict.CANCELLED
    info = told(job)
    assert (info.started, info.waited, info.runtime, info.verdict) == (
        *(None, None, None),
        Verdict.CANCELLED,
    )


def test_durations_are_never_negative() -> None:
    """Clocks of two processes may differ by a little; durations do not show it."""
    job = end(make())
    job.started, job.ended = 99.9, 99.8
    info = told(job)
    assert (info.waited, info.runtime) == (0.0, 0.0)


def test_a_job_that_its_submitter_has_handed_over_runs_before_the_loop_knows() -> None:
    """Its future was told that it runs, and it is not in the backlog."""
    job = make()
    assert told(job).state is State.WAITING
    job.announced = True
    info = told(job, started=102.0)
    assert info.state is State.RUNNING
    assert info.runtime is None


def test_exception_is_told() -> None:
    """What the future raises is part of it, once the job is done."""
    error = ValueError("no")
    assert told(end(make()), exception=error).exception is error


def test_to_dict_is_plain() -> None:
    """As a dict: every field, enums and function as text; arguments are the job's own."""
    info = told(end(make()))
    plain = info.to_dict()
    assert list(plain) == [field.name for field in dataclasses.fields(JobInfo)]
    assert (plain["state"], plain["verdict"], plain["function"]) == ("done", "returned", "divmod")
    assert plain["args"] is info.args
    assert json.loads(json.dumps(plain, default=str))["runtime"] == 3.0
    assert told(make()).to_dict()["verdict"] is None


class Mute:
    """Something that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __call__(self) -> None:
        """Something to run."""


def test_an_info_shows_what_can_be_shown() -> None:
    """A function and arguments whose `repr` raises keep nobody from seeing the rest."""
    job = Job(3, Call(Mute(), (7, Mute()), {"k": Mute()}), Options(lane=Mute()), b"", 100.0)
    text = repr(told(job, exception=ValueError(Mute())))
    assert text.startswith("JobInfo(id=3, name='Mute', function=<Mute instance at ")
    assert "args=(7, <Mute instance at " in text
    assert "state=<State.WAITING: 'waiting'>" in text
    assert text.endswith("stdout=None, stderr=None)")


def test_an_info_of_a_large_job_is_short() -> None:
    """Of large arguments the beginning is shown, and no more than that is looked at."""
    looked = []

    class Leaf:
        def __repr__(self) -> str:
            looked.append(self)
            return "x"

    nest: list[Any] = [Leaf()] * 100
    for _ in range(4):
        nest = [nest] * 100  # in all, 10,000,000,000 of them
    text = repr(told(Job(3, Call(len, (nest, "y" * 10**6), {}), Options(), b"", 100.0)))
    assert "[x, x, x" in text
    assert len(text) < 2000
    assert len(looked) < 300


def test_info_is_frozen() -> None:
    """What was told stays as it was."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        told(make()).id = 5  # type: ignore[misc]


def test_job_shows_itself() -> None:
    """A job's repr says which it is and where it stands."""
    assert repr(make()) == "<Job 3 'divmod' waiting>"


def test_a_job_whose_future_has_yet_to_be_told_is_not_said_to_be_over() -> None:
    """What is said of it fits what its future says: no end without a result, or an exception."""
    job = end(make())
    info = describe(job, started=None, wall=0.0, exception=None, is_told=False)
    assert info.state is State.RUNNING
    assert (info.verdict, info.ended, info.processed) == (None, None, None)
    job.slot = None
    info = describe(job, started=None, wall=0.0, exception=None, is_told=False)
    assert info.state is State.WAITING
