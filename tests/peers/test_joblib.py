"""joblib, and scikit-learn, over the backend that `ezpq_exec.joblib` registers."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

joblib = pytest.importorskip("joblib", reason="joblib is not installed; the extra joblib brings it")

import ezpq_exec.reusable  # noqa: E402
from conftest import Census, eventually  # noqa: E402
from ezpq_exec import (  # noqa: E402
    JobTimeout,
    PriorityExecutor,
    UnsupportedOption,
    WorkerDied,
)
from ezpq_exec.joblib import PriorityBackend, register  # noqa: E402
from gates import PATIENCE  # noqa: E402
from workload import FOREVER, add, die, fail, flaky, sleep_for  # noqa: E402

delayed = joblib.delayed


@pytest.fixture(autouse=True)
def _fresh(census: Census) -> Iterator[None]:
    """Each test begins and ends without the program's executor."""
    ezpq_exec.reusable._executor = None
    yield
    ezpq_exec.reusable._executor = None
    gc.collect()


def backend(**options: Any) -> Any:
    """The backend for what stands below."""
    return joblib.parallel_config(backend="ezpq_exec", **{"n_jobs": 2, **options})


@pytest.mark.parametrize("engine", ["processes", "threads"])
def test_results_come_in_order_from_workers_that_stay(engine: str) -> None:
    with backend(engine=engine):
        parallel = joblib.Parallel()
        assert parallel(delayed(add)(n, 1) for n in range(50)) == list(range(1, 51))
        pids = set(parallel(delayed(os.getpid)() for _ in range(20)))
        assert len(pids | set(joblib.Parallel()(delayed(os.getpid)() for _ in range(20)))) <= 2
        assert (os.getpid() in pids) == (engine == "threads")
        with joblib.Parallel() as managed:
            assert managed(delayed(add)(n, 1) for n in range(5)) == managed(
                [delayed(add)(n, 1) for n in range(5)]
            )


def test_by_default_all_cpus_are_used_and_negative_numbers_leave_some() -> None:
    cpus = joblib.cpu_count()
    with joblib.parallel_config(backend="ezpq_exec"):
        assert joblib.effective_n_jobs() == joblib.effective_n_jobs(-1) == cpus
        assert joblib.effective_n_jobs(-2) == max(1, cpus - 1)
        assert joblib.effective_n_jobs(7) == 7
        with pytest.raises(ValueError, match="n_jobs"):
            joblib.Parallel(n_jobs=0)([delayed(add)(1, 1)])


def is_idle(executor: PriorityExecutor) -> bool:
    """Whether nothing runs any more; if not, the test is to fail, and not to wait for it."""
    if eventually(lambda: executor.stats().running == executor.stats().waiting == 0, within=10):
        return True
    executor.kill_workers()
    return False


def test_what_a_call_raises_is_raised_and_the_others_are_ended() -> None:
    calls = [delayed(sleep_for)(FOREVER), delayed(fail)(KeyError, "k"), delayed(sleep_for)(FOREVER)]
    with PriorityExecutor(2) as executor, backend(executor=executor):
        with pytest.raises(KeyError, match="k"):
            joblib.Parallel()(calls)
        assert is_idle(executor)
        assert joblib.Parallel()([delayed(add)(1, 1)]) == [2]


def test_a_timeout_kills_one_call_and_is_raised() -> None:
    with backend(timeout=0.2):
        with pytest.raises(JobTimeout, match="sleep_for"):
            joblib.Parallel()(delayed(sleep_for)(seconds) for seconds in (0, FOREVER, 0))
        assert joblib.Parallel()([delayed(add)(1, 1)]) == [2]


def test_errors_can_stand_in_the_place_of_results(tmp_path: Path) -> None:
    """Those by which a call came to no end of its own: what it raises is raised all the same."""
    with backend(timeout=1, errors="return"):
        calls = [
            delayed(add)(1, 1),
            delayed(sleep_for)(FOREVER),
            delayed(die)(3),
            delayed(add)(2, 2),
        ]
        first, hung, died, last = joblib.Parallel()(calls)
        assert (first, last) == (2, 4)
        assert isinstance(hung, JobTimeout)
        assert isinstance(died, WorkerDied)
        batched = joblib.Parallel(batch_size=2)([delayed(die)(3)] * 2 + [delayed(add)(1, 1)] * 2)
        assert [type(each) for each in batched] == [WorkerDied, WorkerDied, int, int]
        with pytest.raises(KeyError):
            joblib.Parallel()([delayed(fail)(KeyError), delayed(add)(1, 1)])
    with backend(retries=2, retry_on=ValueError):
        path = str(tmp_path / "calls")
        assert joblib.Parallel()([delayed(flaky)(path, 2, fail, ValueError)]) == [3]


def test_with_one_job_options_hold_as_well() -> None:
    """For n_jobs=1 joblib makes the calls itself, unless there is something to be kept."""
    with backend(n_jobs=1):
        assert joblib.Parallel()([delayed(os.getpid)()]) == [os.getpid()]
    with backend(n_jobs=1, timeout=0.2):
        with pytest.raises(JobTimeout):
            joblib.Parallel()([delayed(sleep_for)(FOREVER)])
        assert len(set(joblib.Parallel()(delayed(os.getpid)() for _ in range(9)))) == 1


