"""Every parser gets bytes that somebody else chose: errors of ours, or answers; nothing else."""

import logging
import resource
import time
import tracemalloc
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fault.figures import Figures
from tests.fault.hostile import ask, original
from tests.fault.targets import FOUND, TARGETS

_SECONDS_MAX = 10.0  # of a processor, for one execution: some milliseconds are usual
_GROWTH_BYTES_MAX = 256 << 20

edits = st.binary(max_size=64) | st.builds(
    lambda offset, dropped, inserted, which: (
        bytes([which]) + offset.to_bytes(2, "little") + bytes([dropped, len(inserted)]) + inserted
    ),
    st.integers(0, 1 << 13),
    st.integers(0, 16),
    st.binary(max_size=16) | st.sampled_from([bytes(8), b"\xff" * 8, b"\xdd\xff\xff\xff\xff"]),
    st.integers(0, 255),
)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def resident_peak() -> int:
    """The greatest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_the_original_is_fine() -> None:
    """Nothing is refused that was not edited, so that edits are what is tested."""
    ask(original())


@pytest.mark.parametrize("name", TARGETS)
def test_chosen_bytes(name: str) -> None:
    """Whatever the bytes: no other error, no time and no memory beyond bounds."""
    target = TARGETS[name]
    before = resident_peak()

    @given(edits)
    def attack(data: bytes) -> None:
        began = time.thread_time()
        target(data)
        assert time.thread_time() - began < _SECONDS_MAX

    attack()
    assert resident_peak() - before < _GROWTH_BYTES_MAX


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_bytes_that_once_found_something(name: str, data: bytes) -> None:
    """What was put right stays so."""
    TARGETS[name](data)


_CLAIMS = tuple(
    bytes.fromhex(claim)
    for claim in ("ddffffffff", "dd00ffffff", "dcffff", "df04000000", "c67fffffff", "dbffffffff")
)


@pytest.mark.parametrize("at", range(3), ids=["header", "block", "directory"])
def test_a_run_takes_memory_in_proportion_to_its_size(at: int) -> None:
    """Whatever number of entries it claims, and wherever; and nothing is kept of it."""
    target, rng = TARGETS["parser of runs"], Random(at)
    size = max(len(data or b"") for name, data in original().items() if name.endswith(".index"))
    target(bytes([at]))  # imports
    tracemalloc.start()
    try:
        begun, _ = tracemalloc.get_traced_memory()
        for _ in range(600):
            claim = rng.choice(_CLAIMS)
            offset, dropped = rng.randrange(1 << 12).to_bytes(2, "little"), rng.choice((0, 1, 5))
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            target(bytes([at, *offset, dropped, len(claim), *claim]))
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 64 * size
        left, _ = tracemalloc.get_traced_memory()
        assert left - begun < 64 * size
    finally:
        tracemalloc.stop()


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", TARGETS)
def test_many_random_bytes(name: str, reliability_factor: int) -> None:
    """The same for many random edits, with the greatest time and growth of memory."""
    target, rng = TARGETS[name], Random(name)
    before, slowest = resident_peak(), 0.0
    with Figures("E12", name, "execution") as figures:
        for _ in range(reliability_factor * 200):
            data = rng.randbytes(rng.choice((6, 6, 8, 12, 40)))
            began = time.thread_time()
            try:
                target(data)
            except BaseException as error:
                error.add_note(f"TARGETS[{name!r}]({data!r})")
                raise
            slowest = max(slowest, time.thread_time() - began)
            figures.trials += 1
        figures.counts["slowest ms"] = round(slowest * 1000, 1)
        figures.counts["growth MiB"] = (resident_peak() - before) >> 20
        figures.counts["crashes"] = 0
    assert slowest < _SECONDS_MAX
    assert resident_peak() - before < _GROWTH_BYTES_MAX
