"""Files of JSON lines that are not as they should be, and streams."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from aurora_es.format.payload import encode_payload
from aurora_es.moving import (
    JsonLines,
    SourceError,
    SqliteFile,
    TargetError,
    export_events,
    import_events,
    json_lines,
    json_lines_format,
)
from tests.moving.sides import ORDER, events, make_sqlite, read_sqlite, read_store


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    """The lines of an export of ten events and a snapshot, with tracking records."""
    path = make_sqlite(
        tmp_path / "shop.db",
        events(10),
        snapshots=[StoredEvent(ORDER, 7, "s", b"7")],
        tracking=[("Up", 42)],
    )
    import_events(SqliteFile(path), tmp_path / "origin" / "Shop")
    export_events(tmp_path / "origin" / "Shop", JsonLines(tmp_path / "shop.jsonl"))
    return (tmp_path / "shop.jsonl").read_bytes().splitlines()


def _write(tmp_path: Path, lines: list[bytes]) -> JsonLines:
    (tmp_path / "changed.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return JsonLines(tmp_path / "changed.jsonl")


def test_the_lines_are_json_that_anybody_reads(lines: list[bytes]) -> None:
    """Header, events, snapshots, tracking, end; a state that is JSON stands there as it is."""
    parsed = [json.loads(line) for line in lines]
    assert parsed[0] == {
        "header": {"format": "aurora_es events", "version": 1, "application": "Shop"}
    }
    assert parsed[1]["state"] == {"at": 1}
    assert parsed[5]["state_base64"] == "AP81"
    assert [line.get("part") for line in parsed[1:12]] == ["events"] * 10 + ["snapshots"]
    assert [line["id"] for line in parsed[1:11]] == list(range(1, 11))
    assert parsed[12] == {"tracking": {"part": "events", "ids": {"Up": 42}}}
    assert parsed[13]["end"]["counts"] == {"events": 10, "snapshots": 1}


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (b"{", "cannot be read"),
        (b"", "cannot be read"),
        (b"[1]", "cannot be read"),
        (b'{"part":"events","id":1,"surprise":1}', "unknown field `surprise`"),
        (b'{"part":"events","id":5,"topic":"t"}', "`state` or `state_base64`"),
        (b'{"part":"events","id":5,"topic":"t","state":1,"state_base64":""}', "`state`"),
        (b'{"part":"events","id":5,"topic":"t","state":1,"originator_id":"a"}', "together"),
        (b'{"part":"events","id":5,"topic":"t","state_base64":"*"}', "cannot be read"),
        (b'{"part":"elsewhere","id":5,"topic":"t","state":1}', "found 'elsewhere'"),
        (b'{"part":"events","id":5,"topic":"\xff","state":1}', "cannot be read"),
        (b'{"part":"events","id":5,"topic":"t","state":1,"metadata_base64":"AA=="}', "MessagePack"),
        (b"{}", "none or several"),
        (b'{"header":{"format":"aurora_es events","version":2}}', "of version 2"),
        (b'{"tracking":{"part":"../elsewhere","ids":{"a":1}}}', "found '../elsewhere'"),
        (b'{"tracking":{"part":"events","ids":{"a":-1}}}', "found -1 for 'a'"),
        (b'{"tracking":{"part":"events","ids":{"a":9223372036854775808}}}', "for 'a'"),
        (b'{"part":"events","id":3,"topic":"t","state":1}', "found 3 behind 4"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_lost(
    tmp_path: Path, lines: list[bytes], bad: bytes, expected: str
) -> None:
    """The error names the line and what was expected; mended, the import goes on there."""
    target = tmp_path / "store" / "Shop"
    with pytest.raises(SourceError, match=expected) as caught:
        import_events(_write(tmp_path, [*lines[:5], bad, *lines[5:]]), target)
    if "behind" not in expected:
        assert "line 6" in str(caught.value)
        assert "import jsonl" in str(caught.value)
    assert not target.exists()
    import_events(_write(tmp_path, lines), target)
    assert read_store(target.parent) == read_sqlite(tmp_path / "shop.db")


def test_rows_before_a_bad_line_are_in_the_target(
    tmp_path: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was whole is kept: the next import moves only what is behind."""
    monkeypatch.setattr(json_lines, "ROWS_MAX", 2)
    target = tmp_path / "store" / "Shop"
    with pytest.raises(SourceError, match="line 8"):
        import_events(_write(tmp_path, [*lines[:7], b"?", *lines[7:]]), target)
    report = import_events(_write(tmp_path, lines), target)
    assert report.parts[0].moved == 10 - 4


def test_an_export_that_did_not_finish_is_noticed(tmp_path: Path, lines: list[bytes]) -> None:
    """A header promises an end line."""
    with pytest.raises(SourceError, match="was not finished"):
        import_events(_write(tmp_path, lines[:-1]), tmp_path / "store" / "Shop")


