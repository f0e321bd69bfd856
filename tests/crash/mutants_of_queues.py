"""Breakages of conditions of appends, and of the cursors and groups of queues: see ``mutants.py``."""

from __future__ import annotations

from tests.crash.mutant import Mutant

_CONDITIONS, _CONFLICTS = "journal/conditions.py", "journal/conflicts.py"
_STATE, _CURSORS, _MEMBER = "queue/cursor_state.py", "queue/cursors.py", "queue/group_member.py"
_TESTS = "journal/test_conditions.py"

CONDITION_MUTANTS = (
    Mutant(
        "what came between a condition's look and the lock is not looked at",
        (
            (
                _CONFLICTS,
                "    if commit.is_broken or any(tail.has_match(condition.query, known) for tail in claims.tails):\n",
                "    if commit.is_broken:\n",
            ),
        ),
        killed_by=f"{_TESTS}::test_what_comes_between_look_and_lock_counts",
    ),
    Mutant(
        "segments that were sealed since a condition's look are not looked at",
        ((_CONDITIONS, "        if known < sealed_to:  #", "        if False:  #"),),
        killed_by=f"{_TESTS}::test_what_comes_between_look_and_lock_counts",
    ),
    Mutant(
        "postings do not catch up under the lock",
        ((_CONDITIONS, "    _gather(handle, tails, lowest, until)\n    return", "    return"),),
        killed_by=f"{_TESTS}::test_what_comes_between_look_and_lock_counts",
    ),
    Mutant(
        "a look of an earlier epoch counts",
        (
            (
                _CONDITIONS,
                "        if commit.looked_epoch != handle.epoch:\n",
                "        if False:\n",
            ),
        ),
        killed_by=f"{_TESTS}::test_a_look_in_an_earlier_epoch_counts_for_nothing",
    ),
    Mutant(
        "conditions do not see earlier commits of their group",
        (
            (
                _CONFLICTS,
                "    if pending is not None and pending.has_match",
                "    if False and pending.has_match",
            ),
        ),
        killed_by=f"{_TESTS}::test_commits_of_one_group_see_each_other",
    ),
    Mutant(
        "a commit of a group that was refused breaks the conditions behind it",
        (
            (
                _CONFLICTS,
                "            winners.append(commit)\n            if claims.postings is not None:\n",
                "            winners.append(commit)\n        if True:\n            if claims.postings is not None:\n",
            ),
        ),
        killed_by=f"{_TESTS}::test_a_refused_commit_breaks_no_condition",
    ),
    Mutant(
        "dropped records are taken for none that match",
        ((_CONDITIONS, "    check_position(handle, condition.after + 1)\n", ""),),
        killed_by=f"{_TESTS}::test_dropped_records_may_have_matched",
    ),
    Mutant(
        "a condition of the own earlier position is not asked for what was there before",
        (
            (
                _CONDITIONS,
                "handle, condition.query, max(after, 0) + 1, until",
                "handle, condition.query, max(after, 0) + 2, until",
            ),
        ),
        killed_by=_TESTS,
    ),
)

