"""Who is answered, and what browsers are told about the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from aurora_es.errors import ArgumentError
from aurora_es.ui.app import create_app
from aurora_es.ui.guard import HEADERS, Access
from aurora_es.ui.statics import static_files
from tests.ui.conftest import BASE
from tests.ui.stores import HOSTILE

TOKEN = "a-token-of-32-characters-or-more"  # noqa: S105 - of these tests
STATIC = Path(__file__).parents[2] / "aurora_es" / "ui" / "static"


@pytest.fixture(scope="module")
def open_page(hostile: Path) -> Iterator[TestClient]:
    """The page on loopback, without a token."""
    with TestClient(create_app(str(hostile)), base_url=BASE) as client:
        yield client


@pytest.fixture
def guarded_page(hostile: Path) -> Iterator[TestClient]:
    """The page at an address that others reach, with a token."""
    access = Access("192.0.2.7", TOKEN, frozenset({"journals.example"}))
    page = create_app(str(hostile), access=access)
    with TestClient(page, base_url="http://192.0.2.7", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/js/main.js",
        "/style.css",
        "/api/journals",
        "/api/nothing",
        "/nothing",
        "/../pyproject.toml",
    ],
)
def test_every_answer_carries_the_policy(open_page: TestClient, path: str) -> None:
    """Pages, files, JSON and refusals alike; nothing is cached without asking again."""
    response = open_page.get(path)
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    assert response.headers["cache-control"] in {"no-store", "no-cache"}
    assert "access-control-allow-origin" not in response.headers


def test_the_policy_lets_only_our_files_run(open_page: TestClient) -> None:
    """No inline script, no inline style, no other origin, no frame, and no markup from text."""
    policy = open_page.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for directive in ("frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for"):
        assert directive in policy


def test_the_files_need_nothing_that_the_policy_forbids() -> None:
    """No inline script or style or handler, no other origin, and no sink that takes markup."""
    namespace = "http://www.w3.org/2000/svg"
    for name, file in static_files().items():
        text = file.content.decode().replace(namespace, "")
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", text), name
        assert not re.search(r"https?://", text), name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text
        ), name


def test_all_files_are_answered_with_their_types(open_page: TestClient) -> None:
    """And a browser that has one already is told so."""
    for name, file in static_files().items():
        if name in {"token.html", "index.html"}:
            continue
        response = open_page.get(f"/{name}")
        assert response.content == (STATIC / name).read_bytes()
        assert response.headers["content-type"] == file.media_type
        again = open_page.get(f"/{name}", headers={"if-none-match": response.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8642", 200),
        ("localhost:8642", 200),
        ("LOCALHOST", 200),
        ("[::1]:8642", 200),
        ("evil.example", 421),
        ("evil.example:8642", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("192.0.2.7", 421),
        ("", 421),
    ],
)
def test_a_name_that_leads_here_by_rebinding_is_refused(
    open_page: TestClient, host: str, status: int
) -> None:
    """Whatever a stranger lets point to this machine is not what the page is asked for."""
    for path in ("/", "/api/journals", "/js/main.js"):
        assert open_page.get(path, headers={"host": host}).status_code == status


def test_only_reading_is_possible(open_page: TestClient) -> None:
    """Every other method is refused before anything looks at it."""
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        assert open_page.request(method, "/api/journals").status_code == 405
        assert open_page.request(method, "/").status_code == 405
    for path in ("/", "/api/journals", "/api/live?journal=."):
        assert open_page.head(path).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_link_but_not_ask(open_page: TestClient, site: str) -> None:
    """A link to the page works; a request that another page makes does not."""
    headers = {"sec-fetch-site": site}
    assert open_page.get("/api/journals", headers=headers).status_code == 403
    assert open_page.get("/js/main.js", headers=headers).status_code == 403
    assert open_page.get("/", headers=headers).status_code == 200


def test_elsewhere_than_on_loopback_a_token_is_needed() -> None:
    """Without one, or with a short one, nothing is served."""
    for host in ("0.0.0.0", "::", "192.0.2.7", "journals.example"):  # noqa: S104 - refused
        with pytest.raises(ArgumentError, match="AURORA_UI_TOKEN"):
            Access(host)
        with pytest.raises(ArgumentError, match="at least 16 characters"):
            Access(host, "short")
        assert Access(host, TOKEN).token == TOKEN
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        assert Access(host).token is None


def test_without_the_token_nothing_is_told(guarded_page: TestClient) -> None:
    """The page asks for it; everything else is refused, also with a wrong one."""
    page = guarded_page.get("/")
    assert page.status_code == 401
    assert 'type="password"' in page.text
    for path in ("/api/journals", "/js/main.js", "/api/live?journal=."):
        for headers in (
            {},
            {"authorization": "Bearer wrong-token-of-32-characters"},
            {"authorization": f"Basic {TOKEN}"},
            {"cookie": f"aurora_es_token={TOKEN}"},
            {"cookie": b"aurora_es_token=\xe9"},
        ):
            found = guarded_page.get(path, headers=headers)  # type: ignore[arg-type]
            assert found.status_code == 401
    assert guarded_page.get("/?token=wrong").status_code == 401
    assert guarded_page.get("/style.css").status_code == 200


def test_the_token_becomes_a_cookie_that_does_not_tell_it(guarded_page: TestClient) -> None:
    """Once in the address, which then is left; no script can read the cookie."""
    response = guarded_page.get(f"/?token={TOKEN}")
    assert response.status_code == 303
    assert response.headers["location"] == "./"
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert TOKEN not in cookie
    assert guarded_page.get("/").status_code == 200  # the client keeps the cookie
    assert guarded_page.get("/api/journals").status_code == 200


def test_the_form_sends_the_token_as_a_body(guarded_page: TestClient) -> None:
    """Addresses stand in histories and logs; a wrong, missing or endless one is asked for again."""
    for form in ({"token": "wrong"}, {}, {"token": "x" * 5_000}, {"other": TOKEN}):
        assert guarded_page.post("/", data=form).status_code == 401
    assert guarded_page.post("/api/journals", data={"token": TOKEN}).status_code == 405
    rebound = guarded_page.post("/", data={"token": TOKEN}, headers={"host": "evil.example"})
    assert rebound.status_code == 421
    response = guarded_page.post("/", data={"token": TOKEN})
    assert (response.status_code, response.headers["location"]) == (303, "./")
    assert TOKEN not in response.headers["set-cookie"]
    assert guarded_page.get("/api/journals").status_code == 200


def test_programs_bring_the_token_in_a_header(guarded_page: TestClient) -> None:
    """As is usual; a token does not excuse a name that is not expected."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert guarded_page.get("/api/journals", headers=headers).status_code == 200
    named = headers | {"host": "journals.example"}
    assert guarded_page.get("/api/journals", headers=named).status_code == 200
    rebound = headers | {"host": "evil.example"}
    assert guarded_page.get("/api/journals", headers=rebound).status_code == 421


def test_hostile_content_stays_data(open_page: TestClient) -> None:
    """JSON that no browser takes for markup, with the content as it was recorded."""
    journal = {"journal": "."}
    response = open_page.get("/api/events", params=journal)
    assert response.headers["content-type"] == "application/json"
    found = response.json()["events"]
    assert found[-1]["topic"] == found[-1]["id"] == HOSTILE
    assert found[0]["state"]["coding"] == "hexadecimal"
    for name in ("streams", "topics", "lags", "storage", "statistics"):
        assert open_page.get(f"/api/{name}", params=journal).status_code == 200
    for name in ("aggregate", "state"):
        response = open_page.get(f"/api/{name}", params=journal | {"id": HOSTILE})
        assert response.status_code == 200
    refused = open_page.get("/api/events", params={"journal": HOSTILE})
    assert refused.headers["content-type"] == "application/json"
    assert "<script>" in refused.json()["error"]["message"]
