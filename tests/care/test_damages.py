"""Every damage of the catalogue is found, named, and nothing else is."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es.care import examining, verify
from aurora_es.care.examiner import (
    Order,
    await_greeting,
    decode_result,
    encode,
    receive,
    send,
)
from aurora_es.care.findings import UNCHECKED_KINDS
from aurora_es.care.segment_check import SegmentResult
from aurora_es.care.segment_facts import Target
from aurora_es.files.layer import Files
from aurora_es.journal.gathering import Bound
from tests.care.damages import CATALOGUE
from tests.care.harms import Damage
from tests.care.stores import KINDS, write_store
from tests.journal.support import snapshot
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one store of each kind."""
    directory = tmp_path_factory.mktemp("stores")
    return {kind: write_store(directory / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def examiner() -> Iterator[socket.socket]:
    """Start a process that examines segments; yield the way to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(examining.examiner_command(), stdin=theirs.fileno())
    with ours:
        await_greeting(ours, PATIENCE_SECONDS)
        yield ours
    assert process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("damage", CATALOGUE, ids=lambda damage: damage.name)
def test_a_damage_is_named_exactly(
    damage: Damage,
    stores: dict[str, Path],
    tmp_path: Path,
    examiner: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kind, file, offset, expectation, finding and lost positions are those of the catalogue.

    So they are where another process examines the segments.
    """
    path = tmp_path / "journal"
    shutil.copytree(stores[damage.store], path)
    damage.inflict(path)
    before = snapshot(path)
    report = verify(path)
    found = sorted((one.kind, Path(one.path).name, one.offset, one.lost) for one in report.findings)
    assert found == sorted(
        (one.kind, one.file_name, one.offset, one.lost) for one in damage.findings
    ), report.findings
    for expected in damage.findings:
        assert any(
            one.kind == expected.kind
            and Path(one.path).name == expected.file_name
            and expected.expected in one.expected
            and expected.found in one.found
            and one.cure.startswith("aurora-es ")
            for one in report.findings
        ), report.findings
    assert report.is_whole == (not damage.findings)
    assert report.is_damaged == any(one.kind not in UNCHECKED_KINDS for one in damage.findings)
    assert snapshot(path) == before

    def elsewhere(_: Files, directory: str, target: Target, bound: Bound) -> SegmentResult | None:
        send(examiner, encode(Order(directory, target, bound)))
        return decode_result(receive(examiner))

    monkeypatch.setattr(examining, "examined", elsewhere)
    assert verify(path) == report


def test_names_are_unique() -> None:
    """A damage is found by its name."""
    names = [damage.name for damage in CATALOGUE]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_store_is_whole(kind: str, stores: dict[str, Path]) -> None:
    """Nothing is found where nothing is wrong."""
    report = verify(stores[kind], digest=True)
    assert report.findings == ()
    assert (report.is_whole, report.is_damaged, report.lost) == (True, False, ())
    assert (report.digest_position, report.digest_commit) == (18, 10)
