"""A hook of mkdocs: links from the documentation to other files of the repository.

Pages are read in two places: in the repository, where a link such as ``../examples/x.py`` names a
file, and on the site, which has only what lies in ``docs``. Theory of operation: before the site is
built, the files outside of ``docs`` that pages link to become pages themselves, under
``repository/``: a Markdown file as it is, a source file as a block of code, a directory as a list of
its files. Pictures and figures are copied. Then every link is written anew, so that it leads to
where its target is on the site. A link to nothing stays as it is: mkdocs reports it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
PLACE = "repository"
LANGUAGES = {".py": "python", ".toml": "toml"}
FENCE = re.compile(r"^ *(?P<fence>`{3,}|~{3,})")
# A link outside of code, its target in the repository.
LINK = re.compile(r"(?P<code>`[^`]*`)|(?P<begin>\]\()(?P<target>[^)\s#]+)(?P<end>(?:#[^)\s]*)?\))")
OTHER_SITE = re.compile(r"[a-z][a-z0-9+.-]*:")


def prose_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line of a page, with its end, and whether it is prose and no fenced code."""
    fence = ""
    for line in text.splitlines(keepends=True):
        match = FENCE.match(line)
        is_fence = match is not None and (not fence or match["fence"].startswith(fence))
        yield line, not fence and not is_fence
        if match is not None and is_fence:
            fence = "" if fence else match["fence"]


def target_of(link: str, page: str) -> str | None:
    """The file or directory of the repository that a page's link names, or None."""
    if OTHER_SITE.match(link):
        return None
    path = os.path.normpath(os.path.join(ROOT, os.path.dirname(page), link))
    if not os.path.exists(path) or not path.startswith(f"{ROOT}{os.sep}"):
        return None
    return PurePosixPath(os.path.relpath(path, ROOT)).as_posix()


def targets_of(text: str, page: str) -> Iterator[str]:
    """The files and directories of the repository that a page links to."""
    for line, is_prose in prose_lines(text):
        for match in LINK.finditer(line) if is_prose else ():
            if match["target"] and (target := target_of(match["target"], page)):
                yield target


def is_copied(target: str) -> bool:
    """Whether a file is copied as it is: a picture, or figures."""
    return PurePosixPath(target).suffix in {".svg", ".png", ".json"}


def site_uri(target: str) -> str:
    """Where a file or directory of the repository is among the sources of the site."""
    if target.startswith(f"{DOCS}/"):
        return target.removeprefix(f"{DOCS}/")
    if (ROOT / target).is_dir():
        return f"{PLACE}/{target}/index.md"
    is_page = is_copied(target) or target.endswith(".md")
    return f"{PLACE}/{target}" if is_page else f"{PLACE}/{target}.md"


def page_text(target: str) -> str:
    """A file or directory of the repository as a page."""
    path = ROOT / target
    if path.is_dir():
        names = sorted(it.name for it in path.iterdir() if it.is_file() and it.name[0] not in "_.")
        return f"# {target}\n\n" + "".join(f"- [{name}]({name})\n" for name in names)
    text = path.read_text("utf-8")
    if target.endswith(".md"):
        return text
    # More backticks than any line of the file has.
    return f"# {target}\n\n`````{LANGUAGES.get(path.suffix, 'text')}\n{text}`````\n"


def repository_path(page: str) -> str:
    """The path in the repository of a page of the site, against which its links count."""
    if not page.startswith(f"{PLACE}/"):
        return f"{DOCS}/{page}"
    path = page.removeprefix(f"{PLACE}/")
    if (ROOT / path).exists():
        return path
    return path.removesuffix(".md") if (ROOT / path.removesuffix(".md")).exists() else path


def links_anew(text: str, page: str) -> str:
    """A page's text in which each link leads to where its target is on the site."""
    here = os.path.dirname(page)
    origin = repository_path(page)

    def anew(match: re.Match[str]) -> str:
        target = target_of(match["target"], origin) if match["target"] else None
        if target is None:
            return match[0]
        return f"{match['begin']}{os.path.relpath(site_uri(target), here)}{match['end']}"

    return "".join(
        LINK.sub(anew, line) if is_prose else line for line, is_prose in prose_lines(text)
    )


def _listed(entry: object) -> Iterator[str]:
    """The pages below ``repository/`` that the navigation names."""
    match entry:
        case str() if entry.startswith(f"{PLACE}/"):
            yield entry
        case list():
            for one in entry:
                yield from _listed(one)
        case dict():
            for one in entry.values():
                yield from _listed(one)
        case _:
            return


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what navigation and pages name outside of ``docs``, and what that links to in turn."""
    wanted = [
        target
        for page in files.documentation_pages()
        for target in targets_of(page.content_string, repository_path(page.src_uri))
    ]
    wanted += map(repository_path, _listed(config.nav))
    while wanted:
        target = wanted.pop()
        uri = site_uri(target)
        if target.startswith(f"{DOCS}/") or files.get_file_from_path(uri) is not None:
            continue
        if is_copied(target):
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
            continue
        text = page_text(target)
        files.append(File.generated(config, uri, content=text))
        wanted += targets_of(text, repository_path(uri))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write a page's links anew."""
    return links_anew(markdown, page.file.src_uri)
