"""Look-ups in an index run against a plain list."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.index.columns import last_ordinals, position_column
from aurora_es.index.keys import KINDS, key_range
from aurora_es.index.run import Run
from tests.index.runs import (
    ABSENT,
    ORIGINATORS,
    OTHERS,
    PATH,
    SMALL,
    Contents,
    contents,
    imagined_effects,
    open_run,
    write_run,
)

ALL_KEYS = ORIGINATORS + OTHERS + ABSENT


def written(made: Contents) -> Run:
    """Write a run of all entries to a new disk and open it."""
    effects, files = imagined_effects()
    write_run(effects, made.coverage(), made.entries)
    return open_run(files)


@given(contents())
def test_last_and_find(made: Contents) -> None:
    """The last entry of a key and the positions of an ordinal are those of the list."""
    run = written(made)
    for key in ALL_KEYS:
        expected = made.of_key(key)
        assert run.last(key) == (expected[-1] if expected else None)
        ordinals = {ordinal for ordinal, _ in expected} | {0, -1, 1 << 40, -(1 << 63)}
        for ordinal in ordinals:
            found = [position for other, position in expected if other == ordinal]
            assert run.find(key, ordinal) == found


@given(contents(), st.data())
def test_select(made: Contents, data: st.DataObject) -> None:
    """Any range of ordinals, in both directions and with any limit, is that of the list."""
    run = written(made)
    key = data.draw(st.sampled_from(ALL_KEYS))
    expected = made.of_key(key)
    near = sorted({ordinal + step for ordinal, _ in expected[:50] for step in (-1, 0, 1)})
    bounds = st.none() | st.sampled_from([*near, 0]) | st.integers(-(1 << 63), (1 << 63) - 1)
    for _ in range(5):
        gt, lte = data.draw(bounds), data.draw(bounds)
        desc, limit = data.draw(st.booleans()), data.draw(st.none() | st.integers(0, 130))
        found = [
            entry
            for entry in expected
            if (gt is None or entry[0] > gt) and (lte is None or entry[0] <= lte)
        ]
        found.sort(reverse=desc)
        assert run.select(key, gt=gt, lte=lte, desc=desc, limit=limit) == found[:limit]


@given(contents(), st.data())
def test_postings(made: Contents, data: st.DataObject) -> None:
    """Any range of positions of a topic, tag or event id is that of the list."""
    run = written(made)
    key = data.draw(st.sampled_from(OTHERS + ABSENT))
    expected = [position for _, position in made.of_key(key)]
    first, end = run.posting_range(key, after=0, until=1 << 63)
    assert run.positions(first, end) == expected
    bounds = st.integers(0, made.last_position + 3) | st.sampled_from([*expected, 0])
    for _ in range(5):
        after, until = data.draw(bounds), data.draw(bounds)
        found = [position for position in expected if after < position <= until]
        first, end = run.posting_range(key, after=after, until=until)
        assert run.positions(first, end) == found
        if first < end:
            assert position_column(run, first, end).tolist() == found


@given(contents(), st.sampled_from([1, 2, 1024]))
def test_keys_of_a_kind(made: Contents, piece_blocks: int) -> None:
    """Each key of a kind comes once, in order, with what the list says, however it is read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aurora_es.index.columns.PIECE_BLOCKS", piece_blocks)
        run = written(made)
        for kind in KINDS:
            low, high = key_range(kind)
            keys = sorted({key for key, _, _ in made.entries if low <= key <= high})
            expected = []
            for key in keys:
                found = made.of_key(key)
                first = min(position for _, position in found)
                expected.append((key, len(found), found[-1][0], first))
            assert list(run.keys(kind)) == expected


@given(contents(), st.sampled_from([1, 2, 1024]), st.sampled_from([0, 4]))
def test_last_ordinals(made: Contents, piece_blocks: int, gap: int) -> None:
    """Many keys at once get the answers that each of them gets alone, however blocks are read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aurora_es.index.columns.PIECE_BLOCKS", piece_blocks)
        patch.setattr("aurora_es.index.columns._GAP", gap)
        run = written(made)
        keys = sorted(ALL_KEYS)
        ordinals, is_there = last_ordinals(run, np.array(keys, np.uint64))
        for at, key in enumerate(keys):
            expected = run.last(key)
            assert is_there[at] == (expected is not None)
            assert expected is None or ordinals[at] == expected[0]


@given(contents())
def test_header_counts(made: Contents) -> None:
    """The header says how many entries and originators there are, and whether versions rise."""
    header = written(made).header
    assert header.entry_count == len(set(made.entries))
    assert header.originator_count == len({key for key, _, _ in made.entries if key < 1 << 62})
    assert bool(header.is_monotone) == made.is_monotone()
    assert header.ordinal_width == (8 if any(abs(e[1]) >= 1 << 31 for e in made.entries) else 4)
    span = made.last_position - made.base_position
    assert header.position_width == (8 if span >= 1 << 32 else 4)


def test_topics_and_commons() -> None:
    """Topics come with their counts, and common ones with their ranges, joined where they touch."""
    effects, files = imagined_effects()
    commons = [(7, 21, 30), (7, 10, 20), (7, 32, 40), (9, 10, 20)]
    write_run(effects, SMALL.coverage(), [], topics={"b": 2, "a": 1}, commons=commons)
    run = open_run(files)
    assert run.topics() == {"a": 1, "b": 2}
    assert run.common(7) == [(10, 30), (32, 40)]
    assert run.common(9) == [(10, 20)]
    assert run.common(8) == []


def test_too_many_topics_are_left_out() -> None:
    """A list of topics that exceeds 1 MiB is not kept, and the reader is told so."""
    effects, files = imagined_effects()
    topics = {f"{number:06d}" + "x" * 100: 1 for number in range(11_000)}
    write_run(effects, SMALL.coverage(), SMALL.entries, topics=topics)
    assert open_run(files).topics() is None


def test_threads_share_a_run() -> None:
    """Look-ups of several threads at once give each its own answers."""
    run = written(SMALL)
    expected = {key: SMALL.of_key(key) for key in (1, 5, 1 << 62)}
    wrong: list[int] = []

    def ask(key: int) -> None:
        wrong.extend(key for _ in range(200) if run.select(key) != expected[key])

    threads = [threading.Thread(target=ask, args=(key,)) for key in expected for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_open_run_outlives_its_name() -> None:
    """A reader goes on with a run that was replaced, and the descriptor goes with the last one."""
    effects, files = imagined_effects()
    write_run(effects, SMALL.coverage(), SMALL.entries)
    run = open_run(files)
    write_run(effects, SMALL.coverage(), [])
    assert run.last(5) == (-3, 90)
    assert open_run(files).last(5) is None
    assert files.open_paths == [PATH]
    del run
    assert files.open_paths == []
