"""Every wrong argument of the public API raises at the call, and says which, what, and what for."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conftest import Maker
from ezpq_exec import PriorityExecutor, UnsupportedOption, as_completed
from ezpq_exec.engines.choice import choose
from gates import PATIENCE, Gate, hold
from workload import WillNotPickle, add, echo

NAN = float("nan")


def raises(
    kind: type[Exception], name: str, value: object, call: Callable[[], object]
) -> Exception:
    """Check that `call` raises `kind`, naming the argument and showing its value."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert name in message, message
    assert repr(value) in message, message
    assert len(message) > len(name) + len(repr(value)) + 5, message  # and what was expected
    return caught.value


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (ValueError, "max_workers", 0),
        (ValueError, "max_workers", -3),
        (TypeError, "max_workers", 1.0),
        (TypeError, "max_workers", "2"),
        (TypeError, "max_workers", True),
        (ValueError, "max_workers", 10**9),
        (ValueError, "engine", "process"),
        (TypeError, "engine", 5),
        (TypeError, "engine", None),
        (TypeError, "initializer", "a name"),
        (TypeError, "initializer", 0),
        (TypeError, "initargs", [1]),
        (TypeError, "initargs", None),
        (TypeError, "max_tasks_per_child", 1.5),
        (TypeError, "max_tasks_per_child", "1"),
        (TypeError, "max_tasks_per_child", True),
        (ValueError, "max_tasks_per_child", 0),
        (ValueError, "max_tasks_per_child", -1),
        (TypeError, "max_worker_memory", "1 GB"),
        (TypeError, "max_worker_memory", 1e9),
        (TypeError, "max_worker_memory", True),
        (ValueError, "max_worker_memory", 0),
        (ValueError, "start_timeout", 0),
        (ValueError, "start_timeout", -1.0),
        (ValueError, "start_timeout", NAN),
        (TypeError, "start_timeout", "60"),
        (TypeError, "start_timeout", None),
        (TypeError, "start_timeout", True),
    ],
)
def test_the_executor_refuses(kind: type[Exception], name: str, value: Any) -> None:
    raises(kind, name, value, lambda: PriorityExecutor(**{name: value}))


def test_the_executor_refuses_arguments_that_it_does_not_know() -> None:
    make: Any = PriorityExecutor
    with pytest.raises(TypeError, match="mp_context"):
        make(1, mp_context=None)
    with pytest.raises(TypeError):
        make(1, "threads")


def test_an_engine_that_cannot_recycle_refuses_to(make_executor: Maker) -> None:
    if make_executor().capabilities.recycles:
        assert make_executor(1, max_tasks_per_child=2).submit(add, 1, 1).result(PATIENCE) == 2
        return
    raises(
        UnsupportedOption, "max_tasks_per_child", 2, lambda: make_executor(max_tasks_per_child=2)
    )


def test_an_engine_serves_one_executor(new_engine: Callable[[], Any]) -> None:
    """Neither at once nor one after another does it serve two."""
    engine = choose(new_engine())
    with PriorityExecutor(1, engine=engine) as executor:
        raises(ValueError, "engine", engine, lambda: PriorityExecutor(1, engine=engine))
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    raises(ValueError, "engine", engine, lambda: PriorityExecutor(1, engine=engine))


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")
def test_an_initializer_that_cannot_be_carried_raises_at_the_call(make_executor: Maker) -> None:
    with pytest.raises(TypeError, match="I stay where I am"):
        make_executor(1, initializer=echo, initargs=(WillNotPickle(),))


@pytest.fixture
def executor(make_executor: Maker) -> PriorityExecutor:
    """An executor over each engine in turn."""
    return make_executor(1)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (TypeError, "priority", "high"),
        (TypeError, "priority", None),
        (TypeError, "priority", 1j),
        (TypeError, "priority", (1, 2)),
        (ValueError, "priority", NAN),
        (TypeError, "timeout", "5"),
        (TypeError, "timeout", True),
        (TypeError, "timeout", [1]),
        (ValueError, "timeout", 0),
        (ValueError, "timeout", -0.5),
        (ValueError, "timeout", NAN),
        (TypeError, "queue_timeout", "5"),
        (TypeError, "lane", ["a"]),
        (TypeError, "lane", {}),
        (TypeError, "stop_on_lane_error", 1),
        (TypeError, "stop_on_lane_error", None),
        (TypeError, "retries", 1.0),
        (TypeError, "retries", True),
        (TypeError, "retries", None),
        (ValueError, "retries", -1),
        (TypeError, "retry_on", "ValueError"),
        (TypeError, "retry_on", int),
        (TypeError, "retry_on", None),
        (TypeError, "retry_on", (ValueError, 5)),
        (TypeError, "retry_on", [ValueError]),
        (TypeError, "queue_timeout", False),
        (ValueError, "queue_timeout", 0.0),
        (ValueError, "queue_timeout", -1),
        (ValueError, "queue_timeout", NAN),
        (TypeError, "memory_limit", "1 GB"),
        (TypeError, "memory_limit", 1.5),
        (ValueError, "memory_limit", 0),
        (TypeError, "name", 5),
        (TypeError, "name", b"bytes"),
        (TypeError, "nmae", "x"),
    ],
)
def test_options_refuses(
    executor: PriorityExecutor, kind: type[Exception], name: str, value: Any
) -> None:
    if name == "nmae":
        with pytest.raises(TypeError, match=r"nmae.*priority, timeout"):
            executor.options(nmae=value)
        return
    raises(kind, name, value, lambda: executor.options(**{name: value}))
    raises(kind, name, value, lambda: executor.options(priority=1).options(**{name: value}))


