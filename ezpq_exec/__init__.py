"""An executor for many independent, long jobs: priorities, timeouts that kill, rich futures.

`PriorityExecutor` stands wherever the executors of `concurrent.futures` do. All names are imported
when they are first used, for a worker imports through this module and needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Capabilities": "engines.base",
    "ConfiguredExecutor": "configured",
    "DaskEngine": "engines.dask",
    "Engine": "engines.base",
    "ExecutorFull": "errors",
    "Job": "ezpq_job",
    "JobError": "errors",
    "JobFuture": "future",
    "JobInfo": "jobs",
    "JobKilled": "errors",
    "JobStack": "whereabouts",
    "JobTimeout": "errors",
    "LaneStopped": "errors",
    "MemoryLimitExceeded": "errors",
    "Plot": "plot",
    "PriorityExecutor": "executor",
    "Queue": "queue",
    "QueueTimeout": "errors",
    "RemoteError": "errors",
    "Shared": "engines.shared",
    "SharedClosed": "errors",
    "State": "jobs",
    "Stats": "stats",
    "UnsupportedOption": "errors",
    "Verdict": "jobs",
    "WorkerDied": "errors",
    "as_completed": "completed",
    "get_reusable_executor": "reusable",
    "to_frame": "frame",
    "to_trace": "trace",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605

if TYPE_CHECKING:
    from .completed import as_completed as as_completed
    from .configured import ConfiguredExecutor as ConfiguredExecutor
    from .engines.base import Capabilities as Capabilities
    from .engines.base import Engine as Engine
    from .engines.dask import DaskEngine as DaskEngine
    from .engines.shared import Shared as Shared
    from .errors import ExecutorFull as ExecutorFull
    from .errors import JobError as JobError
    from .errors import JobKilled as JobKilled
    from .errors import JobTimeout as JobTimeout
    from .errors import LaneStopped as LaneStopped
    from .errors import MemoryLimitExceeded as MemoryLimitExceeded
    from .errors import QueueTimeout as QueueTimeout
    from .errors import RemoteError as RemoteError
    from .errors import SharedClosed as SharedClosed
    from .errors import UnsupportedOption as UnsupportedOption
    from .errors import WorkerDied as WorkerDied
    from .executor import PriorityExecutor as PriorityExecutor
    from .ezpq_job import Job as Job
    from .frame import to_frame as to_frame
    from .future import JobFuture as JobFuture
    from .jobs import JobInfo as JobInfo
    from .jobs import State as State
    from .jobs import Verdict as Verdict
    from .plot import Plot as Plot
    from .queue import Queue as Queue
    from .reusable import get_reusable_executor as get_reusable_executor
    from .stats import Stats as Stats
    from .trace import to_trace as to_trace
    from .whereabouts import JobStack as JobStack


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
