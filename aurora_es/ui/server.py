"""Binds a socket and serves the page until somebody ends it.

Theory of operation: a server that is to end waits for the requests that it answers. Those that follow
a journal would never be done: they are told first. What takes longer than the wait, because its
browser does not read on, is cancelled; that is no error, so nothing is logged about it.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from aurora_es.ui.guard import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.ui.app import Page

_BACKLOG = 128
_SHUTDOWN_SECONDS = 2


class _Server(uvicorn.Server):
    """Ends live streams before it waits for what is still answered."""

    def __init__(self, config: uvicorn.Config, page: Page) -> None:
        super().__init__(config)
        self._page = page

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._page.end_following()
        await super().shutdown(sockets)


def serve(page: Page, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve ``page`` at ``host`` and ``port``, 0 for a free one; returns after Ctrl-C.

    Calls ``ready`` with the address of the page once requests are accepted. Raises OSError.
    """
    with _bound(host, port) as bound:
        config = uvicorn.Config(
            page,
            access_log=False,
            log_level="warning",
            proxy_headers=False,  # the guard asks for no address that a proxy could tell
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            ws="none",
        )
        ready(_address(host, bound.getsockname()[1]))
        # uvicorn ends in order, and passes the signal on to whoever had it before.
        with suppress(KeyboardInterrupt):
            _Server(config, page).run(sockets=[bound])


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
