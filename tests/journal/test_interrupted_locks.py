"""Interrupts at every instruction of taking and releasing the append lock: it never stays taken.

Python looks for signals where a function begins, so one may come at the first instruction of an
``__exit__``, before it has done anything. No timing finds that moment reliably: here a tracer raises
at the first instruction, then at the second, and so on.
"""

from __future__ import annotations

import dis
import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest

from aurora_es import Journal, Sync
from aurora_es.format.names import LOCK, TURN
from aurora_es.journal import append_lock
from aurora_es.journal.closing import begin_append, end_append
from aurora_es.journal.exclusive import ExclusiveAppend
from tests.journal.support import message, open_with, run_threads

# What a handler raises in a finalizer goes nowhere, and Python says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
_MONITORING: Any = getattr(sys, "monitoring", None)  # of Python 3.12


class InterruptError(BaseException):
    """Raised by a signal handler."""


def codes(module: ModuleType) -> Iterator[CodeType]:
    """The code of all functions and methods of a module."""
    classes = [one for one in vars(module).values() if isinstance(one, type)]
    for found in (vars(module), *map(vars, classes)):
        for one in found.values():
            function = getattr(one, "fget", getattr(one, "__func__", one))
            if (
                isinstance(function, FunctionType)
                and function.__code__.co_filename == module.__file__
            ):
                yield function.__code__


@cache
def signal_places(code: CodeType) -> frozenset[int]:
    """Offsets of the instructions before which the interpreter looks for signals, and no others.

    It does so where a function begins, behind each call, and where a loop begins again.
    """
    places, is_behind_call = set(), False
    for one in dis.get_instructions(code):
        if one.opname == "RESUME" or is_behind_call:
            places.add(one.offset)
        if one.opname.startswith("JUMP_BACKWARD"):
            places.add(one.argval)
        is_behind_call = one.opname.startswith("CALL")
    return frozenset(places)


class Tracer:
    """Counts the instructions of a module, the lock's by default, and raises at one of them."""

    def __init__(
        self, at: int, module: ModuleType = append_lock, *, as_signals: bool = False
    ) -> None:
        """Raise at the instruction with this number, from 1, ``as_signals`` where one can come."""
        self.count = 0
        self._at = at
        self._as_signals = as_signals
        self._module = module
        self.begin()

    def begin(self) -> None:
        """Interrupt this thread, and no other."""
        self._thread = threading.get_ident()

    def run(self, act: Callable[[], object]) -> None:
        """Call ``act``."""
        with suppress(InterruptError), self._monitored() if _MONITORING else self._traced():
            act()

    def _step(self, code: CodeType, offset: int) -> None:
        if self._as_signals and offset not in signal_places(code):
            return
        self.count += 1
        if self.count == self._at:
            sys.settrace(None)
            raise InterruptError

    @contextmanager
    def _monitored(self) -> Iterator[None]:
        """From Python 3.12 on, where tracers are told of instructions in some frames only."""
        event, tool = _MONITORING.events.INSTRUCTION, _MONITORING.PROFILER_ID
        _MONITORING.use_tool_id(tool, "interrupts")
        _MONITORING.register_callback(tool, event, self._monitor)
        for code in codes(self._module):
            _MONITORING.set_local_events(tool, code, event)
        try:
            yield
        finally:
            for code in codes(self._module):
                _MONITORING.set_local_events(tool, code, 0)
            _MONITORING.register_callback(tool, event, None)
            _MONITORING.free_tool_id(tool)

    def _monitor(self, code: CodeType, offset: int) -> None:
        if threading.get_ident() == self._thread:
            self._step(code, offset)

    @contextmanager
    def _traced(self) -> Iterator[None]:
        """Whatever was traced before is traced again afterwards."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != self._module.__file__:
            return None
        frame.f_trace_opcodes = True
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            self._step(frame.f_code, frame.f_lasti)
        return self._stepped


def is_free(path: Path, name: str) -> bool:
    """Whether another process could take a lock."""
    fd = os.open(path / name, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def append(journal: Journal) -> None:
    """By the leader of a group."""
    journal.append([message(b"interrupted, perhaps")])


def append_in_turn(journal: Journal) -> None:
    """By one that has met others, and whose turn is over."""
    journal.handle.contended = 64
    journal.handle.turn_ends = 0
    append(journal)


def append_exclusively(journal: Journal) -> None:
    """In a transaction of a view."""
    with ExclusiveAppend(journal.handle) as exclusive:
        exclusive.append([(None, None, "t", b"interrupted, perhaps")], (), None)


def sync(journal: Journal) -> None:
    """By hand."""
    journal.sync()


@pytest.mark.parametrize("act", [append, append_in_turn, append_exclusively, sync])
def test_the_lock_is_free_behind_an_interrupt_at_any_instruction(
    tmp_path: Path, act: Callable[[Journal], None]
) -> None:
    """Neither another process nor another thread is shut out, and the same one goes on, too."""
    path = tmp_path / "journal"
    count = at = 0
    while at <= count:
        at += 1
        with open_with(path, sync=Sync.ALWAYS, lock_timeout=0.2) as journal:
            journal.append([message(b"before")])
            tracer = Tracer(at)
            tracer.run(partial(act, journal))
            count = max(count, tracer.count)
            assert is_free(path, LOCK), at
            assert is_free(path, TURN), at
            assert not journal.handle.append_mutex._is_owned(), at  # type: ignore[attr-defined]
            assert not journal.handle.appending_threads, at
            (found,) = run_threads([partial(journal.append, [message(b"behind")])])
            assert isinstance(found, range), (at, found)
    assert count > 50


def test_a_nested_append_ends_its_own_note_only(tmp_path: Path) -> None:
    """A handler appends while its thread waits for the lock: the thread stays noted for that one."""
    with open_with(tmp_path / "journal") as journal:
        journal.append([message(b"before")])
        noted, thread = journal.handle.appending_threads, threading.get_ident()
        begin_append(journal.handle)
        try:
            append_exclusively(journal)
            assert thread in noted
        finally:
            end_append(journal.handle)
        append_exclusively(journal)
        assert thread not in noted
