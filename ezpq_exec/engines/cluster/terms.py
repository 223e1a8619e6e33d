"""Which Dask workers may run jobs, and how many at once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...options import check_integer

__all__ = ["Terms", "check_terms"]


@dataclass(frozen=True)
class Terms:
    """What an executor asks of Dask workers.

    Attributes:
        workers: addresses, names or hosts of those that may be used; None for all.
        resources: how much of which of a worker's resources one job takes.
        slots: jobs at once on a worker; None for as many as it has threads.

    >>> gpu = Terms(resources={"GPU": 2})
    >>> gpu.slots_of("tcp://10.0.0.7:40001", {"threads": 8, "resources": {"GPU": 4}})
    2
    """

    workers: frozenset[str] | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    slots: int | None = None

    def slots_of(self, address: str, worker: Mapping[str, Any]) -> int:
        """How many jobs that Dask worker may run at once; 0 if it is not to be used."""
        if self.workers is not None:
            names = {address, str(worker["name"]), worker["host"]}
            if not names & self.workers:
                return 0
        count = worker["threads"] if self.slots is None else self.slots
        for resource, amount in self.resources.items():
            count = min(count, int(worker["resources"].get(resource, 0) / amount))
        return int(count)


def check_terms(workers: object, resources: object, slots: object) -> Terms:
    """The terms that a user has asked for; TypeError or ValueError if they are none.

    >>> check_terms("gpu-1", None, 2)
    Terms(workers=frozenset({'gpu-1'}), resources={}, slots=2)
    """
    count = None
    if slots is not None:
        count = check_integer("slots_per_worker", slots, "an integer or None")
        if count < 1:
            raise ValueError(f"slots_per_worker must be None or > 0, not {slots!r}")
    return Terms(_names(workers), _amounts(resources), count)


def _names(workers: object) -> frozenset[str] | None:
    if workers is None:
        return None
    if isinstance(workers, str):
        return frozenset([workers])
    if not isinstance(workers, Collection) or not all(isinstance(each, str) for each in workers):
        raise TypeError(f"workers must be a name or several, each a string, not {workers!r}")
    if not workers:
        raise ValueError("workers must name at least one Dask worker, or be None for all")
    return frozenset(workers)


def _amounts(resources: object) -> dict[str, float]:
    if resources is None:
        return {}
    if not isinstance(resources, Mapping):
        raise TypeError(f"resources must be a mapping of names to amounts, not {resources!r}")
    for name, amount in resources.items():
        if not isinstance(name, str):
            raise TypeError(f"the name of a resource must be a string, not {name!r}")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)):
            raise TypeError(f"resources[{name!r}] must be a number, not {amount!r}")
        if not amount > 0:
            raise ValueError(f"resources[{name!r}] must be more than 0, not {amount!r}")
    return dict(resources)
