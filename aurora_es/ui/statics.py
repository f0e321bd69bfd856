"""The files of the page, read once and answered from memory."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_INDEX = "index.html"
_PAGES = frozenset({_INDEX, "token.html"})


class StaticFile(NamedTuple):
    """A file as it is answered."""

    content: bytes
    media_type: str
    etag: str


@cache
def static_files() -> dict[str, StaticFile]:
    """All files of ``static/`` by their paths below it."""
    found = {}
    root = resources.files("aurora_es.ui") / "static"
    for directory, prefix in ((root, ""), (root / "js", "js/")):
        for file in directory.iterdir():
            suffix = file.name.rpartition(".")[2]
            if file.is_file() and suffix in _TYPES:
                content = file.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                found[prefix + file.name] = StaticFile(content, _TYPES[suffix], etag)
    return found


def html_response(name: str, status: int = 200) -> Response:
    """A whole page; a new version of the package is seen at once."""
    file = static_files()[name]
    headers = {"cache-control": "no-cache" if status == 200 else "no-store"}
    return Response(file.content, status, headers, file.media_type)


def static_routes() -> Iterator[Route]:
    """Routes of the page and of everything that it loads."""

    async def index(_: Request) -> Response:
        return html_response(_INDEX)

    yield Route("/", index)
    for path in sorted(static_files().keys() - _PAGES):
        yield Route(f"/{path}", _answering(static_files()[path]))


def _answering(file: StaticFile) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        headers = {"cache-control": "no-cache", "etag": file.etag}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)

    return answer
