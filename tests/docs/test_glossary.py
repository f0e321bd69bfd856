"""docs/glossary.md: one word for one thing, each defined once and in use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.test_docs import parse

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "glossary.md"
ROW = re.compile(r"^\| (?P<word>[^|]+?) \| (?P<meaning>.+?) \|$")
HEADINGS = {"word", "instead of", "---"}
# Words that name no thing of ours, and that have a plain meaning besides: these may be used in that.
AVOIDED = re.compile(r"\b(?:chunks?|producers?|sequence numbers?|global index)\b", re.IGNORECASE)


def rows_of(text: str) -> Iterator[tuple[str, str]]:
    """The rows of the tables of words: word and meaning."""
    defined, _, _not_used = text.partition("## Words that are not used")
    for line in defined.splitlines():
        match = ROW.match(line)
        if match and match["word"] not in HEADINGS and not match["word"].startswith("-"):
            yield match["word"], match["meaning"]


def pages() -> dict[str, str]:
    """The prose of every page but the glossary."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {
        path.relative_to(ROOT).as_posix(): "\n".join(parse(path.read_text("utf-8")).prose)
        for path in paths
        if path != PAGE
    }


def forms_of(word: str) -> re.Pattern[str]:
    """A word as it occurs: at the beginning of a sentence, in the plural, over the end of a line."""
    words = r"\s+".join(re.escape(part) for part in word.split())
    return re.compile(rf"\b{words}(?:s|es|ed|d|ing|ped|led)?\b", re.IGNORECASE)


def test_each_word_is_defined_once() -> None:
    """No word has two meanings."""
    counts = Counter(word for word, _ in rows_of(PAGE.read_text("utf-8")))
    assert len(counts) > 40
    assert [word for word, count in counts.items() if count > 1] == []


def test_each_word_is_used() -> None:
    """A word that no page uses needs no meaning."""
    prose = "\n".join(pages().values())
    words = [word for word, _ in rows_of(PAGE.read_text("utf-8"))]
    assert [word for word in words if not forms_of(word).search(prose)] == []


def test_a_meaning_uses_words_that_are_defined() -> None:
    """A word in italics is in the glossary, by itself or in another form."""
    rows = dict(rows_of(PAGE.read_text("utf-8")))
    unknown = [
        (word, used)
        for word, meaning in rows.items()
        for used in re.findall(r"\*([^*]+)\*", meaning)
        if not any(forms_of(known).fullmatch(used.removesuffix("'s")) for known in rows)
    ]
    assert unknown == []


def test_avoided_words_are_avoided() -> None:
    """No page uses a word for which the glossary has another."""
    found = [
        f"{name}: {match[0]}" for name, text in pages().items() for match in AVOIDED.finditer(text)
    ]
    assert found == []


def test_the_checks_notice() -> None:
    """The rows are read, a second meaning and another form are seen, headings are not."""
    text = "| word | meaning |\n|---|---|\n| roll | a |\n| roll | b |\n## Words that are not used\n| flush | sync |\n"
    assert list(rows_of(text)) == [("roll", "a"), ("roll", "b")]
    assert forms_of("index run").search("two Index\nruns")
    assert not forms_of("tag").search("stage")