def test_a_generator_gives_results_as_they_come_and_ends_the_rest_when_it_is_closed() -> None:
    with PriorityExecutor(2) as executor, backend(executor=executor):
        results = joblib.Parallel(return_as="generator")(delayed(add)(n, 1) for n in range(30))
        assert list(itertools.islice(results, 3)) == [1, 2, 3]
        assert list(results) == list(range(4, 31))
        unordered = joblib.Parallel(return_as="generator_unordered")(
            [delayed(sleep_for)(FOREVER), delayed(add)(1, 1)]
        )
        assert next(unordered) == 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's, that it takes back calls
            unordered.close()
        assert is_idle(executor)


def test_joblibs_own_timeout_ends_all_that_runs() -> None:
    with PriorityExecutor(2) as executor, backend(executor=executor):
        with pytest.raises(multiprocessing.TimeoutError):
            joblib.Parallel(timeout=0.2)([delayed(sleep_for)(FOREVER)] * 3)
        assert is_idle(executor)


def nested(n: int) -> list[int]:
    results: list[int] = joblib.Parallel(n_jobs=2)(delayed(add)(k, 1) for k in range(n))
    return results


def deeper(n: int) -> list[list[int]]:
    results: list[list[int]] = joblib.Parallel(n_jobs=2)(delayed(nested)(k) for k in range(n))
    return results


@pytest.mark.parametrize("engine", ["processes", "threads"])
def test_calls_that_call_in_parallel_themselves_come_to_an_end(engine: str) -> None:
    with backend(engine=engine):
        assert joblib.Parallel()(delayed(deeper)(n) for n in (1, 2, 3)) == [
            [list(range(1, k + 1)) for k in range(n)] for n in (1, 2, 3)
        ]


def test_an_executor_of_ones_own_is_used_and_stays_open() -> None:
    with PriorityExecutor(3) as executor:
        executor.submit(add, 0, 0).result(PATIENCE)
        with joblib.parallel_config(backend="ezpq_exec", executor=executor, priority=3):
            assert joblib.effective_n_jobs(-1) == joblib.effective_n_jobs(8) == 3
            assert joblib.Parallel()(delayed(add)(n, 1) for n in range(9)) == list(range(1, 10))
        last = executor.submit(add, 0, 0)
        assert last.result(PATIENCE) == 0
        assert last.info.id == 1 + 9 + 1
        with (
            backend(executor=executor, inner_max_num_threads=1),
            pytest.raises(ValueError, match="inner_max_num_threads"),
        ):
            joblib.Parallel()([delayed(add)(1, 1)])


def test_an_executor_that_takes_no_more_is_an_error_and_no_hang() -> None:
    executor = PriorityExecutor(2)

    def calls() -> Iterator[Any]:
        for n in range(20):
            if n == 10:  # by then joblib submits from a callback
                executor.shutdown(wait=False)
            yield delayed(add)(n, 1)

    with backend(executor=executor), pytest.raises(RuntimeError, match="shut"):
        joblib.Parallel()(calls())


def variable(name: str) -> str | None:
    return os.environ.get(name)


def test_threads_of_libraries_are_divided_among_the_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    share = str(max(1, joblib.cpu_count() // 2))
    with backend():
        assert joblib.Parallel()(delayed(variable)(name) for name in names) == [share, "7"]
    with backend(inner_max_num_threads=5):
        assert joblib.Parallel()(delayed(variable)(name) for name in names) == ["5", "5"]


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"errors": "ignore"}, ValueError, "errors must be"),
        ({"timeuot": 1}, TypeError, "unknown option 'timeuot'"),
        ({"timeout": -1}, ValueError, "timeout must be"),
        ({"executor": 3}, TypeError, "executor must be"),
        ({"engine": "proceses"}, ValueError, "engine must be"),
    ],
)
def test_bad_arguments_are_refused_where_they_are_given(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text), backend(**options):
        pass


def test_with_an_executor_its_own_affairs_are_refused() -> None:
    with PriorityExecutor(1, engine="threads") as executor:
        with pytest.raises(ValueError, match="own affair"):
            PriorityBackend(executor=executor, max_tasks_per_child=3)
        with pytest.raises(UnsupportedOption):
            PriorityExecutor(1, engine="threads", max_tasks_per_child=3)


def test_registering_again_changes_nothing() -> None:
    register()
    with backend():
        assert joblib.Parallel()([delayed(add)(1, 1)]) == [2]


def test_scikit_learn_fits_and_scores_on_it() -> None:
    """A grid search gives what it gives without, and a fit that hangs is killed alone."""
    pytest.importorskip(
        "sklearn", reason="scikit-learn is not installed; the extra peers brings it"
    )
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    rows, labels = make_classification(60, random_state=0)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0, 10.0]}, cv=3)
    expected = search.fit(rows, labels).cv_results_["mean_test_score"].tolist()
    with backend(timeout=PATIENCE):
        found = search.fit(rows, labels).cv_results_["mean_test_score"].tolist()
    assert found == expected
