"""The commands of ``queue``: where its names are, what groups have parked, and retention.

The queue is imported where it is used: it brings asyncio along, which no other command needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from aurora_es.cli.arguments import (
    AsJson,
    AsJsonLines,
    DryRun,
    Yes,
    bytes_max_option,
    confirmed,
    epilog,
    older_than_option,
)
from aurora_es.cli.completing import complete_groups, complete_names, complete_queues
from aurora_es.cli.endings import EXIT_CODES_HELP, EXIT_REFUSED, errors_told, tell
from aurora_es.cli.finding import find_queue, network_allowed
from aurora_es.cli.reports import dropped_text
from aurora_es.cli.text import encodable, json_bytes, printable, time_text

if TYPE_CHECKING:
    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.looking import Action, ParkedMessage

app = typer.Typer(
    name="queue",
    help=(
        "Look at a queue and after it; it may be in use.\n\n"
        "names, lag and parked only read. redeliver, discard, forget and retain change something, and"
        " tell with --dry-run what that would be."
    ),
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
)

QueuePath = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE",
        show_default=False,
        autocompletion=complete_queues,
        help="The directory of a queue.",
    ),
]
Group = Annotated[
    str,
    typer.Argument(
        metavar="GROUP",
        show_default=False,
        autocompletion=complete_groups,
        help="The name of a group.",
    ),
]
Positions = Annotated[
    list[int] | None,
    typer.Option(
        "--position",
        min=1,
        show_default=False,
        help="Position of a parked message; give it again for more of them.",
    ),
]
AllParked = Annotated[bool, typer.Option("--all", help="All parked messages of the group.")]


@app.command(
    epilog=epilog("aurora-es queue names store/orders", "aurora-es queue names store/orders --json")
)
def names(queue: QueuePath, *, as_json: AsJson = False) -> None:
    """List named receivers and groups: where each is, and what it has yet to receive.

    A line each, tabs between: name, kind, position, lag, how many of these messages are held by
    members of the group, how many are parked, first position kept from retention.
    """
    from aurora_es.queue import looking

    with errors_told(), _opened(queue) as log:
        report = looking.look(log, os.path.abspath(queue))
        if as_json:
            shown = msgspec.structs.replace(report, path=encodable(report.path))
            sys.stdout.buffer.write(json_bytes(shown))
            return
        for one in report.names:
            numbers = (one.position, one.lag, one.held, one.parked, one.needed_from)
            print("\t".join((printable(one.name), one.kind, *map(str, numbers))))


@app.command(
    epilog=epilog("aurora-es queue lag store/orders", "aurora-es queue lag store/orders billing")
)
def lag(
    queue: QueuePath,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            show_default=False,
            autocompletion=complete_names,
            help="Print the number of this name alone.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print how many messages each name has yet to be done with, parked ones left out.

    A line each, a tab between name and number.
    """
    from aurora_es.queue import looking

    with errors_told(), _opened(queue) as log:
        if name is not None:
            looking.name_in(log, name)
        report = looking.look(log, queue)
        found = {one.name: one.lag for one in report.names if name in {None, one.name}}
        if as_json:
            sys.stdout.buffer.write(
                json_bytes({"last_position": report.last_position, "lag": found})
            )
        elif name is not None:
            print(found[name])
        else:
            for each, count in found.items():
                print(f"{printable(each)}\t{count}")


