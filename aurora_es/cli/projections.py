"""The command ``projection rebuild``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from aurora_es.cli.arguments import AsJson, epilog
from aurora_es.cli.endings import EXIT_CODES_HELP, errors_told
from aurora_es.cli.progress import progress_shown
from aurora_es.cli.text import json_bytes, printable
from aurora_es.cli.topics import find_class, parse_topic

if TYPE_CHECKING:
    from aurora_es.compat import Application, DCBApplication
    from aurora_es.views import JournaledView

app = typer.Typer(
    name="projection",
    help="Look after projections whose views are journals (JournaledView).",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
)

_Projection = Annotated[
    str,
    typer.Argument(
        metavar="PROJECTION",
        parser=parse_topic,
        show_default=False,
        help="The projection's class, as module:Class.",
    ),
]
_Application = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="APPLICATION",
        parser=parse_topic,
        show_default=False,
        help="The application's class, as module:Class; if unset, the only one in the"
        " projection's module.",
    ),
]
_View = Annotated[
    str | None,
    typer.Option(
        "--view",
        metavar="VIEW",
        parser=parse_topic,
        show_default=False,
        help="The view's class, as module:Class; if unset, the one of Projection[View].",
    ),
]
_PageSize = Annotated[int, typer.Option(min=1, help="Project so many events at once.")]


@app.command(
    epilog=epilog(
        "aurora-es projection rebuild bank.views:Balances",
        "AURORA_PATH=store aurora-es projection rebuild views:Balances --app bank:Bank --json",
    )
)
def rebuild(
    projection: _Projection,
    *,
    app_topic: _Application = None,
    view: _View = None,
    page_size: _PageSize = 1000,
    as_json: AsJson = False,
) -> None:
    """Build a projection's view anew from all events, beside the live one, and swap it in.

    Readers and a running projection need not be stopped. Settings are taken from the environment, as
    the projection itself does. This is also the way on when the application was restored to a point
    before what the view has tracked.
    """
    from aurora_es.compat import application_name
    from aurora_es.rebuilding import rebuild_projection

    with errors_told():
        found = _classes(projection, app_topic, view)
        with progress_shown(f"rebuilding {printable(projection)}") as progress:
            position = rebuild_projection(
                application_class=found.application,
                projection_class=found.projection,
                view_class=found.view,
                page_size=page_size,
                progress=progress,
            )
        name, application = found.projection.name, application_name(found.application)
        if as_json:
            told = {"projection": name, "application": application, "position": position}
            sys.stdout.buffer.write(json_bytes(told))
            return
        print(
            f"{printable(name)}: rebuilt from {printable(application)} up to position {position:,}"
        )


class _Classes(NamedTuple):
    """What is rebuilt, of whose events, and where to."""

    projection: type[Any]
    application: type[Application[Any] | DCBApplication]
    view: type[JournaledView]


def _classes(projection: str, app_topic: str | None, view: str | None) -> _Classes:
    """The classes that are named, and those that need not be; raises typer.BadParameter."""
    from aurora_es.rebuilding import application_beside, view_of

    projection_class = find_class(projection)
    application_class = (
        application_beside(projection_class) if app_topic is None else find_class(app_topic)
    )
    view_class = view_of(projection_class) if view is None else find_class(view)
    if application_class is None:
        message = f"expected one application in {projection_class.__module__}; name it: --app"
        raise typer.BadParameter(message, param_hint="--app")
    if view_class is None:
        message = f"expected a {projection} that derives from Projection[View]; name it: --view"
        raise typer.BadParameter(message, param_hint="--view")
    return _Classes(projection_class, application_class, view_class)
