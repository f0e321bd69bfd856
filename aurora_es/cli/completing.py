"""What a shell offers when the user presses Tab: stores and journals, queues, names in a queue.

Theory of operation: offered are directories that hold journals, from where the user is in the path
onward; where there are none, the shell offers files as always. Nobody can be told of an error while
a line is typed, so whatever goes wrong offers nothing. Only the first directories are looked
into, and two levels deep, so that Tab in a strange place costs a moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import typer

from aurora_es.errors import AuroraError
from aurora_es.format.names import MESSAGES
from aurora_es.journal.discovery import journals_below

_DIRECTORIES_MAX = 200


def complete_stores(incomplete: str) -> list[str]:
    """Paths that begin like this and stand for journals: stores, applications, journals."""
    found = set()
    for directory in _directories(incomplete):
        for journal in journals_below(directory).journals:
            while len(journal) >= len(directory):
                found.add(journal)
                journal = os.path.dirname(journal)  # noqa: PLW2901 - and those above it
    return sorted(found)


def complete_queues(incomplete: str) -> list[str]:
    """Paths of queues that begin like this."""
    journals = [
        journal
        for directory in _directories(incomplete)
        for journal in journals_below(directory).journals
    ]
    return sorted(os.path.dirname(one) for one in journals if os.path.basename(one) == MESSAGES)


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of receivers and groups of the queue that was typed before."""
    return [name for name, _ in _names(context) if name.startswith(incomplete)]


def complete_groups(context: typer.Context, incomplete: str) -> list[str]:
    """Names of its groups."""
    from aurora_es.queue.cursor_records import GROUP

    found = _names(context)
    return [name for name, kind in found if kind == GROUP and name.startswith(incomplete)]


def _names(context: typer.Context) -> list[tuple[str, str]]:
    from aurora_es.queue.settings import QueueSettings

    path = context.params.get("queue")
    if not path:
        return []
    try:
        log = QueueSettings(os.path.abspath(path), read_only=True).open()
        try:
            return [(name, state.kind) for name, state in sorted(log.names().items())]
        finally:
            log.close()
    except (AuroraError, OSError):
        return []


def _directories(incomplete: str) -> Iterator[str]:
    """Directories whose paths begin as typed; hidden ones only if that was typed, too."""
    above, begun = os.path.split(incomplete)
    try:
        names = sorted(os.listdir(above or "."))
    except OSError:
        return
    seen = 0
    for name in names:
        path = os.path.join(above, name)
        if not name.startswith(begun) or (name.startswith(".") and not begun):
            continue
        if os.path.isdir(path):
            seen += 1
            if seen > _DIRECTORIES_MAX:
                return
            yield path
