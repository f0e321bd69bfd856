"""The command ``ui``: serves a page that looks inside journals."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from aurora_es.cli.applications import decoder_of
from aurora_es.cli.arguments import ApplicationClass, PathToLookAt, Projector
from aurora_es.cli.endings import errors_told, fail
from aurora_es.cli.text import encodable, json_bytes
from aurora_es.errors import AuroraConfigurationError
from aurora_es.inspection.finding import find_journals

_EXTRA = frozenset({"anyio", "click", "h11", "idna", "starlette", "uvicorn"})


def ui(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToLookAt,
    *,
    app: ApplicationClass = None,
    projector: Projector = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen at; all but loopback need a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen at; 0 for a free one.")
    ] = 8642,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="AURORA_UI_TOKEN",
            show_envvar=True,
            show_default=False,
            help="What visitors have to know, 16 characters or more. Better not on the command"
            " line, which other users see.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="A name by which browsers reach this machine; give it again for more.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print where the page is as JSON, one object.")
    ] = False,
) -> None:
    """Serve a page for a browser: events, streams, time lines, live tail, storage, lag. Read-only.

    Only browsers of this machine reach it, unless --host says otherwise. Ctrl-C ends it. It needs the
    extra ui of the package aurora-es.
    """
    try:
        from aurora_es.ui.app import create_app
        from aurora_es.ui.guard import Access
        from aurora_es.ui.server import serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        message = (
            f"the page needs the package {missing}, which is not installed; install it with:"
            " `pip install 'aurora-es[ui]'`"
        )
        fail(AuroraConfigurationError(message))
    with errors_told():
        path = os.path.abspath(path)
        find_journals(path)  # a wrong path is told now, and not by every page
        access = Access(host, token, frozenset(name.lower() for name in allow_host or ()))
        page = create_app(path, decoder=decoder_of(app, path, projector=projector), access=access)

        def ready(address: str) -> None:
            if as_json:
                sys.stdout.buffer.write(json_bytes({"address": address, "path": encodable(path)}))
            else:
                print(f"{address} shows {path}; Ctrl-C ends it")
            sys.stdout.flush()

        serve(page, host=host, port=port, ready=ready)
