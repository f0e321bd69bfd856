"""The shipped conformance classes, run on our own layers and recorders, and on broken ones."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, IntegrityError, StoredEvent
from eventsourcing.utils import Environment

from aurora_es.files.layer import Files, SystemFiles
from aurora_es.testing.conformance import FilesConformance, RecorderConformance
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk


class TestSystemFiles(FilesConformance):
    """The operating system."""

    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self._parent = tmp_path

    def make_files(self) -> Files:
        """Every process has the same."""
        return SystemFiles()

    def make_directory(self) -> str:
        """A new one."""
        return tempfile.mkdtemp(dir=self._parent)


class TestCrashableFiles(FilesConformance):
    """The disk in memory."""

    @pytest.fixture(autouse=True)
    def _on_a_disk(self) -> None:
        self._disk = CrashableDisk()

    def make_files(self) -> Files:
        """A process of its own."""
        return CrashableFiles(self._disk)

    def make_directory(self) -> str:
        """A new one."""
        self._disk.make_directories("/data")
        return "/data"


class TestAuroraRecorder(RecorderConformance):
    """Our recorder."""

    event_class = StoredEvent
    conflict_error = IntegrityError

    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self._environment = Environment(
            name="App",
            env={
                "PERSISTENCE_MODULE": "aurora_es",
                "AURORA_PATH": os.fspath(tmp_path / "store"),
                "AURORA_BACKGROUND": "n",
            },
        )

    def make_recorder(self) -> Any:
        """That of an application."""
        factory: Any = InfrastructureFactory.construct(self._environment)
        return factory.application_recorder()

    def reopened(self, recorder: Any) -> Any:
        """Another factory on the same directory."""
        recorder.close()
        return self.make_recorder()


class TestMemoryRecorder(RecorderConformance):
    """The library's own recorder in memory, which has to do the same."""

    event_class = StoredEvent
    conflict_error = IntegrityError

    def make_recorder(self) -> Any:
        """That of an application."""
        application: Application[Any] = Application()
        return application.recorder


class _LinksReplace(SystemFiles):
    @staticmethod
    def link(source: Any, target: Any) -> None:  # type: ignore[override]
        """Replace what is there, which ``link`` must never do."""
        if os.path.exists(target):
            os.unlink(target)
        os.link(source, target)


class _LocksNothing(SystemFiles):
    @staticmethod
    def flock(fd: Any, operation: int) -> None:
        """Lock nothing."""


@pytest.mark.parametrize(
    ("broken", "case"),
    [
        (_LinksReplace, FilesConformance.test_a_link_never_replaces),
        (_LocksNothing, FilesConformance.test_a_lock_excludes_other_open_files),
    ],
)
def test_a_broken_layer_is_noticed(
    broken: type[SystemFiles], case: Callable[[FilesConformance], None], tmp_path: Path
) -> None:
    """A layer that breaks a promise fails the case that is about it."""
    tested = TestSystemFiles()
    tested._parent = tmp_path
    tested.make_files = broken  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        case(tested)
