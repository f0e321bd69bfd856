"""The tail index against a plain list of what was added."""

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from aurora_es.format.payload import TrackingData
from aurora_es.index.tail import Key, TailIndex
from aurora_es.journal.lookup import JournalIndex

Identity = tuple[Key | None, int | None]

KEYS: list[Key] = ["a", "b", b"0123456789abcdef"]
VERSION_MIN, VERSION_MAX = -(1 << 63), (1 << 63) - 1
versions = st.integers(-3, 8) | st.sampled_from([VERSION_MIN, VERSION_MAX])
identities: st.SearchStrategy[Identity] = st.tuples(
    st.sampled_from(KEYS), versions
) | st.sampled_from([(None, None), ("a", None), (None, 3)])


@dataclass(frozen=True)
class Frame:
    """A frame as the index is told of it."""

    segment_number: int
    offset: int
    length: int
    records: list[Identity]


@dataclass
class Model:
    """What was added, and what an index has to say of it, found by looking at everything."""

    records: list[Identity] = field(default_factory=list)
    frames: list[tuple[int, Frame]] = field(default_factory=list)  # with the first position
    tracking: dict[str, TrackingData] = field(default_factory=dict)

    def versions_of(self, key: Key, until: int) -> dict[int, int]:
        """Map an originator's versions up to position ``until`` to their positions."""
        return {
            version: position
            for position, (owner, version) in enumerate(self.records[:until], start=1)
            if owner == key and version is not None
        }

    def select(  # noqa: PLR0913 - as the index
        self,
        key: Key,
        *,
        gt: int | None,
        lte: int | None,
        desc: bool,
        limit: int | None,
        until: int,
    ) -> list[int]:
        """Select as the index has to."""
        found = [
            (version, position)
            for version, position in self.versions_of(key, until).items()
            if (gt is None or version > gt) and (lte is None or version <= lte)
        ]
        return [position for _, position in sorted(found, reverse=desc)][:limit]


@st.composite
def commits(draw: st.DrawFn) -> list[list[Frame]]:
    """Draw commits of frames over some segments; no originator has a version twice."""
    taken: set[Identity] = set()
    segment_number, offset = 1, 128
    drawn = []
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.integers(0, 3)) == 0:
            segment_number, offset = segment_number + draw(st.integers(1, 2)), 128
        commit = []
        for records in draw(st.lists(st.lists(identities, max_size=4), max_size=3)):
            kept = []
            for identity in records:
                if None in identity or identity not in taken:
                    taken.add(identity)
                    kept.append(identity)
            length = draw(st.integers(10, 30)) * 8
            commit.append(Frame(segment_number, offset, length, kept))
            offset += length
        drawn.append(commit)
    return drawn


trackings = st.none() | st.builds(TrackingData, st.sampled_from("xy"), st.integers(1, 9))


def build(
    drawn: list[list[Frame]], tracking: list[TrackingData | None] | None = None
) -> tuple[JournalIndex, Model]:
    """Add commits to an index and to a model."""
    index, model = JournalIndex(), Model()
    for number, commit in enumerate(drawn):
        told = tracking[number % len(tracking)] if tracking else None
        if commit:
            index.begin_segment(commit[0].segment_number, len(model.records) + 1)
        index.add_commit(
            [identity for frame in commit for identity in frame.records],
            [(frame.offset, frame.length, len(frame.records)) for frame in commit],
            told,
        )
        for frame in commit:
            if frame.records:
                model.frames.append((len(model.records) + 1, frame))
            model.records += frame.records
        if told is not None:
            model.tracking[told.application_name] = told
    return index, model


@given(commits())
@example([[Frame(1, 128, 80, [("a", 1), ("a", 5), ("a", 3)])]])
@example([[Frame(1, 128, 80, [("a", 2)])], [Frame(1, 208, 80, [("a", 1)])]])
def test_find_and_last(drawn: list[list[Frame]]) -> None:
    """Each version is found at its position, and no other; the last ones are the last ones."""
    index, model = build(drawn)
    assert index.position == len(model.records)
    for key in [*KEYS, "unknown"]:
        expected = model.versions_of(key, index.position)
        for version in {*range(-5, 11), VERSION_MIN, VERSION_MAX}:
            assert index.find(key, version) == expected.get(version, 0)
        assert index.last_version(key) == max(expected, default=None)
    if len({frame.segment_number for _, frame in model.frames}) == 1:
        assert index.originator_count == sum(bool(model.versions_of(key, 10**9)) for key in KEYS)


