"""Segments examined by several processes: the same results, whatever becomes of the processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from aurora_es.care import examiner, examining, verify
from aurora_es.care.findings import SEGMENT_MISSING
from aurora_es.errors import AuroraConfigurationError
from aurora_es.files.layer import Effects, SystemFiles
from tests.care.stores import segment, write_store
from tests.cli.support import COMMAND, ROOT, environment

WAIT_SECONDS = 60
# A script that has no guard: a child that imported it would run it again.
SCRIPT = """
import sys, threading
from aurora_es.care import examiner, examining, verify
print("runs", flush=True)
answered = threading.Event()
decode, examined = examining.decode_result, examining.examined
def noted(message):
    answered.set()
    return decode(message)
def late(*arguments):
    assert answered.wait(60)
    return examined(*arguments)
examining.decode_result, examining.examined = noted, late
print(verify(sys.argv[1], processes=2).is_whole)
"""
# Found by every Python that is started with this directory in PYTHONPATH: neither the examiner nor
# the command that started it gets anything done.
HANGING = f"""
import os, pathlib, signal, sys

def hang(*_):
    while True:
        signal.pause()

if any("{examiner.__name__}" in argument for argument in sys.orig_argv):
    place = pathlib.Path(os.environ["EXAMINER_PLACE"])
    place.with_suffix(".new").write_text(str(os.getpid()))
    place.with_suffix(".new").rename(place)
    hang()
from aurora_es.care import examining
examining.examined = hang
"""


class Examiners:
    """Makes sure that examiners have had their share before this process examines anything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self.has_share = threading.Event()
        self.has_share.set()  # while there are none
        self.are_killed = False
        self._are_there = threading.Event()
        self._examined, self._receive = examiner.examined, examiner.receive
        self._start = examining._start_examiner
        monkeypatch.setattr(examining, "examined", self._late)
        monkeypatch.setattr(examining, "receive", self._received)
        monkeypatch.setattr(examining, "_start_examiner", self._started)

    def _late(self, *arguments: Any) -> Any:
        assert self.has_share.wait(WAIT_SECONDS)
        return self._examined(*arguments)

    def _received(self, link: socket.socket) -> bytes:
        if self.are_killed:
            assert self._are_there.wait(WAIT_SECONDS)
            self.processes[-1].kill()
        try:
            answer = self._receive(link)
        finally:
            self.has_share.set()
        self.answers += 1
        return answer

    def _started(self, shared: Any) -> Any:
        if all(process.returncode is not None for process in self.processes):
            self.has_share.clear()
        started = self._start(shared)
        assert started is not None
        self.processes.append(started.process)
        self._are_there.set()
        return started


