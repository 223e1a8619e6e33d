"""CPython's own tests of executors, run against ours.

Its mixins are taken as they are; only the executor is another. Where this Python came without its
tests, there is nothing to run. What does not apply is listed in `NOT_OURS`, each with its reason.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib
import unittest
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from conftest import ENGINES, capabilities_of, engine_of
from ezpq_exec import PriorityExecutor, as_completed

SUITE = "test.test_concurrent_futures"
BY_NAME = "it makes a program that imports the executor's class from concurrent.futures by name"
INSIDES = "it looks at private attributes of the stdlib's executors"
THEIR_MODULE = "it makes the stdlib's own executor, not the one under test"

NOT_OURS = {
    "test_cancel_futures": "it counts on a worker that is up by then; ours come up meanwhile, "
    "and test_closing.py promises the same of one that is",
    # of ExecutorShutdownTest; test_drop_in.py has programs that promise the same
    "test_interpreter_shutdown": BY_NAME,
    "test_submit_after_interpreter_shutdown": BY_NAME,
    "test_hang_gh83386": BY_NAME,
    "test_cancel_futures_wait_false": BY_NAME,
    # of ThreadPoolShutdownTest
    "test_threads_terminate": INSIDES,
    "test_context_manager_shutdown": THEIR_MODULE,
    "test_del_shutdown": THEIR_MODULE,
    "test_shutdown_no_wait": THEIR_MODULE,
    "test_thread_names_assigned": THEIR_MODULE,
    "test_thread_names_default": THEIR_MODULE,
    # of ThreadPoolExecutorTest
    "test_default_workers": THEIR_MODULE,
    "test_saturation": INSIDES,
    "test_idle_thread_reuse": INSIDES,
    "test_executor_map_current_future_cancel": THEIR_MODULE,
    "test_hang_global_shutdown_lock": THEIR_MODULE,
    # of ProcessPoolExecutorTest
    "test_max_workers_too_large": "only Windows has that limit, and only the stdlib's way to wait",
    "test_killed_child": "there one death breaks the pool; here it ends one job",
    "test_ressources_gced_in_workers": "it passes multiprocessing's context to the executor",
    "test_idle_process_reuse_one": INSIDES,
    "test_idle_process_reuse_multiple": INSIDES,
    "test_max_tasks_per_child": INSIDES,
    "test_max_tasks_per_child_defaults_to_spawn_context": INSIDES,
    "test_max_tasks_early_shutdown": THEIR_MODULE,
    "test_python_finalization_error": BY_NAME,
    "test_force_shutdown_workers": INSIDES,
    "test_force_shutdown_workers_invalid_op": INSIDES,
    "test_force_shutdown_workers_stops_pool": INSIDES,
    "test_terminate_workers": INSIDES,
    "test_kill_workers": INSIDES,
}

# The mixin, where it is in the package that the module became with 3.12, and for which engines:
# those whose jobs are isolated, those whose jobs are not, or both.
MIXINS = [
    ("ExecutorTest", "executor", None),
    ("ThreadPoolExecutorTest", "test_thread_pool", False),
    ("ProcessPoolExecutorTest", "test_process_pool", True),
    ("WaitTests", "test_wait", None),
    ("ThreadPoolWaitTests", "test_wait", False),
    ("AsCompletedTests", "test_as_completed", None),
    ("ExecutorShutdownTest", "test_shutdown", None),
    ("ThreadPoolShutdownTest", "test_shutdown", False),
    ("InitializerMixin", "test_init", None),
]


def part(name: str) -> Any:
    """The module with that part of the suite; None where this Python came without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = importlib.import_module(SUITE)
            is_package = hasattr(whole, "__path__")
            return importlib.import_module(f"{SUITE}.{name}") if is_package else whole
        except (ImportError, unittest.SkipTest):
            return None


def skipped(reason: str) -> Any:
    """A test that says why it is not run."""

    def test(self: unittest.TestCase) -> None:
        self.skipTest(reason)

    return test


class WithOurs:
    """What the mixins ask of their class."""

    worker_count = 5
    executor: PriorityExecutor
    executor_type: Any
    executor_kwargs: dict[str, Any]

    def setUp(self) -> None:
        """Give each test an executor."""
        self.executor = self.executor_type(self.worker_count, **self.executor_kwargs)

    def tearDown(self) -> None:
        """Let it go."""
        self.executor.shutdown()
        del self.executor


def make_case(mixin: Any, engine: str, *, ours: bool = False) -> type[unittest.TestCase]:
    """The tests of a mixin for an engine; `ours`: with our `as_completed`, too."""
    tests = {
        name: skipped(NOT_OURS[name]) if name in NOT_OURS else getattr(mixin, name)
        for name in dir(mixin)
        if name.startswith(("test", "_test"))
    }
    extra = {name: getattr(mixin, name) for name in ("_assert_logged",) if hasattr(mixin, name)}
    kwargs: dict[str, Any] = {}
    if mixin.__name__ == "InitializerMixin":
        module = importlib.import_module(mixin.__module__)
        kwargs = {"initializer": module.init, "initargs": ("initialized",)}
    case = type(
        f"{mixin.__name__}_{engine}{'_ours' if ours else ''}",
        (WithOurs, unittest.TestCase),
        {
            **tests,
            **extra,
            "executor_type": staticmethod(
                functools.partial(PriorityExecutor, engine=engine_of(engine))
            ),
            "executor_kwargs": kwargs,
            "__module__": __name__,
            "__doc__": mixin.__doc__,
        },
    )
    if ours:
        patch = mock.patch.object(concurrent.futures, "as_completed", as_completed)
        case = patch_all(case, patch)
    return case


def patch_all(case: Any, patch: Any) -> Any:
    """The case with each of its tests run under `patch`."""
    for name in dir(case):
        if name.startswith("test"):
            setattr(case, name, patch_one(getattr(case, name), patch))
    return case


def patch_one(test: Any, patch: Any) -> Any:
    """The test, under `patch`."""

    @functools.wraps(test)
    def patched(self: unittest.TestCase) -> None:
        with patch:
            test(self)

    return patched


def cases() -> Iterator[type[unittest.TestCase]]:
    """All the cases that can be made here."""
    for name, module_name, isolated in MIXINS:
        mixin = getattr(part(module_name), name, None)
        if mixin is None:
            continue
        for engine in [name for name in ENGINES if ":" not in ENGINES[name]]:
            if isolated in {None, capabilities_of(engine).isolates}:
                yield make_case(mixin, engine)
                if name == "AsCompletedTests":
                    yield make_case(mixin, engine, ours=True)


globals().update({case.__name__: case for case in cases()})


def test_this_python_came_with_its_tests() -> None:
    """Skipped is said once, and loudly enough."""
    if part("executor") is None:
        pytest.skip(f"this Python came without {SUITE}")
    assert sum(name.endswith("_processes") for name in globals()) >= 5
