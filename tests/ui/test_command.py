"""The command ``aurora-es ui`` through its real entry point."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.cli.support import environment, opened, refused, run, started
from tests.patience import PATIENCE_SECONDS
from tests.ui.conftest import served
from tests.ui.stores import APP

TOKEN = "a-token-of-32-characters-or-more"  # noqa: S105 - of these tests


def test_it_serves_on_loopback_until_ctrl_c(store: Path) -> None:
    """Says where, answers, and ends in order; nothing is written in the store."""
    before = sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*"))
    with started("ui", store, "--port", 0) as process:
        line = opened(process.stdout).readline()
        address = line.split()[0]
        assert address.startswith("http://127.0.0.1:")
        assert str(store) in line
        found = httpx2.get(f"{address}api/events", params={"journal": "Bank/events", "limit": 1})
        assert found.json()["events"][0]["state"]["coding"] == "json"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert opened(process.stderr).read() == ""
    assert sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*")) == before


def test_an_application_or_a_journal_is_enough(store: Path) -> None:
    """A path need not be the whole AURORA_PATH."""
    for path, journal in ((store / "Bank", "events"), (store / "Bank" / "events", ".")):
        with served(path) as (address, _):
            found = httpx2.get(f"{address}api/journals").json()
            assert journal in {one["journal"] for one in found["journals"]}, found


def test_it_decodes_with_an_application(store: Path) -> None:
    """As the other commands do."""
    with served(store, "--app", APP) as (address, _):
        found = httpx2.get(f"{address}api/events", params={"journal": "Bank/events", "limit": 1})
        assert found.json()["events"][0]["state"]["coding"] == "application"


def test_elsewhere_it_needs_a_token(store: Path) -> None:
    """Refused without; with one from the environment it serves who knows it."""
    message = refused(1, "ui", store, "--host", "0.0.0.0", "--port", 0)  # noqa: S104 - refused
    assert "AURORA_UI_TOKEN" in message
    with served(store, "--host", "0.0.0.0", AURORA_UI_TOKEN=TOKEN) as (address, _):  # noqa: S104
        assert httpx2.get(f"{address}api/journals").status_code == 401
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert httpx2.get(f"{address}api/journals", headers=headers).status_code == 200


def test_what_cannot_work_is_told_at_once(store: Path, tmp_path: Path) -> None:
    """A path without journals, a port that is taken, an application that is none."""
    message = refused(1, "ui", tmp_path)
    assert "found no journal here: the directory is empty" in message
    assert "aurora-es init --app NAME" in message
    assert "expected an application class" in refused(1, "ui", store, "--app", "os:path")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        message = refused(1, "ui", store, "--port", taken.getsockname()[1])
        assert "in use" in message
    assert run("ui", store, "--port", 70_000).returncode == 2


def test_a_missing_extra_is_named(store: Path) -> None:
    """With what to install; the other commands work without it."""
    script = (
        "import sys; sys.modules['starlette'] = None; sys.argv[0] = 'aurora-es';"
        "from aurora_es.cli import main; main()"
    )

    def without(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    found = without("ui", store)
    assert found.returncode == 1
    assert "pip install 'aurora-es[ui]'" in found.stderr
    assert "Traceback" not in found.stderr
    assert without("info", store).returncode == 0
