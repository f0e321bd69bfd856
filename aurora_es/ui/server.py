"""Binds a socket and serves the page until somebody ends it."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from aurora_es.ui.guard import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

_BACKLOG = 128


def serve(app: ASGIApp, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve ``app`` at ``host`` and ``port``, 0 for a free one; returns after Ctrl-C.

    Calls ``ready`` with the address of the page once requests are accepted. Raises OSError.
    """
    with _bound(host, port) as bound:
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            proxy_headers=False,  # the guard asks for no address that a proxy could tell
            server_header=False,
            timeout_graceful_shutdown=1,  # of who follows a journal: they would never end
            ws="none",
        )
        ready(_address(host, bound.getsockname()[1]))
        # uvicorn ends in order, and passes the signal on to whoever had it before.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    name = host.strip("[]")
    try:
        return socket.create_server((name, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host} port {port}") from error


def _address(host: str, port: int) -> str:
    shown = "localhost" if not is_loopback(host) else host
    shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
    return f"http://{shown}:{port}/"
