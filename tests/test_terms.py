"""Which Dask workers are used, and what is said of arguments that make no sense."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from distributed import Client, Security
from distributed.deploy import Cluster

from ezpq_exec import DaskEngine
from ezpq_exec.engines.cluster.target import target
from ezpq_exec.engines.cluster.terms import check_terms

WORKER = {"name": "gpu-1", "host": "10.0.0.7", "threads": 8, "resources": {"GPU": 4.0}}
ADDRESS = "tcp://10.0.0.7:4001"


@pytest.mark.parametrize("named", [None, ADDRESS, "gpu-1", "10.0.0.7", ["x", "gpu-1"]])
def test_a_dask_worker_is_known_by_address_name_and_host(named: Any) -> None:
    assert check_terms(named, None, None).slots_of(ADDRESS, WORKER) == 8


def test_a_dask_worker_that_is_not_named_is_not_used() -> None:
    assert check_terms("other", None, None).slots_of(ADDRESS, WORKER) == 0


@pytest.mark.parametrize(
    ("resources", "slots", "expected"),
    [
        ({"GPU": 1}, None, 4),
        ({"GPU": 3}, None, 1),
        ({"GPU": 5}, None, 0),
        ({"TPU": 1}, None, 0),
        ({"GPU": 0.1}, None, 8),
        ({"GPU": 0.1}, 20, 20),
        (None, 2, 2),
    ],
)
def test_as_many_jobs_run_as_its_threads_and_resources_allow(
    resources: Any, slots: int | None, expected: int
) -> None:
    assert check_terms(None, resources, slots).slots_of(ADDRESS, WORKER) == expected


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (TypeError, "workers must be .* not 5", {"workers": 5}),
        (TypeError, "workers must be", {"workers": [1]}),
        (ValueError, "workers must name at least one", {"workers": []}),
        (TypeError, "resources must be a mapping .* not 'GPU'", {"resources": "GPU"}),
        (TypeError, r"resources\['GPU'\] must be a number, not '1'", {"resources": {"GPU": "1"}}),
        (ValueError, r"resources\['GPU'\] must be more than 0", {"resources": {"GPU": 0}}),
        (TypeError, "the name of a resource must be a string", {"resources": {1: 1}}),
        (TypeError, "slots_per_worker must be an integer", {"slots_per_worker": 1.5}),
        (ValueError, "slots_per_worker must be None or > 0, not 0", {"slots_per_worker": 0}),
        (TypeError, "reconnect_timeout must be a number of seconds", {"reconnect_timeout": "1"}),
        (ValueError, "reconnect_timeout must be more than 0", {"reconnect_timeout": 0}),
        (ValueError, "lost_after must be more than 0 seconds, not -1", {"lost_after": -1}),
        (TypeError, "security must be a distributed.Security", {"security": "tls"}),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(
    error: type[Exception], words: str, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=words):
        DaskEngine("tcp://127.0.0.1:8786", **options)


@pytest.mark.parametrize(("cluster", "error"), [(5, TypeError), ("nonsense", ValueError)])
def test_what_is_no_cluster_is_refused_at_once(cluster: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="the cluster must be a distributed"):
        DaskEngine(cluster)


class Unconnected(Client):  # type: ignore[misc]
    """A client that was never started."""

    scheduler = None

    def __init__(self) -> None: ...

    def __del__(self) -> None: ...

    def __repr__(self) -> str:
        return "<Unconnected>"


class Bare(Cluster):  # type: ignore[misc]
    """A cluster object, as far as an address goes."""

    scheduler_address = ADDRESS
    security = Security()

    def __init__(self) -> None: ...

    def __del__(self, *_: object) -> None: ...

    def __repr__(self) -> str:
        return "<Bare>"


def test_a_client_that_is_not_connected_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="the cluster's client is not connected: <Unconnected>"):
        DaskEngine(Unconnected())


def test_a_cluster_with_a_security_of_its_own_takes_no_other() -> None:
    DaskEngine(Bare())
    with pytest.raises(ValueError, match="security goes with an address only; <Bare> has its own"):
        DaskEngine(Bare(), security=Security())


def test_without_distributed_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """What distributed itself lacks is told as it is."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install ezpq_exec\[dask\]"):
        target(ADDRESS, None)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "distributed.deploy", None)
    with pytest.raises(ModuleNotFoundError, match=r"distributed\.deploy"):
        target(ADDRESS, None)
