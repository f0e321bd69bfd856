"""Originators in pages: each of them once, whatever is sealed, and whatever shares a hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from aurora_es import Journal, Originator, Record
from aurora_es.index import collect
from aurora_es.inspection.streams import find_stream, read_streams
from aurora_es.journal import listing, sealed_index
from tests.inspection.support import looked_at, make_timed

IDS: list[UUID | str] = [UUID(int=9), "cargo-1", "cargo-2", UUID(int=3), "a", "Ünï", UUID(int=0)]


def commits() -> list[list[Record]]:
    """Some records of each originator, again and again."""
    return [
        [
            Record(topic=f"t{version}", state=b"", originator_id=one, originator_version=version)
            for one in IDS
        ]
        for version in range(1, 6)
    ]


def all_pages(journal: Journal, limit: int, looked_at_max: int = 1_000) -> list[Originator]:
    """Everything, page by page."""
    page = read_streams(journal, limit=limit, looked_at_max=looked_at_max)
    found = list(page.streams)
    while page.next_after is not None:
        page = read_streams(
            journal, after=page.next_after, limit=limit, looked_at_max=looked_at_max
        )
        found += page.streams
    return found


@pytest.mark.parametrize("sealed", [0, 3, 5])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_hold_each_originator_once(tmp_path: Path, sealed: int, limit: int) -> None:
    """In the order of the whole list, with what the list says of each."""
    with looked_at(make_timed(tmp_path / "j", commits(), sealed=sealed)) as journal:
        wanted = list(journal.originator_ids())
        assert {one.originator_id for one in wanted} == set(IDS)
        assert all_pages(journal, limit) == wanted
        assert all_pages(journal, 100, looked_at_max=2) == wanted


def one_key(genesis_id: bytes, kind: str) -> Callable[[bytes | str], int]:
    """A hasher for which all ids are the same."""
    number = ("originator", "topic", "tag", "event id").index(kind)
    return lambda _: number << 62 | 5


@pytest.mark.parametrize("sealed", [0, 3, 5])
def test_ids_with_one_hash_are_told_apart(
    tmp_path: Path, sealed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page repeats or leaves out one of them, and each is found."""
    for module in (collect, sealed_index, listing):
        monkeypatch.setattr(module, "key_hasher", one_key)
    with looked_at(make_timed(tmp_path / "j", commits(), sealed=sealed)) as journal:
        found = all_pages(journal, 2)
        assert sorted(str(one.originator_id) for one in found) == sorted(map(str, IDS))
        assert all(one.record_count == one.last_version == 5 for one in found)
        for one in IDS:
            stream = find_stream(journal, str(one))
            assert stream is not None
            assert stream.originator_id == one


def test_an_id_is_looked_up(tmp_path: Path) -> None:
    """However it is written; a whole UUID as prefix costs one look, and any other text a list."""
    with looked_at(make_timed(tmp_path / "j", commits(), sealed=3)) as journal:
        for text in (str(UUID(int=9)), UUID(int=9).hex.upper()):
            stream = find_stream(journal, text)
            assert stream is not None
            assert (stream.originator_id, stream.first_topic) == (UUID(int=9), "t1")
        assert find_stream(journal, "cargo") is None
        assert read_streams(journal, prefix=UUID(int=3).hex).looked_at == 1
        page = read_streams(journal, prefix=str(UUID(int=3)), first_topic="t2")
        assert (page.streams, page.next_after) == ([], None)
        assert {one.originator_id for one in read_streams(journal, prefix="cargo").streams} == {
            "cargo-1",
            "cargo-2",
        }
        assert read_streams(journal, first_topic="t2").streams == []


def test_what_comes_meanwhile_is_seen(tmp_path: Path) -> None:
    """Each page sees what another handle has appended by then."""
    path = make_timed(tmp_path / "j", commits(), sealed=5)
    with looked_at(path) as journal, Journal.open(path) as appender:
        before = {one.originator_id for one in all_pages(journal, 2)}
        appender.append([Record(topic="t", state=b"", originator_id="z", originator_version=1)])
        after = {one.originator_id for one in all_pages(journal, 2)}
        assert after - before == {"z"}
