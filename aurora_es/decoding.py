"""Decodes events, and rebuilds aggregates, with an application's own classes.

Theory of operation: an application is not constructed, as that would open its store, and perhaps run
what its constructor starts. A bare object of its class gets an environment, a factory and a mapper,
made by its own methods, so that transcodings, compressor and cipher are those of the application.
Its settings come from the class and the environment of this process; but the store is the one that
is looked at, read-only, and unless a mapper is named, the one is taken that reads MessagePack and
JSON. Nothing is written into ``os.environ``.
"""

from __future__ import annotations

import os
from threading import Event
from typing import TYPE_CHECKING, Any

from eventsourcing.domain import CanMutateProtocol
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import resolve_topic

from aurora_es.compat import IS_10, NIL_UUID, Application, application_name
from aurora_es.environment import PERSISTENCE_MODULE, find_setting, keys_of
from aurora_es.errors import AuroraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventsourcing.persistence import Mapper
    from eventsourcing.utils import EnvType

    from aurora_es.journal.records import Record

_new = object.__new__
_set = object.__setattr__
_OURS = "aurora_es"
_LIBRARY = "eventsourcing"
_PATH = "AURORA_PATH"
_MAPPER = "AURORA_MAPPER"
_MAPPER_SETTINGS = (_MAPPER, "MAPPER_TOPIC", "TRANSCODER_TOPIC")
_NO_CLASS = (
    "events of version 10 of eventsourcing do not say of which class their aggregate is: name a"
    " function that rebuilds it from None and its events, as --projector module:function"
)
_LOOKING = {"AURORA_READ_ONLY": "y", "AURORA_BACKGROUND": "n"}


class ApplicationLoadError(AuroraError):
    """The application that is to decode events cannot be imported or set up."""


_SCRIPT = (
    ". Classes of a program that is run as a script are recorded as those of `__main__`: keep them in a"
    " module, and let the program import it"
)


class ReplayError(AuroraError):
    """An aggregate cannot be rebuilt from its events."""


class ApplicationDecoder:
    """Decodes with the mapper of one application; made by ``load_decoder``. Writes nothing."""

    def __init__(self, name: str, mapper: Mapper[Any], projector: Any = None) -> None:
        """Use ``mapper`` for events, and ``projector``, if any, for aggregates."""
        self.name = name
        self._to_domain_event = mapper.to_domain_event
        self._projector = projector

    def domain_event(self, record: Record) -> Any:
        """The event in ``record``, upcast to today's class; raises what the mapper raises."""
        fields: dict[str, object] = {
            "originator_id": record.originator_id,
            "originator_version": record.originator_version,
            "topic": record.topic,
            "state": record.state,
        }
        if IS_10:
            fields["originator_id"] = str(record.originator_id)
            fields |= {"uuid": record.uuid or NIL_UUID, "metadata": record.metadata or {}}
        stored = _new(StoredEvent)  # as recorders make them
        _set(stored, "__dict__", fields)
        return self._to_domain_event(stored)

    def replay(self, records: Iterable[Record], aggregate: Any = None) -> Any:
        """The aggregate after the events in ``records``, None if the last one discarded it.

        They go on from ``aggregate``, which may be changed. Raises ReplayError.
        """
        events = map(self.domain_event, records)
        try:
            if self._projector is not None:
                return self._projector(aggregate, events)
            if IS_10:
                raise ReplayError(_NO_CLASS)
            for event in _mutating(events):
                aggregate = event.mutate(aggregate)
            return aggregate
        except AuroraError:
            raise
        except Exception as error:
            message = (
                f"the events could not be replayed by {self.name}: {type(error).__name__}: {error}."
                " Without --app their states are shown as they are stored"
            )
            if "'__main__" in str(error):
                message += _SCRIPT
            raise ReplayError(message) from error


def load_decoder(
    app: str, path: str, *, projector: str | None = None, env: EnvType | None = None
) -> ApplicationDecoder:
    """Import the application class ``app``, as ``module:Class``, and use its mapper.

    ``path`` is the store or journal that is looked at. ``projector``, as ``module:function``,
    rebuilds aggregates whose events have no ``mutate``; if unset, it is the only one among the
    class's ``snapshotting_projectors``. ``env`` adds to the environment of this process. Raises
    ApplicationLoadError.
    """
    try:
        cls = resolve_topic(app)
        if not (isinstance(cls, type) and issubclass(cls, Application)):
            message = f"expected a subclass of eventsourcing's Application, found {cls!r}"
            raise TypeError(message)
        application: Any = object.__new__(cls)
        application.closing = Event()  # what ``Application.close`` asks for, at the end
        name = application_name(cls)
        settings = {**(env or {}), **_forced(cls, name, path)}
        application.env = application.construct_env(name=name, env=settings)
        application.factory = application.construct_factory(application.env)
        application.mapper = application.construct_mapper()
        function = _projector_of(cls) if projector is None else resolve_topic(projector)
    except Exception as error:
        message = (
            f"{app}: expected an application class as module:Class that can be imported and has a"
            f" mapper; found {type(error).__name__}: {error}. Its module must be on the path of"
            " Python (PYTHONPATH, or the current directory), and its settings in the environment:"
            " `aurora-es doctor --app NAME` shows what is seen"
        )
        raise ApplicationLoadError(message) from error
    return ApplicationDecoder(app, application.mapper, function)


def _forced(cls: type[Application[Any]], name: str, path: str) -> dict[str, str]:
    """Settings that are not as for the running application."""
    seen = {**cls.env, **os.environ}
    forced = {keys_of(name, setting)[0]: text for setting, text in _LOOKING.items()}
    forced[keys_of(name, _PATH)[0]] = path
    found = find_setting(seen, name, PERSISTENCE_MODULE)
    if found is None or found.text.split(".")[0] in {"", _LIBRARY}:
        forced[keys_of(name, PERSISTENCE_MODULE)[0]] = _OURS
    named = [find_setting(seen, name, setting) for setting in _MAPPER_SETTINGS]
    # 10.0 has a transcoder of its own for MessagePack, which the application names.
    if not IS_10 and not any(found is not None and found.text for found in named):
        forced[keys_of(name, _MAPPER)[0]] = "msgpack"
    return forced


def _projector_of(cls: type[Application[Any]]) -> Any:
    """The one function that rebuilds aggregates, None if there is none or more than one."""
    functions = set(cls.snapshotting_projectors.values())
    return functions.pop() if len(functions) == 1 else None


def _mutating(events: Iterable[Any]) -> Iterator[Any]:
    """The same events; raises ReplayError for those that cannot change an aggregate."""
    for event in events:
        if not isinstance(event, CanMutateProtocol):
            message = (
                f"an event of {type(event).__qualname__} has no `mutate`: name the function that"
                " rebuilds the aggregate, as --projector module:function"
            )
            raise ReplayError(message)
        yield event
