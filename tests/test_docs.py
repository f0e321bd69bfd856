"""The documentation is true: its Python blocks run and its internal links lead somewhere.

Covered are README.md and docs/**/*.md; the links of all Markdown files. A page's blocks run in
order, in one namespace, as the script of a new process whose working directory is new and empty:
classes defined in a block live in ``__main__``, as they do for a reader who pastes them. A block
fenced ``python no-run`` is not executed; with ``postgres`` behind it, it is executed in a second run
of the page, where a PostgreSQL server is there.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.postgres import open_server

ROOT = Path(__file__).parent.parent
PAGES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.exists()]
LINKED_PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<info>[^`]*)$")
HEADING = re.compile(r"^#{1,6} +(?P<text>.*?)(?: +#+)?$")
# Inline and image links, with or without a title; and link definitions.
LINK = re.compile(r"\]\(<?(?P<inline>[^)\s>]+)>?(?: +[\"'][^)]*)?\)|^\[[^\]]+\]: *(?P<defined>\S+)")


class Block(NamedTuple):
    """A fenced block: line of its first content line (from 1), info words, lines."""

    line: int
    info: tuple[str, ...]
    lines: list[str]

    @property
    def is_executed(self) -> bool:
        """Say whether the block is Python that is meant to run."""
        return self.info[:1] == ("python",) and "no-run" not in self.info


class Page(NamedTuple):
    """A Markdown page, taken apart; in `prose` fenced lines are blank, so that lines keep numbers."""

    blocks: list[Block]
    prose: list[str]


def parse(text: str) -> Page:
    """Take a Markdown page apart; a fence that is never closed ends with the page, as in CommonMark."""
    page = Page([], [])
    fence, indent = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        match = FENCE.match(line)
        page.prose.append("" if fence or match else line)
        if not fence:
            if match:
                fence, indent = match["fence"], len(match["indent"])
                page.blocks.append(Block(number + 1, tuple(match["info"].split()), []))
        elif match and match["fence"].startswith(fence) and not match["info"]:
            fence = ""
        else:
            # A fence inside a list item is indented, and so is its content.
            blank = len(line) - len(line.lstrip(" "))
            page.blocks[-1].lines.append(line[min(indent, blank) :])
    return page


def script_of(page: Page) -> str:
    """Put a page's blocks on the lines they have on the page, so that a traceback names those."""
    lines: list[str] = []
    for block in page.blocks:
        if block.is_executed:
            lines += [""] * (block.line - 1 - len(lines)) + block.lines
    return "\n".join(lines) + "\n"


def anchors_of(page: Page) -> set[str]:
    """List a page's anchors: headings in lower case, without punctuation, repeats numbered."""
    counts: dict[str, int] = {}
    anchors = set()
    for line in page.prose:
        if match := HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["text"])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            repeat = counts.get(slug, 0)
            counts[slug] = repeat + 1
            anchors.add(f"{slug}-{repeat}" if repeat else slug)
    return anchors


def links_of(page: Page) -> Iterator[tuple[int, str]]:
    """Yield line and target of every link that is not code."""
    for number, line in enumerate(page.prose, start=1):
        for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            yield number, match["inline"] or match["defined"]


def broken_links(path: Path, root: Path) -> Iterator[str]:
    """Yield the links of one page that lead nowhere or out of the repository."""
    for line, link in links_of(parse(path.read_text("utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue  # another site's matter
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or not target.is_relative_to(root.resolve()):
            yield f"line {line}: {link}: no such file in the repository"
        elif anchor and anchor not in anchors_of(parse(target.read_text("utf-8"))):
            yield f"line {line}: {link}: no such heading"


def run(
    page: Page, name: str, directory: Path, env: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run a page's blocks as a script in an empty directory, with ``env`` beside our variables."""
    # Not a name that can be imported: a page may be called like a module that it uses.
    script = directory / f"{name}.md.py"
    script.write_text(script_of(page), "utf-8")
    empty = directory / "empty"
    empty.mkdir()
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=empty,
        env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def name_of(path: Path) -> str:
    """Name a page as the tests print it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    "path",
    [it for it in PAGES if any(block.is_executed for block in parse(it.read_text("utf-8")).blocks)],
    ids=name_of,
)
def test_python_blocks_run(path: Path, tmp_path: Path) -> None:
    """A reader who pastes a page's Python blocks in order gets no error and no warning."""
    finished = run(parse(path.read_text("utf-8")), path.stem, tmp_path)
    assert finished.returncode == 0, finished.stderr


def test_blocks_for_postgres_run(tmp_path: Path) -> None:
    """Beside an application on aurora_es, the page on views keeps one in PostgreSQL, as it says."""
    path = ROOT / "docs" / "how-to" / "views.md"
    page = parse(path.read_text("utf-8"))
    marked = [block._replace(info=("python",)) for block in page.blocks if "postgres" in block.info]
    blocks = [block for block in page.blocks if block.is_executed] + marked
    assert marked
    server = open_server()
    try:
        settings = {f"BALANCES_{key}": text for key, text in server.env.items()}
        finished = run(Page(blocks, []), path.stem, tmp_path, settings)
        assert finished.returncode == 0, finished.stderr
        assert [row[0] for row in server.execute("SELECT amount FROM balances")] == [20]
    finally:
        server.close()


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no README yet")
def test_the_readme_shows_code_that_runs() -> None:
    """The README's first Python block is one that the tests execute."""
    blocks = parse((ROOT / "README.md").read_text("utf-8")).blocks
    python = [block for block in blocks if block.info[:1] == ("python",)]
    assert python
    assert python[0].is_executed


@pytest.mark.parametrize("path", LINKED_PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file of the repository and, if any, a heading in it."""
    assert list(broken_links(path, ROOT)) == []


def test_blocks_share_a_namespace_and_fail_with_the_page_s_line(tmp_path: Path) -> None:
    """Blocks run in order as one script; shell and no-run blocks do not; a traceback names the line."""
    text = """\
# Title
```python
x = 1
```
```python no-run
raise SystemExit("no-run was run")
```
```console
$ raise
```
- in a list:
  ```python
  if x:
      import os; assert os.listdir() == []
      raise ValueError(x + 1)
  ```
"""
    finished = run(parse(text), "page", tmp_path)
    assert 'page.md.py", line 15' in finished.stderr
    assert "ValueError: 2" in finished.stderr


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    """The check tells a broken link from a good one, and leaves code and other sites alone."""
    (tmp_path / "other.md").write_text("# A *heading*, twice\n# A heading twice\n", "utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "## Here\n"
        "[a](other.md) ![b](other.md#a-heading-twice-1 'title') [c](#here) [d](https://a.example/b)\n"
        "`[code](nowhere.md)`\n"
        "```text\n[code](nowhere.md)\n```\n"
        "[e](nowhere.md) [f](other.md#missing) [g](../outside.md)\n"
        "[h]: nowhere.md\n",
        "utf-8",
    )
    faults = [fault.split(": ")[1] for fault in broken_links(page, tmp_path)]
    assert faults == ["nowhere.md", "other.md#missing", "../outside.md", "nowhere.md"]
