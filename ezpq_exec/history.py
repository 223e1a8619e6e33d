"""Chains the exceptions of a job's attempts, so that a traceback shows the earlier ones, too.

Nothing here runs a user's code: links are read and written by `BaseException`'s own descriptors.
"""

from __future__ import annotations

from typing import Any

__all__ = ["put_before"]

_links: Any = vars(BaseException)
_cause, _context = _links["__cause__"], _links["__context__"]


def _all_of(error: BaseException) -> set[int]:
    """The identities of all that hangs on `error`, itself included."""
    found: set[int] = set()
    left = [error]
    while left:
        link = left.pop()
        if id(link) not in found:
            found.add(id(link))
            left += [each for each in (_cause.__get__(link), _context.__get__(link)) if each]
    return found


def put_before(error: BaseException, earlier: BaseException) -> None:
    """Make `earlier` the context of `error`; of what `error` already goes back to, if it does.

    Nothing that is there is replaced, and no circle is made: where the two have something in
    common, as when one exception is raised again and again, they stay as they are.

    >>> first, second = ValueError("first"), KeyError("second")
    >>> put_before(second, first)
    >>> second.__context__
    ValueError('first')
    """
    if _all_of(error) & _all_of(earlier):
        return
    seen: set[int] = set()
    last = error
    link: BaseException | None = error
    while link is not None and id(link) not in seen:  # as a traceback goes: by the cause if any
        seen.add(id(link))
        last, link = link, _cause.__get__(link) or _context.__get__(link)
    if link is not None:
        return  # a circle of its own
    _context.__set__(last, earlier)
    if _context.__get__(error) is None:
        _context.__set__(error, earlier)
