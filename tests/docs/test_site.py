"""The documentation as a site: it is built without a warning, and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import aurora_es
import aurora_es.care
import aurora_es.moving
import aurora_es.queue
import aurora_es.queue.blocking
from aurora_es import AuroraFactory
from tools import site

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
# Names that the reference shows under another one, or on the page of errors.
ALIASES = {"Factory", "AuroraDcbRecorder", "START", "END"}
DIRECTIVE = re.compile(r"^::: (\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site with warnings as errors."""
    directory = tmp_path_factory.mktemp("site")
    # Without --quiet: warnings that are not shown are not counted either.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_every_page_is_on_the_site(built: Path) -> None:
    """Each page of docs/ became a page of the site."""
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if not (built / page).with_suffix(".html").is_file()] == []


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    """A page asks no other site for scripts, styles, fonts or pictures."""
    loaded = re.compile(r"<(?:script|img|iframe)[^>]+src=\"https?:|<link[^>]+href=\"https?:")
    pages = list(built.rglob("*.html"))
    assert [page.name for page in pages if loaded.search(page.read_text("utf-8"))] == []


def test_docstrings_are_in_the_reference(built: Path) -> None:
    """The reference shows signatures and docstrings of what it names."""
    text = (built / "reference" / "journal.html").read_text("utf-8")
    assert "totally ordered sequence of records" in text
    assert 'id="aurora_es.Journal.append"' in text


@pytest.mark.parametrize(
    "module",
    [aurora_es, aurora_es.care, aurora_es.moving, aurora_es.queue, aurora_es.queue.blocking],
)
def test_every_public_name_is_in_the_reference(module: object) -> None:
    """What a package lists in ``__all__`` has a place in the reference; errors come by module."""
    named = {
        name for page in REFERENCE.glob("*.md") for name in DIRECTIVE.findall(page.read_text())
    }
    names = vars(module)["__all__"]
    package = vars(module)["__name__"]
    missing = [
        name
        for name in names
        if f"{package}.{name}" not in named
        and f"{package}.{name}.{name}" not in named  # a function in the module of its name
        and f"aurora_es.{name}" not in named  # what the queue shows of the package's own
        and getattr(module, name).__module__ not in named
        and name not in ALIASES
    ]
    assert missing == []


def test_every_setting_is_in_the_table() -> None:
    """The page of settings has a row for each key that the factory reads."""
    keys = {
        value
        for name, value in vars(AuroraFactory).items()
        if name.isupper() and name.startswith(("AURORA_", "ORIGINATOR_ID"))
    }
    rows = re.findall(r"^\| `(\w+)` \|", (REFERENCE / "settings.md").read_text(), re.MULTILINE)
    assert set(rows) == keys


def test_links_out_of_docs_lead_to_pages_of_the_site() -> None:
    """A link to a source file leads to its page, one inside of code or to another site stays."""
    text = "[a](../../examples/README.md) [b](../../LICENSE#x) `[c](../../LICENSE)`\n```\n[d](../../LICENSE)\n```\n[e](https://a.example/)\n"
    anew = site.links_anew(text, "how-to/page.md")
    assert anew == text.replace("[b](../../LICENSE#x)", "[b](../repository/LICENSE.md#x)")
    assert site.links_anew("[f](docs/why.md)", "repository/README.md") == "[f](../why.md)"


def test_a_link_to_nothing_is_left_for_the_strict_build() -> None:
    """What leads nowhere is not hidden."""
    assert site.links_anew("[a](nowhere.md)", "index.md") == "[a](nowhere.md)"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("# Alone\n", 'not included in the "nav"'),
        ("# Links\n\n[a](nowhere.md)\n", "nowhere.md"),
        ("# Links\n\n[a](index.md#nowhere)\n", "there is no such anchor"),
        ("# Names\n\n::: aurora_es.NoSuchName\n", "aurora_es.NoSuchName"),
    ],
)
def test_a_strict_build_notices(text: str, warning: str, tmp_path: Path) -> None:
    """A page that nobody finds, a link or a name that leads nowhere ends the build."""
    config = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[0]
    for name in ("docs_dir: docs", "  - tools/site.py", "[tools/docstrings.py]"):
        assert name in config
    config = (
        config.replace("docs_dir: docs", f"docs_dir: {tmp_path / 'docs'}")
        .replace("  - tools/site.py\n", f"  - {ROOT / 'tools/site.py'}\n")
        .replace("[tools/docstrings.py]", f"[{ROOT / 'tools/docstrings.py'}]")
    )
    (tmp_path / "mkdocs.yml").write_text(f"{config}\nnav:\n  - index.md\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n")
    is_alone = text.startswith("# Alone")
    (tmp_path / "docs" / ("alone.md" if is_alone else "index.md")).write_text(text)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "built")]
    command += ["-f", str(tmp_path / "mkdocs.yml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert re.search("Aborted with (1 warnings|a BuildError)", done.stdout)
    assert warning in done.stderr + done.stdout
