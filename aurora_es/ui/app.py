"""``create_app``: the page and its JSON interface, as an ASGI application.

Every request is a GET, but the one that enters a token. ``journal`` is a name that ``/api/journals`` tells; times are ISO 8601 with a
zone; positions and versions are whole numbers. What is not found is 404, a wrong parameter 400, what
an application refuses 422, a damaged journal 500, all with
``{"error": {"kind": "PathError", "message": "..."}}``.

=================== ========================================================= ======================
path                parameters                                                answer
=================== ========================================================= ======================
``/api/journals``                                                             ``Journals``
``/api/statistics`` journal                                                   ``Statistics``
``/api/rates``      journal, since, until, buckets                            ``[Bucket]``
``/api/topics``     journal                                                   ``Topics``
``/api/storage``    journal                                                   ``Storage``
``/api/streams``    journal, after, prefix, first_topic, limit                ``ShownStreams``
``/api/stream_count`` journal                                                 ``OriginatorCount``
``/api/events``     journal, topic (repeated), id, text, start, stop, since,  ``EventPage``
                    until, order (newest, oldest), next, limit
``/api/event``      journal, position                                         ``ShownEvent``
``/api/aggregate``  journal, id, until (a version), limit                     ``TimeLine``
``/api/state``      journal, id, version                                      ``ShownState``
``/api/lags``                                                                 ``Lags``
``/api/live``       journal, after, topic, id, text                           server-sent events
=================== ========================================================= ======================

A page goes on with ``next`` of the page before (``after`` for streams, ``until`` for aggregates);
``limit`` is at most 200. Events and streams are looked through up to a bound: a page may hold few,
or none, and still have a ``next``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aurora_es.decoding import ReplayError
from aurora_es.errors import ArgumentError, AuroraError, TruncatedError
from aurora_es.inspection.aggregates import NotThereError
from aurora_es.inspection.finding import PathError
from aurora_es.inspection.plain import encodable
from aurora_es.ui import overviews, records, timeline
from aurora_es.ui.guard import Access, Guard
from aurora_es.ui.lags import lags
from aurora_es.ui.live import live
from aurora_es.ui.look import Look
from aurora_es.ui.parameters import Parameters
from aurora_es.ui.statics import static_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from aurora_es.decoding import ApplicationDecoder

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (PathError, 404),
    (NotThereError, 404),
    (TruncatedError, 404),
    (ArgumentError, 400),
    (ReplayError, 422),
)
_encode_json = msgspec.json.Encoder().encode


class Page:
    """The page as an ASGI application; made by ``create_app``."""

    def __init__(self, app: ASGIApp, look: Look) -> None:
        """Answer with ``app``, which reads with ``look``."""
        self._app = app
        self._look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def end_following(self) -> None:
        """End all live streams, for a server that is to end; in its event loop."""
        self._look.end_following()


def create_app(
    root: str, *, decoder: ApplicationDecoder | None = None, access: Access | None = None
) -> Page:
    """The page for the journals at and below ``root``; ``decoder`` decodes states.

    ``access`` says who is answered, by default who asks a loopback address. Opens journals read-only
    when they are first asked for, and closes them at the end of its lifespan.
    """
    look = Look(root, decoder)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        look.close()

    answers: dict[str, Callable[[Look, Parameters], object]] = {
        "journals": overviews.journals,
        "statistics": overviews.statistics,
        "rates": overviews.rates,
        "topics": overviews.TopicCounts(),
        "storage": overviews.storage,
        "streams": records.streams,
        "stream_count": records.stream_count,
        "events": records.events,
        "event": records.event,
        "aggregate": timeline.aggregate,
        "state": timeline.state,
        "lags": lags,
    }
    routes = [
        *static_routes(),
        *(Route(f"/api/{name}", _answering(look, answer)) for name, answer in answers.items()),
        Route("/api/live", _following(look)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: _nothing_here})
    return Page(Guard(app, Access() if access is None else access), look)


def _answering(
    look: Look, answer: Callable[[Look, Parameters], object]
) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            found = await look.read(
                lambda: _encode_json(answer(look, Parameters(request.query_params)))
            )
        except (AuroraError, OSError) as error:
            return _problem(error)
        return Response(found, media_type="application/json")

    return respond


def _following(look: Look) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            return await live(look, Parameters(request.query_params), request)
        except (AuroraError, OSError) as error:
            return _problem(error)

    return respond


def _problem(error: Exception) -> Response:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    return _error(status, type(error).__name__, encodable(str(error)))


async def _nothing_here(request: Request, _: Exception) -> Response:
    return _error(404, "PathError", f"nothing is at {request.url.path}; the page is at /")


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status)
