"""What a user means by a cluster: the scheduler's address, and how to connect to it safely."""

from __future__ import annotations

from typing import Any

__all__ = ["target"]

WANTED = "a distributed.Client, a cluster object or the address of a Dask scheduler"


def target(cluster: Any, security: Any) -> tuple[str, dict[str, Any]]:
    """The scheduler's address, and the arguments for Dask's `connect` that its security asks for.

    Raises:
        TypeError, ValueError: it is no cluster, or there are two securities.
        ImportError: `distributed` is not installed.

    >>> target("tcp://10.0.0.1:8786", None)[0]
    'tcp://10.0.0.1:8786'
    """
    try:
        from distributed import Client, Security
        from distributed.comm import parse_address
        from distributed.deploy import Cluster
    except ModuleNotFoundError as error:
        if error.name != "distributed":
            raise  # it is there, and lacks something itself
        raise ImportError(
            "DaskEngine needs distributed, which is not installed: pip install ezpq_exec[dask]",
            name="distributed",
        ) from error
    if isinstance(cluster, (Client, Cluster)):
        if security is not None:
            raise ValueError(f"security goes with an address only; {cluster!r} has its own")
        is_client = isinstance(cluster, Client)
        if is_client and cluster.scheduler is None:
            raise ValueError(f"the cluster's client is not connected: {cluster!r}")
        address = cluster.scheduler.address if is_client else cluster.scheduler_address
        security = cluster.security
    elif isinstance(cluster, str):
        address = cluster
    else:
        raise TypeError(f"the cluster must be {WANTED}, not {cluster!r}")
    try:
        parse_address(address, strict=True)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the cluster must be {WANTED}, such as 'tcp://10.0.0.1:8786', not {address!r}"
        ) from error
    return address, _connection(address, Security() if security is None else security)


def _connection(address: str, security: Any) -> dict[str, Any]:
    """The arguments for `connect` by that security."""
    from distributed import Security
    from distributed.comm import parse_address

    if not isinstance(security, Security):
        raise TypeError(f"security must be a distributed.Security, not {security!r}")
    connection: dict[str, Any] = security.get_connection_args("client")
    if parse_address(address)[0] == "tls" and connection["ssl_context"] is None:
        raise ValueError(
            f"{address} needs a security with certificates, as distributed.Security has them "
            f"(tls_ca_file, tls_client_cert, tls_client_key), not {security!r}"
        )
    return connection
