"""``AuroraFactory``: constructs recorders from environment variables.

Constructing a factory only reads the environment; recorders own their journals, and directories
are made by the first append.
"""

from __future__ import annotations

import os
import warnings
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from eventsourcing.persistence import InfrastructureFactory, Mapper, Transcoder
from eventsourcing.utils import Environment, EnvType, resolve_topic

from aurora_es.compat import (
    IS_10,
    ORIGINATOR_ID_TYPE_DEFAULT,
    DCBInfrastructureFactory,
    library_errors,
)
from aurora_es.dcb import AuroraDCBRecorder
from aurora_es.environment import (
    MEMORY,
    misspelled_keys,
    parse_choice,
    parse_flag,
    parse_hours,
    parse_poll_interval,
    parse_seconds,
    read_setting,
)
from aurora_es.errors import AuroraConfigurationError
from aurora_es.files.memory import memory_directory
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import LOCK_TIMEOUT_SECONDS_DEFAULT
from aurora_es.journal.sharing import LeaseOptions
from aurora_es.late_imports import fork_waits
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.recorders import (
    AuroraAggregateRecorder,
    AuroraApplicationRecorder,
    AuroraRecorder,
    AuroraSnapshotRecorder,
)
from aurora_es.store import EVENTS, RESERVED_PURPOSES, SNAPSHOTS, AuroraStore
from aurora_es.tracking_recorders import AuroraProcessRecorder, AuroraTrackingRecorder
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventsourcing.domain import TAggregateID

_T = TypeVar("_T")


