"""The tests fail on broken code: each mutant is killed, or it is known why it lives."""

import re
from pathlib import Path

import pytest

from tests.crash.kill_table import PAGE, in_table
from tests.crash.mutant import Mutant
from tests.crash.mutants import MUTANTS, SOME, hunt

_BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


@pytest.mark.parametrize("name", SOME)
def test_some_mutants(name: str, tmp_path: Path) -> None:
    """A broken rule is noticed within some hundred histories, or by the test made for it."""
    assert hunt(_BY_NAME[name], tmp_path, 0.5).rounds


def test_mutants_still_fit_the_source() -> None:
    """The text that each mutant replaces occurs once; the names are different."""
    package = Path(__file__).parent.parent.parent / "aurora_es"
    for mutant in MUTANTS:
        for name, old, _ in mutant.edits:
            assert (package / name).read_text("utf-8").count(old) == 1, (mutant.name, name)
    assert len(_BY_NAME) == len(MUTANTS)


def test_what_kills_a_mutant_is_there() -> None:
    """A test that was renamed, or has gone, kills nothing."""
    tests = Path(__file__).parent.parent
    for mutant in MUTANTS:
        file, _, name = mutant.killed_by.partition("::")
        assert not file or (tests / file).is_file(), mutant.name
        function = name.partition("[")[0]
        assert not name or f"def {function}(" in (tests / file).read_text("utf-8"), mutant.name


def test_unbroken_code_survives_the_hunt(tmp_path: Path) -> None:
    """The hunt itself finds nothing where nothing is broken."""
    assert hunt(Mutant("none", ()), tmp_path, 0.02).rounds == 0


@pytest.mark.reliability
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_every_mutant(mutant: Mutant, tmp_path: Path, reliability_factor: int) -> None:
    """Every mutant is killed, but for those that break no promise."""
    assert hunt(mutant, tmp_path, max(2.0, reliability_factor / 5)).rounds or mutant.why_alive


def test_the_page_lists_every_mutant() -> None:
    """docs/internals/mutants.md is what the last run of the hunt wrote, on these mutants."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    told = {name: killer for name, killer, _ in rows[1:]}
    assert [*told] == [in_table(mutant.name) for mutant in MUTANTS]
    for mutant in MUTANTS:
        assert (mutant.killed_by or in_table(mutant.why_alive)) in told[in_table(mutant.name)]
