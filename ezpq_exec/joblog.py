"""The CSV log: a row for each job, whole, whoever else appends to the same file.

A row is one write to a file that is opened for appending, under a lock that all processes heed. So
rows never mix, the header is written by whoever finds the file empty, and a write that the disk cut
short is taken back. The file is opened for each row: it may be moved away or deleted meanwhile.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import numbers
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["JobLog"]

LONGEST_CELL = 131_072  # characters: what the csv module reads, unless told otherwise
# What a spreadsheet may take for the beginning of a formula, wide forms included, wherever it skips blanks.
_FORMULA = re.compile("\\s*[=+@\uff1d\uff0b\uff0d\uff20-]|[\t\r\n]").match


class JobLog:
    """A CSV file to which jobs' dicts are appended.

    Args:
        path: the file; it is created by `check`, when a `Queue` is made, else with its first row.
        escape_formulas: put an apostrophe before texts that a spreadsheet would take for formulas.

    Raises:
        TypeError: `path` is none.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = JobLog(folder + "/log.csv")
    ...     log.append({"id": 1, "output": "a, b"})
    ...     log.append({"id": 2, "output": None})
    ...     print(pathlib.Path(log.path).read_text())
    id,output
    1,"a, b"
    2,
    """

    def __init__(self, path: str | os.PathLike[str], *, escape_formulas: bool = False) -> None:
        try:
            self.path = os.fsdecode(path)
        except TypeError:
            raise TypeError(f"log_file must be a path or None, not {path!r}") from None
        self._escapes = escape_formulas
        self._headed = False  # this object has written a header

    def check(self) -> None:
        """See whether rows can be written.

        Raises:
            OSError: they cannot; of the kind that the system's error is, naming the file.
        """
        try:
            with _opened(self.path):
                pass
        except OSError as error:
            text = f"log_file cannot be written ({error.strerror or error})"
            raise type(error)(error.errno, text, self.path) from error

    def append(self, job: Mapping[str, Any]) -> None:
        """Write one job's row, below a header if the file is empty.

        Raises:
            OSError: it cannot be written; then nothing of it is in the file.
        """
        self._write(job, anew=False)

    def replace(self, job: Mapping[str, Any]) -> None:
        """Have this job's row, with a header, be all that is in the file.

        Raises:
            OSError: it cannot be written.
        """
        self._write(job, anew=True)

    def _write(self, job: Mapping[str, Any], *, anew: bool) -> None:
        row = _line([_cell(value, self._escapes) for value in job.values()])
        header = _line([_cell(key, self._escapes) for key in job])
        with _opened(self.path) as file:
            if not stat.S_ISREG(os.fstat(file).st_mode):  # a pipe, a terminal: it has no size
                os.write(file, row if self._headed else header + row)
                self._headed = True
                return
            if anew:
                os.ftruncate(file, 0)
            size = os.fstat(file).st_size
            if size == 0:
                row = header + row
            elif not _ends_a_line(file, size):
                row = b"\r\n" + row  # whoever wrote that did not come to the end
            _write_all(file, row, size)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """The file, which no other process or thread writes meanwhile; its descriptor."""
    flags = os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(path, flags | os.O_RDWR, 0o666)
    except PermissionError:  # it may be written, though not read
        file = os.open(path, flags | os.O_WRONLY, 0o666)
    try:
        with _locked(file):
            yield file
    finally:
        os.close(file)


if sys.platform == "win32":
    # The byte that is locked lies far behind the end, since locked ones cannot be read.
    _LOCKED = 1 << 40

    @contextlib.contextmanager
    def _locked(file: int) -> Iterator[None]:
        import msvcrt

        if not stat.S_ISREG(os.fstat(file).st_mode):  # a pipe, a terminal: there is no such byte
            yield
            return
        os.lseek(file, _LOCKED, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            except OSError as error:
                if error.errno != errno.EDEADLK:  # it gives up after ten seconds
                    raise
            else:
                break
        try:
            yield
        finally:  # to leave that to the file's being closed may take the system a while
            os.lseek(file, _LOCKED, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:

    @contextlib.contextmanager
    def _locked(file: int) -> Iterator[None]:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # with the file, the lock goes


def _ends_a_line(file: int, size: int) -> bool:
    try:
        os.lseek(file, size - 1, os.SEEK_SET)
        return os.read(file, 1) in (b"\n", b"\r")
    except OSError:  # it may not be read
        return True


def _write_all(file: int, data: bytes, size: int) -> None:
    """Append `data` to the `size` bytes that are there, or nothing of it."""
    done = 0
    try:
        while done < len(data):
            done += os.write(file, data[done:] if done else data)
    except BaseException:
        os.ftruncate(file, size)
        raise


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: object, escapes: bool) -> str:
    """`value` as a text that any reader of CSV can take."""
    if value is None:
        return ""
    try:
        text = "".join((str(value),))  # a str, though it may have been something derived
    except BaseException as error:  # the user's class, which may raise what it likes
        text = f"<{type(value).__name__} whose text cannot be had: {type(error).__name__}>"
    text = text.replace("\0", "\\x00")
    if escapes and _FORMULA(text) and not isinstance(value, numbers.Number):
        text = "'" + text
    if len(text) > LONGEST_CELL:
        note = f"… ({len(text):,} characters in all)"
        text = text[: LONGEST_CELL - len(note)] + note
    return text
