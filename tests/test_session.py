"""A session with a Dask worker that answers as the test says: who may not run jobs, and why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ezpq_exec.engines.cluster import session
from ezpq_exec.engines.cluster.connecting import UnfitError
from ezpq_exec.engines.cluster.session import Session, Silence
from ezpq_exec.packing import pack_error


class Greeter:
    """A connection over which one message comes."""

    def __init__(self, message: Any) -> None:
        self._message = message
        self.aborted = False

    async def read(self) -> Any:
        if isinstance(self._message, Exception):
            raise self._message
        return self._message

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    ("greeting", "error", "words"),
    [
        (None, UnfitError, "the Dask worker at tcp://a:1 has another version of ezpq_exec"),
        (
            {"failure": pack_error(RuntimeError("no keepers"))},
            UnfitError,
            "tcp://a:1 cannot run jobs: RuntimeError.*no keepers",
        ),
        (ConnectionError("cut"), ConnectionError, "cut"),
    ],
)
def test_a_dask_worker_that_cannot_run_jobs_is_let_go_and_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, greeting: Any, error: type[Exception], words: str
) -> None:
    """It was never ours, so that no slot is lost with it."""
    wire, told = Greeter(greeting), []

    async def installed(*_: object) -> None: ...

    async def connected(*_: object) -> Greeter:
        return wire

    monkeypatch.setattr(session, "installed", installed)
    monkeypatch.setattr(session, "connected", connected)
    made = Session("tcp://a:1", "a", 1, {}, b"", Silence(60.0), lambda *news: told.append(news))
    with pytest.raises(error, match=words):
        asyncio.run(made.run())
    assert wire.aborted
    assert told == []