@app.command(
    epilog=epilog(
        "aurora-es queue parked store/orders billing",
        "aurora-es queue parked store/orders billing --position 17 --body",
    )
)
def parked(
    queue: QueuePath,
    group: Annotated[
        str | None,
        typer.Argument(
            metavar="GROUP",
            show_default=False,
            autocompletion=complete_groups,
            help="The name of a group; all groups if unset.",
        ),
    ] = None,
    *,
    positions: Positions = None,
    body: Annotated[bool, typer.Option("--body", help="Print the message's value, too.")] = False,
    as_json: AsJsonLines = False,
) -> None:
    """List messages that groups have parked, each with the reason.

    A line each, tabs between: group, position, time (UTC), attempts, key, type, reason, and with
    --body the value as JSON.
    """
    from aurora_es.queue import looking

    if positions and group is None:
        message = "expected a GROUP with --position, found none"
        raise typer.BadParameter(message)
    with errors_told(), _opened(queue) as log:
        found = looking.look(log, queue).names
        chosen = [one.name for one in found if one.parked] if group is None else [group]
        for name in chosen:
            for one in looking.parked_in(log, name, positions):
                if as_json:
                    sys.stdout.buffer.write(json_bytes(_parked_object(one)))
                else:
                    print(_parked_line(one, with_body=body))


@app.command(
    epilog=epilog(
        "aurora-es queue redeliver store/orders billing --position 17 --position 21",
        "aurora-es queue redeliver store/orders billing --all --dry-run",
    )
)
def redeliver(  # noqa: PLR0913 - a user's choices, all by name
    queue: QueuePath,
    group: Group,
    *,
    positions: Positions = None,
    everything: AllParked = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let parked messages be handed out again, as if for the first time."""
    _resolve(queue, group, positions, everything, "redeliver", _Choices(dry_run, yes, as_json))


@app.command(
    epilog=epilog(
        "aurora-es queue discard store/orders billing --position 17",
        "aurora-es queue discard store/orders billing --all --yes",
    )
)
def discard(  # noqa: PLR0913 - as redeliver
    queue: QueuePath,
    group: Group,
    *,
    positions: Positions = None,
    everything: AllParked = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Be done with parked messages: the group never hands them out again.

    They stay in the queue for other names, until retention drops them.
    """
    _resolve(queue, group, positions, everything, "discard", _Choices(dry_run, yes, as_json))


@app.command(
    epilog=epilog(
        "aurora-es queue forget store/orders reports --dry-run",
        "aurora-es queue forget store/orders reports --yes",
    )
)
def forget(
    queue: QueuePath,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            show_default=False,
            autocompletion=complete_names,
            help="Of a named receiver or a group.",
        ),
    ],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget a name that nobody uses any more: no message is kept for it, and its place is lost."""
    from aurora_es.queue import looking

    choices = _Choices(dry_run, yes, as_json)
    with errors_told(), _opened(queue, read_only=dry_run) as log:
        state = looking.name_in(log, name)
        what = f"forget the {state.kind} {name!r}, of which {len(state.parked):,} are parked"
        if choices.are_for(what):
            looking.forget(log, name)
        choices.tell({"name": name, "kind": state.kind, "position": state.frontier}, what)


@app.command(
    epilog=epilog(
        "aurora-es queue retain store/orders --older-than 7d --dry-run",
        "aurora-es queue retain store/orders --bytes-max 10GiB --messages-max 1000000",
    )
)
def retain(  # noqa: PLR0913 - a user's choices, all by name
    queue: QueuePath,
    *,
    older_than: Annotated[timedelta | None, older_than_option("messages that are")] = None,
    bytes_max: Annotated[int | None, bytes_max_option("messages")] = None,
    messages_max: Annotated[
        int | None,
        typer.Option(min=0, show_default=False, help="Drop the oldest while there are more."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Drop old messages for good, whole sealed segments, but none that a name has yet to receive.

    What has been rolled is sealed first, with --dry-run too.
    """
    from aurora_es.queue import retaining

    if older_than is None and bytes_max is None and messages_max is None:
        message = "expected --older-than, --bytes-max or --messages-max, found none of them"
        raise typer.BadParameter(message)
    with errors_told(), _opened(queue, read_only=False) as log:
        report = retaining.retain_queue(
            log,
            older_than=older_than,
            bytes_max=bytes_max,
            messages_max=messages_max,
            dry_run=dry_run,
        )
        if as_json:
            sys.stdout.buffer.write(json_bytes(report))
            return
        count = f"{report.dropped_messages:,} messages"
        print(dropped_text(os.path.abspath(queue), report, count))
        needed = sorted(report.needed_from.items(), key=lambda item: item[1])
        for name, position in needed[:1]:
            print(f"{printable(name)} needs position {position:,} and all behind it")