@pytest.mark.parametrize("lost", [10, 11])
def test_lost_lines_are_noticed(tmp_path: Path, lines: list[bytes], lost: int) -> None:
    """The end line counts what is before it."""
    with pytest.raises(SourceError, match="lines were lost or changed"):
        import_events(
            _write(tmp_path, [*lines[:lost], *lines[lost + 1 :]]), tmp_path / "store" / "Shop"
        )


def test_a_changed_state_is_noticed(tmp_path: Path, lines: list[bytes]) -> None:
    """The end line has a digest of what is before it."""
    changed = [line.replace(b'{"at":7}', b'{"at":8}') for line in lines]
    with pytest.raises(SourceError, match="lines were lost or changed"):
        import_events(_write(tmp_path, changed), tmp_path / "store" / "Shop")


def test_more_behind_the_end_line_is_refused(tmp_path: Path, lines: list[bytes]) -> None:
    """Two exports in one file are none."""
    with pytest.raises(SourceError, match="nothing behind the end line"):
        import_events(_write(tmp_path, [*lines, lines[1]]), tmp_path / "store" / "Shop")


def test_lines_of_somebody_else_need_no_header(tmp_path: Path) -> None:
    """Whoever writes lines by hand, or by a program, needs only those of records."""
    line = b'{"part":"events","originator_id":"order-1","originator_version":%d,"topic":"t","state":%d}'
    (tmp_path / "by-hand.jsonl").write_bytes(b"\n".join(line % (at, at) for at in (1, 2, 3)))
    import_events(JsonLines(tmp_path / "by-hand.jsonl"), tmp_path / "store" / "Shop")
    report = export_events(
        tmp_path / "store" / "Shop",
        SqliteFile(tmp_path / "shop.db", originator_id_type="text"),
    )
    assert report.parts[0].count == 3
    assert read_sqlite(tmp_path / "shop.db", "text").notifications[2] == (
        3,
        "order-1",
        3,
        "t",
        b"3",
    )


def test_a_line_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line takes more memory than the longest record could need."""
    monkeypatch.setattr(json_lines, "LINE_BYTES_MAX", 1000)
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 100)
    (tmp_path / "long").write_bytes(b"x" * 5000)
    with pytest.raises(SourceError, match="at most 1000 bytes"):
        import_events(JsonLines(tmp_path / "long"), tmp_path / "store" / "Shop")


def test_blocks_end_anywhere(
    tmp_path: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the bytes come, the lines are the same."""
    for size in (1, 2, 7, 100, 1000):
        monkeypatch.setattr(json_lines, "_BLOCK_BYTES", size)
        target = tmp_path / f"store{size}" / "Shop"
        import_events(_write(tmp_path, lines), target)
        assert read_store(target.parent) == read_sqlite(tmp_path / "shop.db")


def test_streams_are_moved_and_the_target_is_read_back(tmp_path: Path, lines: list[bytes]) -> None:
    """A pipe is read and written once; the journal is compared with what came through."""
    stream = io.BytesIO()
    report = export_events(tmp_path / "origin" / "Shop", JsonLines(stream))
    assert (report.verified, report.durable) == (False, False)
    assert stream.getvalue().splitlines()[-1] == lines[-1]
    stream.seek(0)
    other = import_events(JsonLines(stream), tmp_path / "store" / "Shop")
    assert (other.verified, other.durable) == (True, True)
    assert [part.digest for part in other.parts] == [part.digest for part in report.parts]
    assert read_store(tmp_path / "store") == read_sqlite(tmp_path / "shop.db")


def test_a_missing_file_is_no_source(tmp_path: Path) -> None:
    """Nothing is made where there is nothing to move."""
    for source in (JsonLines(tmp_path / "none"), SqliteFile(tmp_path / "none")):
        with pytest.raises(SourceError, match="name another one"):
            import_events(source, tmp_path / "store" / "Shop")
    assert not (tmp_path / "store").exists()


def test_metadata_that_json_would_change_is_kept_as_it_is() -> None:
    """Of the two forms the readable one is taken wherever it comes back as it was."""
    survives = json_lines_format._survives_json
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"a": 1, "b": [1.5, None, "ü"]}, True),
        ({"a": b"bytes"}, False),
        ({"a": float("nan")}, False),
        ({"a": float("inf")}, False),
    ]
    for metadata, expected in cases:
        assert survives(metadata, encode_payload(metadata)) is expected


def test_dcb_events_are_not_for_the_aggregate_recorders(tmp_path: Path) -> None:
    """Events with tags alone have no place in SQLite; the error says where they have one."""
    (tmp_path / "dcb.jsonl").write_bytes(
        b'{"part":"dcb","id":1,"topic":"t","state":1,"tags":["course-1"]}\n'
    )
    import_events(JsonLines(tmp_path / "dcb.jsonl"), tmp_path / "store" / "Shop")
    with pytest.raises(TargetError, match="export jsonl"):
        export_events(tmp_path / "store" / "Shop", SqliteFile(tmp_path / "shop.db"))
