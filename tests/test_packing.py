"""Calls and outcomes as bytes: what goes over, how, and what is safe to unpack at once."""

from __future__ import annotations

import copyreg
import os
import pickle
import pickletools
import posixpath
import subprocess
import sys
import textwrap
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ezpq_exec import named
from ezpq_exec.batching import pack_items
from ezpq_exec.errors import JobTimeout, RemoteError
from ezpq_exec.jobs import Call
from ezpq_exec.packing import (
    FEW,
    QUICK_SIZE,
    is_quick,
    load_call,
    pack,
    pack_call,
    pack_error,
    unpack,
    unpack_error,
)

# Every opcode by which a pickle can name or call something; from the manual of pickletools.
CALLING = {
    *("GLOBAL", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "REDUCE", "BUILD"),
    *("NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID"),
}


class TwoArguments(Exception):
    """An exception that pickles, and does not unpickle."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


class Unpicklable(Exception):
    """An exception that holds what cannot be carried."""

    def __init__(self) -> None:
        super().__init__("cannot be carried")
        self.frame = sys._getframe()


class Mute(Exception):
    """An exception that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Impostor(Exception):
    """An exception that unpickles to something else."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (5,)


class Odd(str):
    """Text that cannot be carried."""

    __slots__ = ()

    def __str__(self) -> str:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("stays here")


class OddText(Exception):
    """An exception whose text is of a class of its own."""

    def __str__(self) -> str:
        return Odd("odd")


class Point:
    """An ordinary object."""

    def __init__(self, x: object) -> None:
        self.x = x


class WithState(Point):
    """Something that runs code when it is unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state["x"]


def raised(error: BaseException) -> BaseException:
    """The same, with a traceback."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def add(a: int, b: int = 0) -> int:
    """Something importable."""
    return a + b


# Calls -------------------------------------------------------------------------------------------


def closure() -> Callable[[int], int]:
    """A function that has no importable name, and holds something."""
    held = 40

    def inner(x: int) -> int:
        return held + x

    return inner


@pytest.mark.parametrize("function", [lambda x: x + 40, closure()], ids=["lambda", "closure"])
def test_functions_without_a_name_go_by_value(function: Callable[[int], int]) -> None:
    """Lambdas and closures can be carried, with what they hold."""
    assert unpack(pack(function))(2) == 42


def test_importable_functions_go_by_name() -> None:
    """What can be imported is not copied."""
    assert unpack(pack(subprocess.run)) is subprocess.run
    assert len(pack(subprocess.run)) < 60


def test_main_goes_by_value(tmp_path: Any) -> None:
    """Functions and classes of a script are carried to a process whose `__main__` is another."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from ezpq_exec.packing import pack
            class Box:
                def __init__(self, x): self.x = x
            def opened(box): return box.x + OFFSET
            OFFSET = 2
            sys.stdout.buffer.write(pack((opened, Box(40))))
            """
        )
    )
    packed = subprocess.run([sys.executable, script], check=True, capture_output=True).stdout
    code = "import pickle, sys; f, x = pickle.load(sys.stdin.buffer); print(f(x))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=packed, check=True, capture_output=True
    )
    assert done.stdout == b"42\n"


@pytest.mark.parametrize("function", [add, lambda a, b: a + b], ids=["by name", "by value"])
@pytest.mark.parametrize("apart", [False, True])
def test_calls_go_whole_or_with_their_function_apart(
    function: Callable[..., int], apart: bool
) -> None:
    """A call comes out as it went in, also if its function was packed before."""
    packed = pack_call(Call(function, (40,), {"b": 2}), pack(function) if apart else None)
    loaded, args, kwargs = load_call(packed)
    assert (args, kwargs) == ((40,), {"b": 2})
    assert loaded(*args, **kwargs) == 42


@pytest.mark.parametrize(
    "value", [(i for i in range(3)), sys._getframe()], ids=["generator", "frame"]
)
def test_what_cannot_be_carried_says_so(value: object) -> None:
    """Packing raises what pickle has against it."""
    with pytest.raises((TypeError, pickle.PicklingError)):
        pack(value)


def test_own_reduction_may_raise() -> None:
    """If an argument's own `__reduce__` raises, that is what is raised."""
    with pytest.raises(TypeError, match="stays here"):
        pack(Odd("x"))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.binary().map(bytearray),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(value=PLAIN)