class AuroraFactory(
    InfrastructureFactory[AuroraTrackingRecorder],
    DCBInfrastructureFactory[AuroraTrackingRecorder],
):
    """Constructs the recorders of one application; ``PERSISTENCE_MODULE=aurora_es`` finds it.

    Every setting may carry the application's name as a prefix (``BANK_AURORA_PATH``). A wrong or
    missing one raises AuroraConfigurationError, an OSError as in the library's own factories.
    """

    AURORA_PATH = "AURORA_PATH"
    AURORA_SYNC = "AURORA_SYNC"
    AURORA_ROLL_CYCLE = "AURORA_ROLL_CYCLE"
    AURORA_COMPRESSION = "AURORA_COMPRESSION"
    AURORA_LOCK_TIMEOUT = "AURORA_LOCK_TIMEOUT"
    AURORA_READ_ONLY = "AURORA_READ_ONLY"
    AURORA_POLL_INTERVAL = "AURORA_POLL_INTERVAL"
    AURORA_MAPPER = "AURORA_MAPPER"
    AURORA_BACKGROUND = "AURORA_BACKGROUND"
    AURORA_COOL_AFTER = "AURORA_COOL_AFTER"
    AURORA_ALLOW_NETWORK_FILE_SYSTEM = "AURORA_ALLOW_NETWORK_FILE_SYSTEM"
    ORIGINATOR_ID_TYPE = "ORIGINATOR_ID_TYPE"

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Read and check the settings; raises AuroraConfigurationError."""
        super().__init__(env)
        self._warn_of_misspelled_keys()
        self.store = self._read_store()
        self._uses_msgpack_mapper = (
            self._choice(self.AURORA_MAPPER, "json", ("json", "msgpack")) == "msgpack"
        )
        self._recorders: weakref.WeakSet[AuroraRecorder] = weakref.WeakSet()

    # Recorders

    def aggregate_recorder(self, purpose: str = EVENTS) -> AuroraAggregateRecorder:
        """Construct a recorder of aggregate sequences in the journal named ``purpose``.

        For ``snapshots`` it is one that ignores snapshots ahead of their events. Raises
        AuroraConfigurationError for the purposes of other recorders, and what opening a journal raises.
        """
        if purpose in RESERVED_PURPOSES:
            message = f"purpose {purpose!r} is reserved: expected another one for these events"
            raise AuroraConfigurationError(message)
        recorder_class = AuroraSnapshotRecorder if purpose == SNAPSHOTS else AuroraAggregateRecorder
        return self._keep(recorder_class(self.store, purpose=purpose))

    def application_recorder(self) -> AuroraApplicationRecorder:
        """Construct a recorder of an application sequence."""
        return self._keep(
            self._recorder_class(self.APPLICATION_RECORDER_TOPIC, None, AuroraApplicationRecorder)(
                self.store
            )
        )

    def tracking_recorder(
        self, tracking_recorder_class: type[Any] | None = None
    ) -> AuroraTrackingRecorder:
        """Construct a tracking recorder, of the given class or of TRACKING_RECORDER_TOPIC."""
        return self._keep(
            self._recorder_class(
                self.TRACKING_RECORDER_TOPIC, tracking_recorder_class, AuroraTrackingRecorder
            )(self.store)
        )

    def process_recorder(self) -> AuroraProcessRecorder:
        """Construct a recorder of an application sequence with tracking."""
        return self._keep(
            self._recorder_class(self.PROCESS_RECORDER_TOPIC, None, AuroraProcessRecorder)(
                self.store
            )
        )

    def dcb_recorder(self) -> AuroraDCBRecorder:
        """Construct a recorder of events with tags, in a journal of its own."""
        return self._keep(AuroraDCBRecorder(self.store))

    def mapper(
        self,
        transcoder: Transcoder | None = None,
        mapper_class: type[Mapper[TAggregateID]] | None = None,
    ) -> Mapper[TAggregateID]:
        """Construct a mapper: of the given class, of MAPPER_TOPIC, or as AURORA_MAPPER says."""
        if mapper_class is None and not self.env.get(self.MAPPER_TOPIC):
            mapper_class = self._own_mapper_class()
        return super().mapper(transcoder, mapper_class)

    def _own_mapper_class(self) -> Any:
        """The class that AURORA_MAPPER names; None for the library's own."""
        if IS_10:
            if self._uses_msgpack_mapper:
                message = (
                    "AURORA_MAPPER=msgpack is for version 9.5 of the library; version 10 has"
                    " `eventsourcing.msgspec` for that: leave it unset, or json"
                )
                raise library_errors.NotSupportedError(message)
            return None
        with fork_waits:
            from aurora_es.mapper import JSONMapper, MsgpackMapper

        return MsgpackMapper if self._uses_msgpack_mapper else JSONMapper

    def close(self) -> None:
        """Close all recorders that this factory constructed; idempotent."""
        for recorder in members_of(self._recorders):
            recorder.close()

    def _keep(self, recorder: _Recorder) -> _Recorder:
        self._recorders.add(recorder)
        return recorder

    def _recorder_class(
        self, key: str, given: type[Any] | None, base: type[_Recorder]
    ) -> type[_Recorder]:
        topic = self.env.get(key)
        found = given or (resolve_topic(topic) if topic else base)
        if not (isinstance(found, type) and issubclass(found, base)):
            name = getattr(found, "__qualname__", repr(found))
            message = (
                f"expected a subclass of {base.__name__}, found {name}. A view in another backend"
                " needs that backend's factory: set <PROJECTION>_PERSISTENCE_MODULE"
            )
            raise AuroraConfigurationError(message)
        return found

    # Settings

    def _read_store(self) -> AuroraStore:
        root = self.env.get(self.AURORA_PATH)
        if not root:
            keys = ", ".join(self.env.create_keys(self.AURORA_PATH))
            message = (
                f"AURORA_PATH is missing: set one of {keys} to a directory on a local disk,"
                " or to ':memory:' for tests; `aurora-es doctor --app NAME` shows what is seen"
            )
            raise AuroraConfigurationError(message)
        sync = self._value(self.AURORA_SYNC, Sync.parse, None)
        memory = None
        if root == MEMORY:
            memory = memory_directory(self.env.name)
            root, sync = memory.path, Sync.NEVER
        id_type = self._choice(
            self.ORIGINATOR_ID_TYPE, ORIGINATOR_ID_TYPE_DEFAULT, ("as written", "uuid", "text")
        )
        options = LeaseOptions(
            settings=Settings(
                sync=sync,
                roll_cycle=self._value(self.AURORA_ROLL_CYCLE, RollCycle.parse, None),
                compression=self._value(self.AURORA_COMPRESSION, CompressionFormat.parse, None),
                cool_after_hours=self._value(self.AURORA_COOL_AFTER, parse_hours, None),
            ),
            background=self._flag(self.AURORA_BACKGROUND, default=True) and memory is None,
            read_only=self._flag(self.AURORA_READ_ONLY, default=False),
            lock_timeout=self._value(
                self.AURORA_LOCK_TIMEOUT, parse_seconds, LOCK_TIMEOUT_SECONDS_DEFAULT
            ),
            poll_interval=self._value(self.AURORA_POLL_INTERVAL, parse_poll_interval, None),
            allow_network_file_system=self._flag(
                self.AURORA_ALLOW_NETWORK_FILE_SYSTEM, default=False
            ),
        )
        return AuroraStore(os.path.abspath(root), self.env.name, options, id_type, memory)

    def _value(self, key: str, parse: Callable[[str], _T], default: _T) -> _T:
        return read_setting(self.env, self.env.name, key, parse, default)

    def _choice(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        return self._value(key, parse_choice(*allowed), default)

    def _flag(self, key: str, *, default: bool) -> bool:
        return self._value(key, parse_flag, default)

    def _warn_of_misspelled_keys(self) -> None:
        for key, meant in misspelled_keys(self.env):
            warnings.warn(
                f"environment variable {key} is not a setting of aurora_es and is ignored; did"
                f" you mean {meant}?",
                stacklevel=4,
            )


_Recorder = TypeVar("_Recorder", bound=AuroraRecorder)