@pytest.mark.parametrize("value", [3e6, 1e10, float("inf")])
def test_a_timeout_that_hardly_ever_comes_is_no_mistake(
    executor: PriorityExecutor, gate: Gate, value: float
) -> None:
    held = executor.options(timeout=value).submit(hold, gate.path)
    gate.heard()
    waiting = executor.options(queue_timeout=value).submit(add, 1, 1)
    assert executor.stats().waiting == 1
    gate.open()
    assert isinstance(held.result(PATIENCE), int)
    assert waiting.result(PATIENCE) == 2


def test_a_start_timeout_that_never_comes_is_no_mistake(make_executor: Maker) -> None:
    executor = make_executor(1, start_timeout=float("inf"))
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.parametrize("value", [None, 5, "add"])
def test_submit_refuses_what_cannot_be_called(executor: PriorityExecutor, value: Any) -> None:
    raises(TypeError, "callable", value, lambda: executor.submit(value))
    raises(TypeError, "callable", value, lambda: executor.options(name="x").submit(value, 1))


def test_submit_refuses_to_go_without_a_function(executor: PriorityExecutor) -> None:
    submit: Any = executor.submit
    with pytest.raises(TypeError):
        submit()
    with pytest.raises(TypeError):
        submit(fn=add, a=1, b=2)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (ValueError, "chunksize", 0),
        (ValueError, "chunksize", "Auto"),
        (ValueError, "chunksize", -1),
        (TypeError, "chunksize", 1.5),
        (TypeError, "chunksize", None),
        (TypeError, "chunksize", True),
        (ValueError, "buffersize", 0),
        (ValueError, "buffersize", -1),
        (TypeError, "buffersize", 1.5),
        (TypeError, "buffersize", "1"),
        (TypeError, "timeout", "5"),
    ],
)
def test_map_refuses(
    executor: PriorityExecutor, kind: type[Exception], name: str, value: Any
) -> None:
    def never_read() -> Iterator[int]:
        pytest.fail("it was read")
        yield 1

    for each in (executor, executor.options(priority=1)):
        raises(kind, name, value, lambda each=each: each.map(echo, never_read(), **{name: value}))  # type: ignore[misc]


@pytest.mark.parametrize("value", [None, 5])
def test_map_refuses_what_cannot_be_called(executor: PriorityExecutor, value: Any) -> None:
    for items in ([1], []):
        raises(TypeError, "callable", value, lambda items=items: executor.map(value, items))  # type: ignore[misc]


def test_map_refuses_what_cannot_be_iterated(executor: PriorityExecutor) -> None:
    items: Any = 5
    with pytest.raises(TypeError, match="iter"):
        executor.map(echo, items)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *[(ValueError, 0), (ValueError, -1), (ValueError, 10**9)],
        *[(TypeError, 1.0), (TypeError, None), (TypeError, True)],
    ],
)
def test_resize_refuses(executor: PriorityExecutor, kind: type[Exception], value: Any) -> None:
    raises(kind, "max_workers", value, lambda: executor.resize(value))
    assert executor.max_workers == 1


@pytest.mark.parametrize(
    ("kind", "value"), [(TypeError, "1"), (TypeError, None), (TypeError, 1j), (ValueError, NAN)]
)
def test_reprioritize_refuses(
    executor: PriorityExecutor, gate: Gate, kind: type[Exception], value: Any
) -> None:
    executor.submit(hold, gate.path)
    gate.heard()
    future = executor.submit(add, 1, 1)
    raises(kind, "priority", value, lambda: future.reprioritize(value))
    assert future.priority == 100
    gate.open()
    assert future.result(PATIENCE) == 2
    raises(kind, "priority", value, lambda: future.reprioritize(value))


