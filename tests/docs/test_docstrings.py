"""What the reference makes of the sources."""

from __future__ import annotations

from pathlib import Path

import griffe
import pytest

from tools.docstrings import Reference, with_links

SOURCE = '''"""A module."""


class Report:
    """What was found; as in::

        report.count

    Or in another way.
    """

    count: int  # number of things
    # In bytes,
    # all together.
    size: int = 0
    word: str = "#"
    rate: (
        float | None
    )  # each second; None: not known
    ignored: int = 1  # noqa: X001
    """Told below."""


def outside() -> None:
    """Not::

    a block.
    """
'''


@pytest.fixture
def module(tmp_path: Path) -> griffe.Module:
    """Read the source as the site does."""
    (tmp_path / "sample.py").write_text(SOURCE)
    found = griffe.load(
        "sample", search_paths=[tmp_path], extensions=griffe.load_extensions(Reference)
    )
    assert isinstance(found, griffe.Module)
    return found


def text_of(module: griffe.Module, path: str) -> str | None:
    """The docstring of one object."""
    docstring = module[path].docstring
    return None if docstring is None else docstring.value


def test_comments_of_fields_become_their_text(module: griffe.Module) -> None:
    """A comment behind a field or above it, also over several lines, reads as a sentence."""
    assert text_of(module, "Report.count") == "Number of things."
    assert text_of(module, "Report.size") == "In bytes, all together."
    assert text_of(module, "Report.rate") == "Each second; None: not known."


def test_no_comment_and_comments_for_tools_are_no_text(module: griffe.Module) -> None:
    """A character in a text is no comment; a docstring wins."""
    assert text_of(module, "Report.word") is None
    assert text_of(module, "Report.ignored") == "Told below."


def test_an_example_has_one_colon(module: griffe.Module) -> None:
    """Two colons before an indented block become one."""
    text = text_of(module, "Report")
    assert text is not None
    assert text.startswith("What was found; as in:\n\n    report.count")


def test_errors_are_links() -> None:
    """Errors of the package lead to their class, those of others and code stay as they are."""
    text = "Raises ConflictError, OSError, ``ClosedError``.\n\n    raise ConflictError"
    assert with_links(text) == (
        "Raises [ConflictError][aurora_es.errors.ConflictError], OSError, ``ClosedError``.\n\n"
        "    raise ConflictError"
    )