QUEUE_MUTANTS = (
    Mutant(
        "two claims of a group do not exclude each other",
        (
            (
                _MEMBER,
                "            return versioned_draft(claim, name_id(self.name), state.version + 1), claim\n",
                "            return draft_of(claim), claim\n",
            ),
        ),
        killed_by="queue/test_groups.py",
    ),
    Mutant(
        "a member takes what another one's claim has",
        ((_MEMBER, " and one.holder == claim.holder\n", "\n"),),
        killed_by="queue/test_groups.py::test_what_was_claimed_too_long_ago_is_not_handed_out",
    ),
    Mutant(
        "a message is handed out though its time is over",
        ((_MEMBER, "            if until > self._effects.clock():\n", "            if True:\n"),),
        killed_by="queue/test_groups.py::test_what_was_claimed_too_long_ago_is_not_handed_out",
    ),
    Mutant(
        "who gives a message back need not have it",
        (
            (
                _STATE,
                '        if held is not None and held.holder == record.holder:\n            held.holder, held.until = "",',
                '        if held is not None:\n            held.holder, held.until = "",',
            ),
        ),
        killed_by="queue/test_groups.py",
    ),
    Mutant(
        "a message that was not handed out counts as an attempt when it is given back",
        (
            (
                _STATE,
                "            held.attempts -= not record.is_counted\n",
                "            held.attempts -= 0\n",
            ),
        ),
        killed_by="queue/test_groups.py",
    ),
    Mutant(
        "a last attempt is claimed together with others",
        (
            (
                _STATE,
                "            if held.attempts == last_attempt and not claimed:\n",
                "            if False:\n",
            ),
            (
                _STATE,
                "            elif held.attempts != last_attempt and len",
                "            elif len",
            ),
        ),
        killed_by="queue/test_groups.py::test_a_message_is_never_parked_before_its_last_attempt_was_handed_out",
    ),
    Mutant(
        "room is not passed on by a sender that was closed",
        (
            (
                "queue/sender.py",
                "            self._appender.pass_room_on()\n            self._check_open()\n",
                "            self._check_open()\n",
            ),
        ),
        killed_by="queue/test_senders.py::test_closing_ends_those_who_wait_for_room",
    ),
    Mutant(
        "one message that cannot be written refuses those that were joined with it",
        (("queue/appender.py", "        if len(entries) > 1:\n", "        if False:\n"),),
        killed_by="queue/test_senders.py::test_what_cannot_be_written_refuses_nothing_that_was_joined_with_it",
    ),
    Mutant(
        "messages of one key are handed out at once",
        (
            (
                _STATE,
                "        if key in busy_keys:\n            passed",
                "        if False:\n            passed",
            ),
        ),
        killed_by="queue/test_groups.py::test_order_per_key",
    ),
    Mutant(
        "a message that was passed over is forgotten",
        (
            (
                _STATE,
                '    for position, key in record.passed:\n        name.held[position] = Held(key, 0, "", 0)\n',
                "",
            ),
        ),
        killed_by="queue/test_groups.py::test_order_per_key",
    ),
    Mutant(
        "frontiers stay when messages were taken back",
        ((_STATE, "        name.frontier = min(name.frontier, last)\n", ""),),
        killed_by="queue/test_power_cuts.py",
    ),
    Mutant(
        "messages may be sent before the cursors' new epoch is on disk",
        (
            (
                _CURSORS,
                "            self.journal.sync()\n            return\n",
                "            return\n",
            ),
        ),
        killed_by="queue/test_power_cuts.py",
    ),
    Mutant(
        "cursors know of a new epoch by its number alone",
        (
            (
                _CURSORS,
                "                if state.epoch == epoch and state.last_known() <= last_position:\n",
                "                if state.epoch == epoch:\n",
            ),
        ),
        killed_by="queue/test_power_cuts.py",
    ),
    Mutant(
        "retention drops what a name still needs",
        (
            (
                "queue/retaining.py",
                "        keep_from=min(needed_from.values(), default=None),\n",
                "        keep_from=None,\n",
            ),
        ),
        killed_by="queue/test_queue_retention.py::test_names_keep_what_they_need",
    ),
    Mutant(
        "parked messages are not kept from retention",
        (
            (
                _STATE,
                "        return min((self.frontier + 1, *self.held, *self.parked))\n",
                "        return min((self.frontier + 1, *self.held))\n",
            ),
        ),
        killed_by="queue/test_queue_retention.py::test_names_keep_what_they_need",
    ),
    Mutant(
        "a commit whose task was cancelled is not waited for",
        (
            (
                "queue/named_receiver.py",
                "        if self._committing is not None:\n",
                "        if False:\n",
            ),
        ),
        killed_by="queue/test_cancellations.py",
    ),
    Mutant(
        "a send that was cancelled in time is sent all the same",
        (
            (
                "queue/appender.py",
                "    wanted = [entry for entry in entries if not entry.future.cancelled()]\n",
                "    wanted = entries\n",
            ),
        ),
        killed_by="queue/test_senders.py::test_a_cancelled_send_is_taken_back_or_sent_whole",
    ),
    Mutant(
        "the folded state stands for one record too many",
        (
            (
                _CURSORS,
                "        self._state_position = state.as_of\n        return state\n",
                "        self._state_position = state.as_of\n        state.as_of += 1\n        return state\n",
            ),
        ),
        killed_by="queue/test_groups.py::test_the_folded_state_stands_for_what_was_before",
    ),
    Mutant(
        "messages and names may promise different things",
        (("queue/settings.py", "        if found != expected:\n", "        if False:\n"),),
        killed_by="queue/test_queue_faults.py::test_names_promise_what_sends_do",
    ),
)
