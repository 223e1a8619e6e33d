"""A short, printable text of any value, for people to read, never longer than asked for.

Values come from users' jobs. Their `repr` may raise, be megabytes long, or hold what no font, log
or file can show.
"""

from __future__ import annotations

import reprlib
from typing import Any

__all__ = ["excerpt", "printable", "shown"]

_GREATEST = 10**40  # larger integers are not converted: Python takes long, or refuses


def excerpt(value: object, length: int = 80) -> str:
    """The `repr` of `value`, or as much of it as fits; of a str, the str itself.

    >>> excerpt([1, "two"]), excerpt("two words"), excerpt(list(range(1000)), 12)
    ("[1, 'two']", 'two words', '[0, 1, 2, 3…')
    """
    if isinstance(value, str):
        return printable(str.__str__(value[: length + 1]), length)
    return shown(value, length)


def shown(value: object, length: int = 200) -> str:
    """The same, for errors that name what they were given: a str has its quotes.

    >>> shown("two words"), shown(KeyError("lost"))
    ("'two words'", "KeyError('lost')")
    """
    if type(value) is int and abs(value) > _GREATEST:
        return f"an integer of {value.bit_length():,} bits"
    try:
        return printable(_brief(length).repr(value), length)
    except Exception as error:  # whatever the user's __repr__ does
        return printable(f"<{type(value).__name__}, repr raises {type(error).__name__}>", length)


def printable(text: str, length: int) -> str:
    r"""`text` in one line of at most `length` characters, all of which can be shown.

    >>> printable("one\ttwo\nthree", 9)
    'one two …'
    """
    if text.isprintable() and len(text) <= length:
        return text
    clean = "".join(each if each.isprintable() else " " for each in text[: length + 1])
    return clean if len(clean) <= length else clean[: length - 1] + "…"


class _Brief(reprlib.Repr):
    """Looks at no more values than the text has room for, however they are nested."""

    left = 0

    def repr1(self, x: Any, level: int) -> str:
        self.left -= 1
        return "…" if self.left < 0 else super().repr1(x, level)


def _brief(length: int) -> reprlib.Repr:
    brief = _Brief()
    brief.left = length + 1  # each value takes a character at least, be it a bracket
    brief.maxstring = brief.maxother = length + 8
    brief.maxlist = brief.maxtuple = brief.maxdict = brief.maxset = length
    brief.maxfrozenset = brief.maxdeque = brief.maxarray = length
    return brief
