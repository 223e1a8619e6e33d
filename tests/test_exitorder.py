"""Who is called at the end of the interpreter, and what is done about it when that has begun."""

from __future__ import annotations

import threading

import pytest

from ezpq_exec import exitorder


def test_once_the_end_has_begun_its_order_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants to be first then has nothing to fear: all are being called already."""
    called: list[object] = []

    def refuse(callback: object) -> None:
        called.append(callback)
        raise RuntimeError("can't register atexit after shutdown")

    monkeypatch.setattr(threading, "_register_atexit", refuse)
    exitorder.come_first()
    assert len(called) == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        exitorder.call_at_exit(called.clear)
