"""The library's DCB recorder case: in one segment, in many, and sealed, merged and cooled ones."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.dcb.tests import DCBRecorderTestCase
from eventsourcing.utils import Environment

from aurora_es import AuroraDCBRecorder, AuroraFactory
from aurora_es.journal import background
from tests.face.support import SCRATCH


class TestDCBRecorder(DCBRecorderTestCase):
    """In the segment in memory."""

    settings: Mapping[str, str] = MappingProxyType({})

    def create_recorder(self) -> AuroraDCBRecorder:
        """A recorder on a store of its own."""
        root = tempfile.mkdtemp(dir=SCRATCH)
        self.addCleanup(shutil.rmtree, root)
        env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": root, **self.settings}
        factory: object = DCBInfrastructureFactory.construct(Environment("app", env))
        assert isinstance(factory, AuroraFactory)
        self.addCleanup(factory.close)
        return factory.dcb_recorder()

    def test_append_read(self) -> None:
        """Queries and conditions answer as the library's case says."""
        self._test_append_read(self.create_recorder())

    def test_append_subscribe(self) -> None:
        """A subscription blocks, and receives."""
        self._test_append_subscribe(self.create_recorder())


class TestDCBRecorderThatRolls(TestDCBRecorder):
    """With a segment for every commit, none of which is sealed."""

    settings: Mapping[str, str] = MappingProxyType({"AURORA_ROLL_CYCLE": "1events"})


class SealingRecorder(AuroraDCBRecorder):
    """Before it appends, everything that was appended before is sealed, merged and cooled."""

    def append(
        self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None
    ) -> int:
        """Append, and let the background do its work."""
        position = super().append(events, condition)
        path = self.journal.handle.path
        background.seal(path)
        background.merge(path, everything=True)
        background.cool(path, codec="lz4", older_than_hours=-1e6)
        self.journal.renew()
        return position


class TestDCBRecorderThatSeals(TestDCBRecorderThatRolls):
    """With all but the last commit in one index run and in cooled segments."""

    def create_recorder(self) -> AuroraDCBRecorder:
        """A recorder that does the background's work."""
        recorder = SealingRecorder(super().create_recorder().store)
        self.addCleanup(recorder.close)
        return recorder


del DCBRecorderTestCase
