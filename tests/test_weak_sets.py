"""Weak sets are copied while others change them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import WeakSet

import pytest

from aurora_es.weak_sets import members_of


class Member:
    """Something that a weak set can hold."""


class ChangingSet(WeakSet[Member]):
    """Gets another member in the middle of the first iteration over it."""

    def __init__(self, members: list[Member]) -> None:
        """Hold ``members``."""
        super().__init__(members)
        self.late: Member | None = None

    def __iter__(self) -> Iterator[Member]:
        """Yield the members, and change behind the first."""
        for member in super().__iter__():
            yield member
            if self.late is None:
                self.late = Member()
                self.add(self.late)


def test_a_set_that_changes_meanwhile_is_copied_again() -> None:
    """The copy has the new member, where a plain list ends with an error."""
    members = [Member(), Member()]
    with pytest.raises(RuntimeError):
        list(ChangingSet(members))
    changing = ChangingSet(members)
    assert set(members_of(changing)) == {*members, changing.late}


def test_the_dead_are_left_out() -> None:
    """Members that nobody holds are not in the copy."""
    held = Member()
    weak_set = WeakSet([held, Member()])
    gc.collect()
    assert members_of(weak_set) == [held]
    assert members_of(WeakSet[Member]()) == []
