"""The command ``projection rebuild``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from aurora_es.cli.arguments import AsJson, epilog
from aurora_es.cli.endings import EXIT_CODES_HELP, errors_told
from aurora_es.cli.progress import progress_shown
from aurora_es.cli.text import json_bytes, printable
from aurora_es.cli.topics import find_class, parse_topic

app = typer.Typer(
    name="projection",
    help="Look after projections whose views are journals (JournaledView).",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
)


@app.command(
    epilog=epilog(
        "aurora-es projection rebuild bank.views:Balances",
        "AURORA_PATH=store aurora-es projection rebuild views:Balances --app bank:Bank --json",
    )
)
def rebuild(
    projection: Annotated[
        str,
        typer.Argument(
            metavar="PROJECTION",
            parser=parse_topic,
            show_default=False,
            help="The projection's class, as module:Class.",
        ),
    ],
    *,
    app_topic: Annotated[
        str | None,
        typer.Option(
            "--app",
            metavar="APPLICATION",
            parser=parse_topic,
            show_default=False,
            help="The application's class, as module:Class; if unset, the only one in the"
            " projection's module.",
        ),
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(
            "--view",
            metavar="VIEW",
            parser=parse_topic,
            show_default=False,
            help="The view's class, as module:Class; if unset, the one of Projection[View].",
        ),
    ] = None,
    page_size: Annotated[int, typer.Option(min=1, help="Project so many events at once.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Build a projection's view anew from all events, beside the live one, and swap it in.

    Readers and a running projection need not be stopped. Settings are taken from the environment, as
    the projection itself does. This is also the way on when the application was restored to a point
    before what the view has tracked.
    """
    from aurora_es.compat import application_name
    from aurora_es.rebuilding import application_beside, rebuild_projection, view_of

    with errors_told():
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
        with progress_shown(f"rebuilding {printable(projection)}") as progress:
            position = rebuild_projection(
                application_class=application_class,
                projection_class=projection_class,
                view_class=view_class,
                page_size=page_size,
                progress=progress,
            )
        if as_json:
            found = {
                "projection": projection_class.name,
                "application": application_name(application_class),
                "position": position,
            }
            sys.stdout.buffer.write(json_bytes(found))
            return
        print(
            f"{printable(projection_class.name)}: rebuilt from {printable(application_name(application_class))}"
            f" up to position {position:,}"
        )