@pytest.mark.parametrize("value", [5, None])
def test_as_completed_refuses_what_cannot_be_iterated(value: Any) -> None:
    raises(TypeError, "futures", value, lambda: as_completed(value))


@pytest.mark.parametrize(("kind", "value"), [(TypeError, "5"), (TypeError, [1]), (ValueError, NAN)])
def test_as_completed_refuses_a_timeout_that_is_none(kind: type[Exception], value: Any) -> None:
    raises(kind, "timeout", value, lambda: as_completed([], value))


def test_a_name_that_the_package_has_not_is_an_attribute_error() -> None:
    import ezpq_exec

    with pytest.raises(AttributeError, match="no_such_name"):
        ezpq_exec.no_such_name
    assert set(ezpq_exec.__all__) <= set(dir(ezpq_exec))
    assert all(getattr(ezpq_exec, name) is not None for name in ezpq_exec.__all__)


def test_terms_that_were_good_do_not_make_equal_ones_good() -> None:
    """`retries=True` is refused after `retries=1`, and 1.0 stays a float: what is equal is not the same."""
    with PriorityExecutor(1, engine="threads") as ex:
        assert ex.options(priority=1).submit(int).priority == 1
        assert type(ex.options(priority=1.0).submit(int).priority) is float
        assert type(ex.options(priority=1).submit(int).priority) is int
        ex.options(retries=1)
        with pytest.raises(TypeError, match="retries must be an integer, not True"):
            ex.options(retries=True)
        for _ in range(2):
            with pytest.raises(ValueError, match="timeout must be more than 0"):
                ex.options(timeout=-1)


class Strange:
    """Compares, and becomes text, in no way at all."""

    def refuse(self, *_: object) -> Any:
        raise RuntimeError

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __format__ = __str__ = refuse
    __hash__ = object.__hash__


class StrangeName(Strange, str):
    __slots__ = ()


class StrangeDecimal(Strange, Decimal):
    """A number."""


class StrangeFraction(Strange, Fraction):  # type: ignore[misc]
    """A number."""


class StrangeFloat(Strange, float):
    """A number."""


def test_no_code_of_a_subclass_decides_what_runs_next_or_says_what_befell_it() -> None:
    """Of a text, or a number, of a class of somebody's own, only the text or the number is kept."""
    ranks = [StrangeDecimal("2.5"), StrangeFraction(3, 2), StrangeFloat(0.5)]
    began: list[int] = []
    with PriorityExecutor(1, engine="threads") as ex:
        ex.pause()
        for number, rank in enumerate(ranks):
            ex.options(priority=rank).submit(began.append, number)
        stuck = ex.options(name=StrangeName("stuck"), queue_timeout=0.01).submit(int)
        assert "stuck" in str(stuck.exception(PATIENCE))
        ex.resume()
    assert began == [2, 1, 0]


def test_integers_of_numpy_are_integers() -> None:
    """As they are for the standard library's executors."""
    two: Any = np.int64(2)
    with PriorityExecutor(two, max_tasks_per_child=two, max_pending=two) as ex:
        ex.resize(two)
        assert list(ex.map(add, range(5), range(5), chunksize=two, buffersize=two)) == [
            0,
            2,
            4,
            6,
            8,
        ]
        assert type(ex.max_workers) is int
        assert ex.options(retries=two, memory_limit=two * 2**40).submit(int).result(PATIENCE) == 0


def test_decimals_that_refuse_floats_rank_among_them() -> None:
    """Whatever the program has its threads' decimals do."""
    decimal.DefaultContext.traps[decimal.FloatOperation] = True
    try:
        with PriorityExecutor(1, engine="threads") as ex:
            ex.pause()
            ranks: list[Any] = [Decimal("2.5"), 1.5, Decimal("0.5")]
            began: list[Any] = []
            for rank in ranks:
                ex.options(priority=rank).submit(began.append, rank)
            ex.resume()
    finally:
        decimal.DefaultContext.traps[decimal.FloatOperation] = False
    assert began == ranks[::-1]


def test_a_lender_of_any_size_is_borrowed_from() -> None:
    """Though no more jobs are lent to it at a time than there can be slots."""
    with ThreadPoolExecutor(10**9) as lender, PriorityExecutor(engine=lender) as ex:
        assert ex.submit(add, 1, 2).result(PATIENCE) == 3


def test_any_number_of_terms_can_be_asked_for() -> None:
    """Each is what was asked for, also when many were before."""
    with PriorityExecutor(1, engine="threads") as ex:
        views = [ex.options(priority=number) for number in range(600)]
        again = [ex.options(priority=number).options(name="x") for number in range(600)]
        assert [view.submit(int).priority for view in views] == list(range(600))
        assert [view.submit(int).priority for view in again] == list(range(600))