@pytest.fixture
def examiners(monkeypatch: pytest.MonkeyPatch) -> Examiners:
    """Let examiners have their share."""
    return Examiners(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Write a whole journal of several segments."""
    return write_store(tmp_path / "journal", "cooled")


@pytest.mark.parametrize("damaged", [False, True])
def test_several_processes_find_the_same(store: Path, examiners: Examiners, damaged: bool) -> None:  # noqa: FBT001 - a parameter
    """All of the report is the same, and no process is left behind."""
    if damaged:
        path = store / segment(1, cooled=True)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    told: list[tuple[int, int]] = []
    report = verify(
        str(store), digest=True, processes=3, progress=lambda done, of: told.append((done, of))
    )
    assert examiners.answers >= 1
    assert len(examiners.processes) == 2
    assert all(process.returncode is not None for process in examiners.processes)
    assert not [one for one in threading.enumerate() if one.name == "examiner"]
    assert report == verify(str(store), digest=True, processes=1)
    assert report.is_whole == (not damaged)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_an_examiner_that_is_killed_is_done_without(
    store: Path, examiners: Examiners, caplog: pytest.LogCaptureFixture
) -> None:
    """What it had is examined here, as if the system had killed it for want of memory."""
    examiners.are_killed = True
    report = verify(str(store), digest=True, processes=2)
    assert report.is_whole
    assert examiners.answers == 0
    assert "ended with exit code -9" in caplog.text
    assert report == verify(str(store), digest=True, processes=1)


def test_a_thread_may_verify(store: Path, examiners: Examiners) -> None:
    """Examiners are started by whichever thread it is."""
    reports: list[bool] = []
    thread = threading.Thread(
        target=lambda: reports.append(verify(str(store), processes=2).is_whole)
    )
    thread.start()
    thread.join()
    assert reports == [True]
    assert examiners.answers >= 1


def test_no_examiner_can_be_started(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no further process for us, this one examines all."""

    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr(subprocess, "Popen", refused)
    assert verify(str(store), processes=3).is_whole


def test_an_error_ends_the_examiners(
    store: Path, examiners: Examiners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the check in this process, nothing of it stays behind."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(examining, "examined", interrupted)
    with pytest.raises(KeyboardInterrupt):
        verify(str(store), processes=3)
    assert [process.returncode for process in examiners.processes] == [-signal.SIGKILL] * 2
    assert not [one for one in threading.enumerate() if one.name == "examiner"]


def test_an_examiner_ends_with_whoever_started_it() -> None:
    """Where that was killed, the socket is closed, and nothing is left."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(examining.examiner_command(), stdin=theirs.fileno())
    ours.close()
    assert process.wait(WAIT_SECONDS) == 0


def test_a_script_without_a_guard_runs_once(store: Path, tmp_path: Path) -> None:
    """An examiner does not import the user's main module."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(store)],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=WAIT_SECONDS,
    )
    assert (done.stdout, done.stderr) == ("runs\nTrue\n", "")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_control_c_ends_command_and_examiners(
    store: Path,
    tmp_path: Path,
    is_terminal: bool,  # noqa: FBT001 - a parameter
) -> None:
    """At once, without a traceback, and no process is left; a terminal signals both."""
    site, place = tmp_path / "site", tmp_path / "examiner"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HANGING)
    with subprocess.Popen(
        [*COMMAND, "verify", str(store), "--processes", "2"],
        env=environment(PYTHONPATH=f"{ROOT}:{site}", EXAMINER_PLACE=str(place)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as command:
        while not place.exists():
            assert command.poll() is None, command.communicate()
        if is_terminal:
            os.killpg(command.pid, signal.SIGINT)
        else:
            command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=WAIT_SECONDS)
    assert command.returncode == 130
    assert "Traceback" not in errors
    assert "examined" not in errors
    with pytest.raises(ProcessLookupError):
        os.kill(int(place.read_text()), 0)


def test_the_command_with_several_processes(store: Path) -> None:
    """The option is handed on."""
    done = subprocess.run(
        [*COMMAND, "verify", str(store), "--processes", "2", "--json"],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=WAIT_SECONDS,
    )
    assert [one["is_whole"] for one in json.loads(done.stdout)["journals"]] == [True]


def test_only_the_systems_own_files_are_shared(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Injected effects are those of this process."""
    monkeypatch.setattr(examining, "_start_examiner", None)
    assert verify(str(store), processes=3, effects=Effects(SystemFiles())).is_whole


def test_processes_are_started_where_they_pay(
    store: Path, examiners: Examiners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default a small journal is examined by this process alone, a large one on all cores."""
    monkeypatch.setattr(examining, "_usable_cores", lambda: 3)
    assert verify(str(store)).is_whole
    assert examiners.processes == []
    monkeypatch.setattr(examining, "_BYTES_PER_PROCESS", 256)
    assert verify(str(store)).is_whole
    assert len(examiners.processes) == 2


def test_no_process_is_refused(store: Path) -> None:
    """A number below one is told."""
    with pytest.raises(
        AuroraConfigurationError, match=r"expected 1 or more, .*, found 0; pass `processes=1`"
    ):
        verify(str(store), processes=0)


def hand_out_threads() -> list[threading.Thread]:
    """Threads that hand out segments."""
    return [one for one in threading.enumerate() if one.name == "examiner"]


@pytest.mark.parametrize("error", [OverflowError, RecursionError, RuntimeError])
def test_an_order_that_cannot_be_made_is_examined_here(
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
) -> None:
    """A thread that meets an error which nobody foresaw gives back what it has taken."""
    examined, refused = examiner.examined, threading.Event()

    def refuse(_: object) -> bytes:
        refused.set()
        raise error

    def late(*arguments: Any) -> Any:
        assert refused.wait(WAIT_SECONDS)
        return examined(*arguments)

    monkeypatch.setattr(examining, "encode", refuse)
    monkeypatch.setattr(examining, "examined", late)
    report = verify(str(store), processes=2)
    assert report == verify(str(store), processes=1)
    assert report.is_whole
    assert "ended with exit code -9" in caplog.text


def test_a_position_that_no_message_can_hold(
    store: Path, examiners: Examiners, caplog: pytest.LogCaptureFixture
) -> None:
    """A file whose name has one is none of the journal's: the segment is missing, for everybody."""
    (store / segment(4)).rename(store / "0000000004-99999999999999999999.segment")
    report = verify(str(store), processes=2)
    assert examiners.answers >= 1
    assert report == verify(str(store), processes=1)
    assert [one.kind for one in report.findings] == [SEGMENT_MISSING]
    assert not caplog.text


@pytest.mark.parametrize("program", ["exec sleep 600", "sleep 5", "echo no Python >&0", "exit 3"])
def test_an_executable_that_is_no_python(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    program: str,
) -> None:
    """Nothing is handed to it; one that says nothing for some seconds is ended, and logged."""
    executable = tmp_path / "program"
    executable.write_text(f"#!/bin/sh\n{program}\n")
    executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    monkeypatch.setattr(examining, "_GREETING_SECONDS", 0.3)
    examined = examiner.examined

    def late(*arguments: Any) -> Any:
        for thread in hand_out_threads():
            thread.join(WAIT_SECONDS)
        return examined(*arguments)

    monkeypatch.setattr(examining, "examined", late)
    assert verify(str(store), processes=2).is_whole
    assert "a process that was to examine segments ended with exit code" in caplog.text
    assert not hand_out_threads()


def test_a_check_does_not_wait_for_an_executable_that_is_no_python(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is examined here before the other one is given up; what that had started is left."""
    executable = tmp_path / "program"
    executable.write_text("#!/bin/sh\nsleep 90\n")
    executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    monkeypatch.setattr(examining, "_GREETING_SECONDS", 600.0)
    assert verify(str(store), processes=2).is_whole
    assert not hand_out_threads()


# What an examiner is told of how it was started, seen by itself.
FLAGS = """
import sys
print([getattr(sys.flags, name) for name in
    ("isolated", "ignore_environment", "no_user_site", "optimize", "utf8_mode", "safe_path")],
    "error" in sys.warnoptions, sys.argv[0])
"""


@pytest.mark.parametrize(
    "flags", [["-I"], ["-E"], ["-s"], ["-O"], ["-X", "utf8"], ["-W", "error"], ["-P"]], ids=str
)
def test_an_examiner_is_started_as_whoever_starts_it(flags: list[str]) -> None:
    """Isolated, optimized and so on: what the user kept out of one is kept out of all."""
    script = f"""
import subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from aurora_es.care import examining
{FLAGS}
examining._PROGRAM = {FLAGS!r}
subprocess.run(examining.examiner_command(), check=True)
"""
    done = subprocess.run(
        [sys.executable, "-P", *flags, "-c", script],
        env=environment(PYTHONUNBUFFERED="1"),
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=WAIT_SECONDS,
    )
    of_parent, of_examiner = done.stdout.splitlines()
    assert of_examiner == of_parent


@pytest.mark.parametrize(
    ("flags", "more"), [(["-I"], {}), (["-E"], {}), ([], {"PYTHONWARNINGS": "error"})], ids=str
)
def test_flags_keep_no_examiner_from_its_work(
    store: Path, tmp_path: Path, flags: list[str], more: dict[str, str]
) -> None:
    """It finds the package where PYTHONPATH is ignored, and warns of nothing."""
    script = tmp_path / "script.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{SCRIPT}")
    done = subprocess.run(
        [sys.executable, *flags, str(script), str(store)],
        env=environment(**more),
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=WAIT_SECONDS,
    )
    assert (done.stdout, done.stderr) == ("runs\nTrue\n", "")


def test_a_fork_keeps_no_examiner_alive(store: Path, examiners: Examiners) -> None:
    """A child of this process that lives on has no end of a socket to an examiner."""
    links: list[tuple[int, int]] = []

    def forked(done: int, of: int) -> None:
        if not examiners.processes or links:
            return
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            sockets = [one for one in os.listdir("/proc/self/fd") if _is_link(int(one))]
            os.write(writing, str(len(sockets)).encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as answer:
            links.append((int(answer.read()), len(examining._links)))

    inodes = set[int]()

    def _is_link(descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino in inodes
        except OSError:
            return False

    start = examining._linked_pair

    def noted() -> tuple[socket.socket, socket.socket]:
        pair = start()
        inodes.update(os.fstat(one.fileno()).st_ino for one in pair)
        return pair

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examining, "_linked_pair", noted)
        assert verify(str(store), processes=2, progress=forked).is_whole
    assert inodes
    assert links == [(0, 1)]
    assert not examining._links
