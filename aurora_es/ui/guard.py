"""Decides who is answered, and says to browsers what the page may do.

Theory of operation: a page on this machine is a target for every other page that its user has open,
and it shows all events. Against a name that a stranger lets point to this machine (DNS rebinding)
the ``Host`` of a request must be one that is expected; names are asked for, addresses cannot be
rebound. Against requests of other sites ``Sec-Fetch-Site`` is looked at, and there is no CORS.
Elsewhere than on the loopback interface a token is needed, once, then a cookie stands for it that no
script can read. The form that asks for it sends it as a body: addresses are kept in histories, and in
logs of proxies. Content is a stranger's, too: the policy of the page lets no script run but
our files, and no text become markup.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response

from aurora_es.errors import ArgumentError
from aurora_es.ui.statics import html_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_CHARACTERS_MIN = 16
_COOKIE = "aurora_es_token"
_FREE = frozenset({"/favicon.svg", "/style.css"})  # of the page that asks for the token
_METHODS = frozenset({"GET", "HEAD"})
_FORM_BYTES_MAX = 4_096
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who is answered: ``host`` is where the socket is bound, ``names`` are further hosts.

    Raises ArgumentError where a token is needed and missing, or shorter than 16 characters.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    names: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what would show all events to whoever reaches the port."""
        if self.token is None and not is_loopback(self.host):
            message = (
                f"host {self.host!r} can be reached from other machines: expected a token, found"
                " none; set AURORA_UI_TOKEN to at least 16 characters, as `openssl rand -hex 16`"
                " prints them, or leave out --host"
            )
            raise ArgumentError(message)
        if self.token is not None and len(self.token) < TOKEN_CHARACTERS_MIN:
            message = (
                f"token: expected at least {TOKEN_CHARACTERS_MIN} characters, found"
                f" {len(self.token)}; `openssl rand -hex 16` prints one"
            )
            raise ArgumentError(message)

    @property
    def ticket(self) -> str | None:
        """What the cookie holds: proves that its owner knew the token, without telling it."""
        if self.token is None:
            return None
        return hashlib.sha256(b"aurora-es ui\0" + self.token.encode()).hexdigest()

    def expects(self, host_header: str) -> bool:
        """Whether a request may be for this host."""
        host = _without_port(host_header).lower().removesuffix(".")
        if host in {"localhost", self.host.lower()} or host in self.names:
            return True
        address = _address(host)
        if address is None:
            return False
        return address.is_loopback if is_loopback(self.host) else True


def is_loopback(host: str) -> bool:
    """Whether a socket bound to ``host`` can be reached from this machine only."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _without_port(host_header: str) -> str:
    if host_header.startswith("["):
        return host_header.partition("]")[0] + "]"
    return host_header.partition(":")[0]


class Guard:
    """Stands before ``app``: refuses, or lets through and adds the headers to what is answered."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Let through to ``app`` what ``access`` allows."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST":
            refusal = self._entry(await _form_of(receive))
        await (self._app if refusal is None else refusal)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._access.expects(host):
            message = (
                f"host {host!r} is not expected here; if it is a name of this machine, start"
                f" aurora-es ui with --allow-host {_without_port(host)}"
            )
            return _refused(421, "HostError", message)
        is_page = scope["path"] == "/"
        ticket = self._access.ticket
        is_entry = is_page and scope["method"] == "POST" and ticket is not None
        if scope["method"] not in _METHODS and not is_entry:
            return _refused(405, "MethodError", "expected GET: the page only reads")
        if is_entry:
            return None
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not is_page:
            return _refused(403, "OriginError", "another site may not ask")
        return None if ticket is None else self._refusal_without(ticket, scope, headers)

    def _entry(self, form: bytes) -> Response:
        """A cookie for who has the token, and the form again for who has not."""
        entered = parse_qs(form.decode("latin-1")).get("token", [""])[0]
        ticket = self._access.ticket
        if ticket is None or not _same(entered, self._access.token or ""):
            return html_response("token.html", 401)
        response = RedirectResponse("./", 303)
        response.set_cookie(_COOKIE, ticket, httponly=True, samesite="lax")
        return response

    def _refusal_without(self, ticket: str, scope: Scope, headers: Headers) -> Response | None:
        """None for who has the token; who brings it in the address gets a cookie and goes on."""
        token = self._access.token or ""
        query = scope["query_string"]
        if scope["path"] == "/" and "token" in parse_qs(query.decode("latin-1")):
            return self._entry(query)
        cookies = cookie_parser(headers.get("cookie", ""))
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(cookies.get(_COOKIE, ""), ticket) or _same(bearer, token):
            return None
        if scope["path"] == "/":
            return html_response("token.html", 401)
        if scope["path"] in _FREE:
            return None
        return _refused(401, "TokenError", "expected the token; open the page and enter it")


async def _form_of(receive: Receive) -> bytes:
    """The body of a request; nothing for one that is longer than a token can be."""
    body = bytearray()
    while len(body) <= _FORM_BYTES_MAX:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
    return b""


def _same(found: str, expected: str) -> bool:
    return hmac.compare_digest(found.encode(errors="replace"), expected.encode())


def _refused(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status)
