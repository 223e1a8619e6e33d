"""How an executor is put together: an engine, a scheduler, the loop that runs both, and the way in."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import NamedTuple

from .checks import MOST_WORKERS, broken_lender, broken_processes, broken_threads
from .desk import Desk
from .engines.base import Capabilities, Engine, Setup, end
from .engines.choice import default_workers
from .errors import UnsupportedOption
from .excerpt import shown
from .intake import BoundedIntake, Intake
from .places import Places
from .scheduler import Scheduler

__all__ = ["Parts", "assemble"]

GRACE = 1.0  # seconds after an engine's own deadline, until the scheduler acts itself

# What was opened, by identity: an engine need not be hashable, and may be equal to another.
_used: weakref.WeakValueDictionary[int, Engine] = weakref.WeakValueDictionary()


class Parts(NamedTuple):
    """What an executor is made of."""

    max_workers: int
    capabilities: Capabilities
    scheduler: Scheduler
    loop: Desk
    intake: Intake


def assemble(
    engine: Engine,
    max_workers: int | None,
    setup: Setup,
    places: Places | None,
    start_timeout: float,
    idle_timeout: float | None,
) -> Parts:
    """Put together what runs jobs on `engine`, and start its loop. The arguments were checked before.

    Raises:
        UnsupportedOption: the engine cannot do what one of them asks for.
        ValueError: it has served another executor.
    """
    capabilities = engine.capabilities
    _check(engine, setup, idle_timeout)
    engine.open(setup)
    _used[id(engine)] = engine
    count = max_workers or min(default_workers(engine), MOST_WORKERS)
    scheduler = Scheduler(
        min(count, engine.capacity() or 0) if capabilities.follows else count,
        can_kill=capabilities.kills,
        grace=GRACE if capabilities.own_deadlines else 0.0,
        start_timeout=start_timeout,
        unready=_unready(capabilities),
        queues=capabilities.queues and setup.max_tasks_per_child is None,
        quick=capabilities.quick,
        idle_timeout=idle_timeout,
    )
    if capabilities.follows:
        scheduler.slots.offered = engine.capacity()
        scheduler.slots.wanted = max_workers
    try:
        loop = Desk(engine, scheduler, places)
    except RuntimeError:  # no more threads to be had
        end(engine)
        raise
    intake = Intake(engine, loop) if places is None else BoundedIntake(engine, loop, places)
    return Parts(count, capabilities, scheduler, loop, intake)


def _check(engine: Engine, setup: Setup, idle_timeout: float | None) -> None:
    """See that this engine can do what is asked, before it is opened."""
    if id(engine) in _used:
        raise ValueError(
            f"engine must be a new one for each executor; {shown(engine)} has served one"
        )
    for name in ("max_tasks_per_child", "max_worker_memory"):
        value = getattr(setup, name)
        if value is not None and not engine.capabilities.recycles:
            raise UnsupportedOption(
                f"{name} needs workers that are processes of the executor's own (got {shown(value)})"
            )
    if engine.capabilities.borrows and idle_timeout is not None:
        raise UnsupportedOption(
            f"idle_timeout is for those who start the workers; these are borrowed (got {shown(idle_timeout)})"
        )
    if setup.relays_logs and not engine.capabilities.relays:
        raise UnsupportedOption(
            "relay_logs=True needs an engine that hears what its workers log, which this one does not"
        )


def _unready(capabilities: Capabilities) -> Callable[[BaseException], BaseException]:
    if capabilities.borrows:
        return broken_lender
    return broken_processes if capabilities.isolates else broken_threads
