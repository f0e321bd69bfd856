"""Breakages of what the library's users see, views, tracking and queues; see ``mutants.py``."""

from __future__ import annotations

from tests.crash.mutant import Mutant

FACE_MUTANTS = (
    Mutant(
        "an event that was read before its application was restored is tracked as a new one",
        (("upstream.py", "        if epochs is not first:\n", "        if False:\n"),),
        killed_by="face/test_restored_upstream.py::test_an_event_that_was_read_before[view-None]",
    ),
    Mutant(
        "what is tracked while its application is moved away is of no epoch",
        (
            (
                "upstream.py",
                "        return self._first.get(name, _UNKNOWN)",
                "        return _UNKNOWN",
            ),
        ),
        killed_by="face/test_restored_upstream.py::test_tracking_while_an_upstream_is_moved_away",
    ),
    Mutant(
        "a transaction that another thread leaves keeps the lock",
        (
            (
                "journal/exclusive.py",
                "        if self._thread in {0, get_ident()}:\n",
                "        if True:\n",
            ),
        ),
        killed_by="journal/test_exclusive.py::test_a_thread_that_went_away_without_leaving",
    ),
    Mutant(
        "who waits for a transaction that another thread leaves waits on",
        (
            (
                "journal/append_lock.py",
                "acquire(timeout=min(remaining, _MUTEX_LOOK_SECONDS))",
                "acquire(timeout=remaining)",
            ),
        ),
        killed_by="journal/test_exclusive.py::test_who_waits_while_another_thread_leaves",
    ),
    Mutant(
        "a transaction that another thread leaves is committed",
        (
            (
                "journal/exclusive.py",
                "        if self._thread != get_ident():\n",
                "        if False:\n",
            ),
        ),
        killed_by="face/test_views_garbage.py::test_a_generator_that_another_thread_leaves",
    ),
    Mutant(
        "an epoch that its application does not know any more is taken for an old one",
        (
            (
                "upstream.py",
                "    if known and begun and known != present and all(epoch != known for epoch, _ in begun):\n",
                "    if False:\n",
            ),
        ),
        killed_by="face/test_restored_upstream.py::test_a_restore_to_a_later_point[True]",
    ),
    Mutant(
        "a position is tracked in the epoch of now",
        (
            (
                "upstream.py",
                "    return next((epoch for epoch, first in reversed(begun) if first <= number), 0)\n",
                "    return present\n",
            ),
        ),
        killed_by="face/test_restored_upstream.py::test_a_restore_to_a_later_point[False]",
    ),
    Mutant(
        "a rebuilt view tracks a lower position in no later epoch",
        (("upstream.py", "epochs[0] if may_fall else _epoch_at", "_epoch_at"),),
        killed_by="face/test_rebuilding.py::test_an_application_that_was_restored[11]",
    ),
    Mutant(
        "a transaction that an interrupt kept from being left is not forgotten",
        (
            (
                "view_transaction.py",
                "        self._inside = threading.get_ident(), weakref.ref(transaction)\n",
                "        self._inside = threading.get_ident(), lambda: transaction\n",
            ),
        ),
        killed_by="face/test_views_garbage.py::test_an_interrupt_at_any_instruction_of_a_transaction",
    ),
)
