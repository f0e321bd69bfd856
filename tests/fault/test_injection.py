"""Real system calls of a real process fail, or are its last, one after the other."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.figures import Figures
from tests.fault.injection import NOT_STARTED, PLAN, STEPS, Case, cases, judge, run
from tests.fault.told import Told
from tests.fault.trace import strace_is_missing

_WHY_NOT = strace_is_missing()
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT or "strace is there")
_SOME = 2  # faults of a kind, in the normal run


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """How often each call is made without faults."""
    outcome = run(tmp_path_factory.mktemp("unharmed"))
    told = Told(outcome.told)
    assert len(told.acknowledged) == sum(step in {"append", "batch", "large"} for step in STEPS), (
        outcome.told
    )
    assert not outcome.injected
    return outcome.calls


def strike(kind: str, case: Case, directory: Path, figures: Figures) -> None:
    """Inject one fault, and judge what is left."""
    directory.mkdir()
    outcome = run(directory, case)
    if outcome.status == NOT_STARTED:
        return
    try:
        assert outcome.injected or outcome.status == -9, "the fault did not strike"
        told = Told(outcome.told)
        judge(directory, told)
    except BaseException as error:
        error.add_note(f"{kind}: run(directory, {case}) told {outcome.told}")
        raise
    figures.trials += 1
    figures.add(
        acknowledged=len(told.acknowledged),
        refused=len(told.refused),
        unknown=len(told.unknown),
        killed=outcome.status == -9,
    )


@pytest.mark.parametrize("kind", PLAN)
def test_some_calls(kind: str, counts: Counter[str], tmp_path: Path) -> None:
    """Nothing acknowledged is lost, nothing refused appears, and the next handle works."""
    every = [*cases(kind, counts)]
    assert every
    with Figures("E5", kind, "fault") as figures:
        for case in every[len(every) // 3 :: max(1, len(every) // _SOME)]:
            strike(kind, case, tmp_path / f"{case.call} {case.when}", figures)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("kind", PLAN)
def test_every_call(kind: str, counts: Counter[str], tmp_path: Path) -> None:
    """The same at each of the calls."""
    with Figures("E5", kind, "fault") as figures:
        figures.is_exhaustive = True
        for case in cases(kind, counts):
            strike(kind, case, tmp_path / f"{case.call} {case.when}", figures)