def test_values_come_back(value: object) -> None:
    """What is unpacked equals what was packed."""
    assert unpack(pack(value)) == value


# What is safe to unpack at once --------------------------------------------------------------------


class Refusing(pickle.Unpickler):
    """Unpickles only what names nothing."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        raise AssertionError(f"{module}.{name} is called for")


ANYTHING = st.recursive(
    PLAIN
    | st.sampled_from([Point(1), WithState(2), Point, add, len, object(), range(3), ...])
    | st.sampled_from([Decimal(1), Fraction(1, 3), OrderedDict(a=1), ValueError("x"), 1j])
    | st.sampled_from([frozenset({1}), {2}, Point(WithState(3)), type(None), NotImplemented])
    | st.sampled_from([TwoArguments(1, "x"), lambda: 1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(value=ANYTHING)
def test_quick_is_never_said_of_what_runs_code(value: object) -> None:
    """A pickle that is called quick names nothing and calls nothing, says pickle's own analyst."""
    packed = pack(value)
    if not is_quick(packed):
        return
    import io

    assert not {opcode.name for opcode, _, _ in pickletools.genops(packed)} & CALLING
    Refusing(io.BytesIO(packed)).load()


@settings(max_examples=100, deadline=None)
@given(
    value=st.recursive(st.none() | st.integers(0, 100) | st.floats(1, 2) | st.text("ab"), st.lists)
)
def test_everyday_values_are_quick(value: object) -> None:
    """Numbers, short texts and lists of them are unpacked without a detour."""
    packed = pack(value)
    suspicious = set(packed) & {0x82, 0x83, 0x84, 0x93}
    assert is_quick(packed) or (suspicious and len(packed) > FEW)


@pytest.mark.parametrize("number", [0x82, 0x83, 0x84, 0x93])
def test_no_number_is_mistaken_for_a_name(number: int) -> None:
    """Numbers and short texts whose bytes happen to be those of opcodes are quick, too."""
    assert is_quick(pack(number))
    assert is_quick(pack({"key": chr(number) * 3}))
    assert not is_quick(pack([number, Point]))


@pytest.fixture
def extension() -> Iterator[None]:
    """A class that pickles name by a number."""
    copyreg.add_extension(Point.__module__, "Point", 200)
    yield
    copyreg.remove_extension(Point.__module__, "Point", 200)


def test_extensions_are_not_quick(extension: None) -> None:
    """Classes that are registered with copyreg are named by number, and seen all the same."""
    assert not is_quick(pickle.dumps([Point(1)], 5))


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("padding", [0, 10 * FEW])
def test_a_name_is_seen_wherever_it_is_and_however_it_comes(form: Any, padding: int) -> None:
    """In a short pickle and in a long one, at its end, in whatever kind of buffer it was read."""
    text = "x" * padding
    assert is_quick(form(pack([text, 1])))
    assert not is_quick(form(pack([text, Point])))


def test_much_is_not_quick() -> None:
    """What takes its time to unpack is not called quick, however harmless."""
    assert is_quick(pack(b"x" * (QUICK_SIZE - 100)))
    assert not is_quick(pack(b"x" * QUICK_SIZE))


# Exceptions --------------------------------------------------------------------------------------


def test_exception_comes_with_its_remote_traceback() -> None:
    """An exception comes as itself; where it was raised is its cause, as text."""
    error = unpack_error(pack_error(raised(KeyError("key"))))
    assert type(error) is KeyError
    assert error.args == ("key",)
    assert type(error.__cause__).__name__ == "_RemoteTraceback"
    assert "in raised" in str(error.__cause__)
    assert "KeyError: 'key'" in str(error.__cause__)


def test_chained_exceptions_are_in_the_traceback() -> None:
    """What an exception came from can be read, though it is not carried."""
    outer = ValueError("outer")
    outer.__cause__ = raised(KeyError("inner"))
    error = unpack_error(pack_error(raised(outer)))
    assert "KeyError: 'inner'" in str(error.__cause__)