@contextmanager
def _opened(queue: str, *, read_only: bool = True) -> Iterator[CursorLog]:
    from aurora_es.queue.settings import QueueSettings

    settings = QueueSettings(
        find_queue(os.path.abspath(queue)),
        read_only=read_only,
        allow_network_file_system=network_allowed(),
    )
    log = settings.open()
    try:
        yield log
    finally:
        log.close()


class _Choices:
    """Whether something is to be done, to be asked about, or only to be told."""

    def __init__(self, dry_run: bool, yes: bool, as_json: bool) -> None:
        self.dry_run, self.yes, self.as_json = dry_run, yes, as_json
        self.refused = False

    def are_for(self, what: str) -> bool:
        """Whether to go on; asks, where somebody can be asked."""
        if self.dry_run:
            return False
        self.refused = not confirmed(f"{what}?", yes=self.yes, can_ask=not self.as_json)
        return not self.refused

    def tell(self, found: dict[str, Any], what: str) -> None:
        """Print what was, or would be, and end with exit code 1 if that was not wanted."""
        if self.as_json:
            sys.stdout.buffer.write(json_bytes({**found, "changed": self.is_done}))
        elif self.dry_run:
            print(f"would {printable(what)}")
        elif self.is_done:
            print(f"did {printable(what)}")
        if self.refused:
            tell("nothing was changed; add --yes to do it without being asked")
            raise typer.Exit(EXIT_REFUSED)

    @property
    def is_done(self) -> bool:
        return not self.dry_run and not self.refused


def _resolve(  # noqa: PLR0913, PLR0917 - as redeliver
    queue: str,
    group: str,
    positions: list[int] | None,
    everything: bool,
    action: Action,
    choices: _Choices,
) -> None:
    from aurora_es.queue import looking

    if bool(positions) == everything:
        found = "both" if positions else "neither"
        message = f"expected --position or --all, found {found}"
        raise typer.BadParameter(message)
    with errors_told(), _opened(queue, read_only=choices.dry_run) as log:
        chosen = [one.message.position for one in looking.parked_in(log, group, positions)]
        noun = "message" if len(chosen) == 1 else "messages"
        what = f"{action} {len(chosen):,} parked {noun} of {group!r}"
        if choices.are_for(what):
            looking.resolve(log, group, chosen, action=action)
        choices.tell({"group": group, "action": action, "positions": chosen}, what)


def _parked_line(one: ParkedMessage, *, with_body: bool) -> str:
    message = one.message
    fields = [
        printable(one.group),
        str(message.position),
        time_text(message.timestamp),
        str(message.attempts),
        printable(message.key or ""),
        printable(message.type_name),
        printable(one.reason),
    ]
    if with_body:
        fields.append(printable(json_bytes(_value_of(one)).decode().rstrip("\n")))
    return "\t".join(fields)


def _parked_object(one: ParkedMessage) -> dict[str, Any]:
    message = one.message
    return {
        "group": one.group,
        "position": message.position,
        "timestamp": message.timestamp,
        "attempts": message.attempts,
        "key": message.key,
        "type": message.type_name,
        "reason": one.reason,
        "headers": message.headers,
        "value": _value_of(one),
    }


def _value_of(one: ParkedMessage) -> Any:
    """The value as JSON can hold it; else its bytes, as ``{"base64": …}``."""
    message = one.message
    try:
        value = message.decode()
        if isinstance(value, bytes):
            return {"base64": value}
        return msgspec.Raw(json_bytes(value).rstrip(b"\n"))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {"base64": message.body}
