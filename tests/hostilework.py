"""Objects that are in the way of whoever handles them, each plausible: frozen errors, proxies, odd texts."""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

from workload import fail, forever


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """Lets nobody set an attribute, not even that of its traceback or cause; it does pickle."""

    code: int

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenError, (self.code,)


class RaisingNotes(Exception):
    """Whoever prints its traceback fails."""

    @property
    def __notes__(self) -> NoReturn:
        raise RuntimeError("no notes")


class RaisingText(Exception):
    """Whoever prints it, or its traceback, fails."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


class ExitsWhenPickled(Exception):
    """Its `__reduce__` raises what is no Exception."""

    def __reduce__(self) -> NoReturn:
        raise SystemExit(3)


class ExitsWhenUnpickled(Exception):
    """The same, of what rebuilds it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return fail, (SystemExit, 3)


AWKWARD: list[type[Exception]] = [
    *(FrozenError, RaisingNotes, RaisingText, ExitsWhenPickled, ExitsWhenUnpickled),
]


class Proxy:
    """Like those of mocks and remote calls, it has whatever attribute it is asked for: another proxy."""

    def __getattr__(self, name: str) -> Proxy:
        if name.startswith("__") and name not in ("__qualname__", "__name__"):
            raise AttributeError(name)
        return Proxy()

    def __call__(self) -> None:
        forever()


class Unhelpful:
    """It raises whatever it is asked for its name, or for its text."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") and name not in ("__qualname__", "__name__"):
            raise AttributeError(name)
        raise RuntimeError(f"do not ask me for {name}")

    def __repr__(self) -> NoReturn:
        raise RuntimeError("nor for my text")

    def __call__(self) -> None:
        forever()


class InnerProperty:
    """What it wraps is found by a property, which raises."""

    @property
    def func(self) -> NoReturn:
        raise RuntimeError("do not ask me")

    def __call__(self) -> None:
        forever()
