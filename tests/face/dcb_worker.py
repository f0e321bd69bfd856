"""A process with a DCB recorder, which is told in JSON what to append and to read.

Each line is ``[root, operation, arguments]``; the answer is a value, or the conflicts of a broken
condition.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import IntegrityError

from aurora_es import AuroraFactory
from tests.face.support import factory_on

PlainQuery = list[tuple[list[str], list[str]]] | None


def query_of(plain: PlainQuery) -> DCBQuery | None:
    """The library's query."""
    if plain is None:
        return None
    return DCBQuery([DCBQueryItem(types=[*types], tags=[*tags]) for types, tags in plain])


def condition_of(plain: tuple[PlainQuery, int | None] | None) -> DCBAppendCondition | None:
    """The library's condition."""
    if plain is None:
        return None
    query, after = plain
    return DCBAppendCondition(query_of(query) or DCBQuery(), after)


def events_of(plain: list[tuple[str, str, list[str]]]) -> list[DCBEvent]:
    """The library's events."""
    return [DCBEvent(kind, data.encode(), [*tags]) for kind, data, tags in plain]


def append(recorder: Any, events: Any, condition: Any) -> Any:
    """Append; returns the position, or a list of the conflicts' positions."""
    demanded = condition_of(condition)
    try:
        return recorder.append(events_of(events), demanded)
    except IntegrityError as error:
        if error.args != (demanded,):
            raise
        conflicts = getattr(error, "conflicts", None)
        return None if conflicts is None else [conflict.position for conflict in conflicts]


def read(recorder: Any, query: PlainQuery, after: int | None, limit: int | None) -> Any:
    """Read; returns the events as lists, and the head."""
    response = recorder.read(query_of(query), after=after, limit=limit)
    found = [
        [each.position, each.event.type, each.event.data.decode(), each.event.tags]
        for each in response
    ]
    return [found, response.head]


def main() -> None:
    """Obey until the input ends."""
    factories: dict[str, AuroraFactory] = {}
    recorders: dict[str, Any] = {}
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        root, operation, arguments = json.loads(line)
        if operation == "close":
            factories.pop(root).close()
            recorders.pop(root)
            print("null", flush=True)  # noqa: T201
            continue
        if root not in factories:
            factories[root] = factory_on(root, AURORA_SYNC="never")
            recorders[root] = factories[root].dcb_recorder()
        obey = append if operation == "append" else read
        answer = obey(recorders[root], *arguments)
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