@given(
    commits(),
    st.sampled_from([*KEYS, "unknown"]),
    st.none() | versions,
    st.none() | versions,
    st.booleans(),
    st.none() | st.integers(0, 6),
    st.data(),
)
def test_select(  # noqa: PLR0913, PLR0917 - the method's own arguments
    drawn: list[list[Frame]],
    key: Key,
    gt: int | None,
    lte: int | None,
    desc: bool,  # noqa: FBT001
    limit: int | None,
    data: st.DataObject,
) -> None:
    """A selection is what a search through all records gives, whatever its bounds."""
    index, model = build(drawn)
    until = data.draw(st.integers(0, index.position) | st.just(index.position))
    for bound in (until, index.position):
        expected = model.select(key, gt=gt, lte=lte, desc=desc, limit=limit, until=bound)
        found = index.select(key, gt=gt, lte=lte, desc=desc, limit=limit, until=bound)
        assert found == (expected, False)


@given(commits())
def test_a_reader_never_sees_beyond_what_it_has_seen(drawn: list[list[Frame]]) -> None:
    """Bounded by an earlier position, a selection is what it was when that was the last."""
    whole, _ = build(drawn)
    for count in range(len(drawn)):
        earlier, model = build(drawn[:count])
        until = len(model.records)
        for key in KEYS:
            for desc in (False, True):
                assert whole.select(
                    key, gt=None, lte=None, desc=desc, limit=None, until=until
                ) == earlier.select(key, gt=None, lte=None, desc=desc, limit=None, until=until)


@given(commits())
def test_frames(drawn: list[list[Frame]]) -> None:
    """Each position is in the frame it was added with, at that frame's place."""
    index, model = build(drawn)
    for first, frame in model.frames:
        for position in range(first, first + len(frame.records)):
            tail = index.tail_of(position)
            assert tail is not None
            assert tail.segment_number == frame.segment_number
            assert tail.frame_place(position) == (frame.offset, frame.length, first)


@given(commits(), st.integers(1, 2_000), st.data())
def test_frame_runs(drawn: list[list[Frame]], bytes_max: int, data: st.DataObject) -> None:
    """A run is the longest piece of neighbours in one segment within its bounds, one at least."""
    index, model = build(drawn)
    for number, (first, frame) in enumerate(model.frames):
        until = data.draw(st.integers(first, index.position))
        expected: list[Frame] = []
        for later_first, later in model.frames[number:]:
            if later.segment_number != frame.segment_number or later_first > until:
                break
            if expected and later.offset > frame.offset + bytes_max:
                break
            expected.append(later)
        last = expected[-1]
        tail = index.tail_of(first)
        assert tail is not None
        assert tail.frame_run(first, until, bytes_max) == (
            [later.offset for later in expected],
            last.offset + last.length - frame.offset,
            first,
        )


@given(commits(), st.lists(trackings, min_size=1, max_size=8))
def test_tracking(drawn: list[list[Frame]], told: list[TrackingData | None]) -> None:
    """The newest tracking record of each name is kept."""
    index, model = build(drawn, told)
    assert index.tracking == model.tracking


@given(commits())
def test_memory_is_counted_per_record_and_frame(drawn: list[list[Frame]]) -> None:
    """What the index says of its size is what its arrays take: some bytes a record and a frame."""
    index, model = build(drawn)
    frames = sum(1 for _, frame in model.frames if frame.records)
    least = 12 * len(model.records) + 12 * frames
    assert least <= index.memory_bytes <= 2 * least


def test_an_originator_whose_versions_fell_once_stays_right() -> None:
    """After a version below the last one, further versions in any order are found and sorted."""
    order = [10, 20, 15, 30, 5, 25]
    index, _ = build([[Frame(1, 128, 80, [("a", version) for version in order])]])
    everything, _ = index.select("a", gt=None, lte=None, desc=False, limit=None, until=6)
    assert [order[position - 1] for position in everything] == sorted(order)
    assert index.select("a", gt=10, lte=25, desc=True, limit=2, until=6) == ([6, 2], False)
    assert index.last_version("a") == 30
    assert index.find("a", 15) == 3
    assert index.find("a", 16) == 0


@given(st.lists(st.lists(st.integers(10, 30), min_size=1, max_size=5), max_size=4))
def test_messages_at_once(runs: list[list[int]]) -> None:
    """Commits of one message each are the same to an index at once and one by one."""
    at_once, one_by_one = JournalIndex(), JournalIndex()
    for index in (at_once, one_by_one):
        index.begin_segment(1, 1)
    offset = 128
    for run in runs:
        lengths = [length * 8 for length in run]
        offsets = [offset + sum(lengths[:at]) for at in range(len(lengths))]
        offset += sum(lengths)
        at_once.add_messages(offsets, lengths)
        for place in zip(offsets, lengths, strict=True):
            one_by_one.add_commit([(None, None)], [(*place, 1)], None)
        for index in (at_once, one_by_one):
            index.add_commit([("a", index.position)], [(offset, 80, 1)], None)
        offset += 80
    assert at_once.position == one_by_one.position
    for name in TailIndex.__slots__:
        assert getattr(at_once.tail, name) == getattr(one_by_one.tail, name)