def test_own_exceptions_keep_what_they_say() -> None:
    """The package's exceptions come with all their attributes."""
    error = unpack_error(pack_error(raised(JobTimeout("late", timeout=5, pid=7))))
    assert isinstance(error, JobTimeout)
    assert (str(error), error.timeout, error.pid) == ("late", 5, 7)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exceptions_that_end_programs_are_carried(kind: type[BaseException]) -> None:
    """Whatever can be raised can be an outcome."""
    assert type(unpack_error(pack_error(raised(kind(3))))) is kind


@pytest.mark.parametrize(
    ("error", "text", "why"),
    [
        (TwoArguments(5, "why"), "5: why", "does not unpickle: TypeError"),
        (Unpicklable(), "cannot be carried", "does not pickle"),
        (Impostor("me"), "me", ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exception_that_cannot_be_carried_is_described(
    error: Exception, text: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of it comes a RemoteError with type, text and traceback, and says why."""
    # Dask may have taught pickle how to carry all exceptions there were when it was imported.
    monkeypatch.delitem(copyreg.dispatch_table, type(error), raising=False)
    came = unpack_error(pack_error(raised(error)))
    assert isinstance(came, RemoteError)
    assert came.type_name == f"{__name__}.{type(error).__qualname__}"
    assert came.text == text
    assert "in raised" in came.traceback
    assert text in str(came)
    assert why in str(came)
    assert "in raised" in str(came.__cause__)


def test_exception_that_cannot_be_printed_is_carried() -> None:
    """An exception whose `str` raises is packed like any other."""
    assert type(unpack_error(pack_error(raised(Mute())))) is Mute


def test_packing_an_exception_never_raises() -> None:
    """Whatever an exception is made of, its text included, it is packed."""
    came = unpack_error(pack_error(raised(OddText())))
    assert str(came) == "odd"


def test_local_exceptions_go_by_value() -> None:
    """An exception class that has no importable name is carried with the exception."""

    class Local(Exception):
        pass

    came = unpack_error(pack_error(raised(Local("here"))))
    assert (type(came).__name__, str(came)) == ("Local", "here")


def test_a_function_is_looked_up_anew_when_its_name_stands_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As pickle does: what a module has under a name at that moment is what is called."""
    packed = pack_call(Call(os.path.basename, ("a/b",), {}), None)
    function, args, _ = load_call(packed)
    assert function(*args) == "b"
    monkeypatch.setattr(os.path, "basename", os.path.dirname)
    function, args, _ = load_call(packed)
    assert function(*args) == "a"
    monkeypatch.undo()
    assert load_call(packed)[0] is os.path.basename


def test_a_function_that_its_name_no_longer_stands_for_goes_by_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was packed by name once, and something else is there now: the job runs what was given."""
    original = posixpath.basename
    pack_call(Call(original, ("a/b",), {}), None)
    monkeypatch.setattr(posixpath, "basename", len)
    packed = pack_call(Call(original, ("a/b",), {}), None)
    function, args, _ = load_call(packed)
    assert function(*args) == "b"


def test_of_functions_that_go_by_name_no_more_are_remembered_than_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that calls ever new ones does not grow by that, and all of them go by name."""
    packed: dict[Any, bytes] = {}
    loaded: dict[bytes, Any] = {}
    monkeypatch.setattr(named, "MOST", 2)
    monkeypatch.setattr(named, "_packed", packed)
    monkeypatch.setattr(named, "_loaded", loaded)
    for function in (posixpath.join, posixpath.basename, posixpath.dirname, posixpath.isabs):
        data = pack_call(Call(function, ("a/b",), {}), None)
        assert load_call(data)[0] is function
        assert len(packed) <= 2
        assert len(loaded) <= 2


def test_an_item_in_a_list_that_does_not_pickle_is_found() -> None:
    """The others go."""
    pieces, errors = pack_items([[1], [threading.Lock()], [3]], starred=False)
    assert [piece is None for piece in pieces] == [False, True, False]
    assert isinstance(errors[1], TypeError)


class Interrupts:
    """Ctrl-C comes while it is packed."""

    def __reduce__(self) -> NoReturn:
        raise KeyboardInterrupt


def test_ctrl_c_while_items_are_packed_is_the_programs() -> None:
    """And no failure of the item at which it came."""
    with pytest.raises(KeyboardInterrupt):
        pack_items([1, Interrupts()], starred=False)
