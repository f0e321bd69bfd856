"""Breakages of rules that one crash, one fork or one meeting of threads shows; see ``mutants.py``.

The rules are those of docs/reliability.md: the mark's syncs, locks, group commits, names.
"""

from __future__ import annotations

from tests.crash.mutant import Mutant

_LOCK, _GROUP = "journal/append_lock.py", "journal/group.py"
_HANDLE, _RECOVERY = "journal/handle.py", "journal/recovery.py"
_LEADS = "journal/test_interrupted_leads.py"
_MARKS = "crash/test_mark_on_disk.py"
_FORK = "journal/test_handle_life.py::test_a_fork_leaves_locks_and_handles_to_the_parent"

RULE_MUTANTS = (
    # The mark is evidence on disk
    Mutant(
        "the mark is not synced at a roll",
        (
            (
                "journal/roll.py",
                "    publish_synced(handle, mark)\n",
                (
                    "    descriptors = handle.usable()\n    assert descriptors is not None\n"
                    "    descriptors.mark.publish(mark)\n"
                ),
            ),
        ),
        killed_by=f"{_MARKS}::test_a_roll_brings_the_mark_to_disk",
    ),
    Mutant(
        "the mark is not synced at closing",
        (
            (
                "journal/journal.py",
                "                    handle.sync_mark(mark)\n",
                "                    pass\n",
            ),
            (
                "journal/syncing.py",
                "                handle.sync_mark(mark)\n        except",
                "                pass\n        except",
            ),
        ),
        killed_by=f"{_MARKS}::test_closing_brings_the_mark_to_disk",
    ),
    Mutant(
        "the mark is not synced once a second",
        ((_GROUP, "            self._sync_mark(mark)\n", "            pass\n"),),
        killed_by=f"{_MARKS}::test_appending_brings_the_mark_to_disk_once_a_second",
    ),
    # Locks
    Mutant(
        "a fork's child drops its parent's lock",
        (
            (
                _HANDLE,
                "        if descriptors is not None:\n            descriptors.close()\n",
                (
                    "        if descriptors is not None:\n"
                    "            self.files.flock(descriptors.lock_fd, 8)  # LOCK_UN\n"
                    "            descriptors.close()\n"
                ),
            ),
        ),
        killed_by=_FORK,
    ),
    Mutant(
        "a fork's child goes on with the handle of its parent",
        ((_HANDLE, "        self.forked = True\n", "        self.forked = False\n"),),
        killed_by=_FORK,
    ),
    Mutant(
        "a lock file that was made anew is not noticed",
        ((_LOCK, "        return inode == descriptors.lock_inode\n", "        return True\n"),),
        killed_by="journal/test_handle_life.py::test_a_lock_file_that_was_removed_is_made_again",
    ),
    Mutant(
        "threads of one handle do not exclude each other",
        (
            (
                _LOCK,
                (
                    "            if not mutex.acquire(blocking=False):\n"
                    "                self._wait_for_thread()\n"
                ),
                "            mutex.acquire(blocking=False)\n",
            ),
        ),
        killed_by="journal/test_group_commit.py::test_the_thread_lock_times_out",
    ),
    Mutant(
        "what an interrupted leader holds is not released once more",
        (
            (
                _GROUP,
                "            lock.release()\n            members",
                "            members",
            ),
        ),
        killed_by="journal/test_interrupted_locks.py",
    ),
    # Groups
    Mutant(
        "an interrupted leader keeps the lead",
        ((_GROUP, "            self._leave(commit)\n            raise\n", "            raise\n"),),
        killed_by=f"{_LEADS}::test_an_interrupt_of_a_leader_anywhere",
    ),
    Mutant(
        "a leader that is interrupted behind its group's commit tells no verdicts",
        ((_GROUP, "        commit.group = group\n", "        commit.group = ()\n"),),
        killed_by=f"{_LEADS}::test_an_interrupt_of_a_leader_anywhere",
    ),
    Mutant(
        "who answers an interrupted group takes it away first",
        (
            (
                _GROUP,
                "        members = [*self._unresolved]\n",
                "        members = [*self._unresolved]\n        self._unresolved.clear()\n",
            ),
            (
                _GROUP,
                "handle.unresolved.get(member.commit_id)",
                "handle.unresolved.pop(member.commit_id, 0)",
            ),
        ),
        killed_by=f"{_LEADS}::test_an_interrupt_of_whoever_answers_an_interrupted_group",
    ),
    Mutant(
        "a sync acknowledges those who came while it ran",
        (
            (
                _GROUP,
                "                        mark = published = write_group(handle, mark, winners, now)\n",
                (
                    "                        mark = published = write_group(handle, mark, winners, now)\n"
                    "                        late: list[PreparedCommit] = []\n"
                    "                        self._take(late, chain)\n"
                    "                        if late:\n"
                    "                            from aurora_es.options import Sync\n"
                    "                            mode, handle.sync_mode = handle.sync_mode, Sync.NEVER\n"
                    "                            mark = published = write_group(handle, mark, late, now)\n"
                    "                            handle.sync_mode = mode\n"
                    "                            group += late\n"
                ),
            ),
        ),
        killed_by=(
            "journal/test_group_commit.py"
            "::test_a_sync_acknowledges_nobody_whose_bytes_came_after_it_began"
        ),
    ),
    # Names and recovery
    Mutant(
        "segments are named by their position only",
        (
            (
                "format/names.py",
                '    place = f"{segment_number:010d}-{base_position:020d}"\n',
                '    place = f"{1:010d}-{base_position:020d}"\n',
            ),
        ),
        killed_by="journal/test_roll.py::test_segments_of_one_base_position_have_names_of_their_own",
    ),
    Mutant(
        "recovery never gives up on a medium that reads differently each time",
        ((_RECOVERY, "            _refuse_change(tail, failed_at)\n", ""),),
        killed_by=(
            "journal/test_failing_storage.py"
            "::test_a_medium_that_reads_differently_each_time_ends_recovery"
        ),
    ),
    Mutant(
        "a state that was left half changed is used",
        (
            (
                "journal/catch_up.py",
                "        if handle.epoch != mark.epoch or handle.state.is_changing:\n",
                "        if handle.epoch != mark.epoch:\n",
            ),
        ),
        killed_by="journal/test_foreign_commits.py::test_where_there_is_no_memory_to_forget",
    ),
    Mutant(
        "an interrupt leaves the turn taken",
        (("journal/append_lock.py", "            if self._in_turn:\n", "            if False:\n"),),
        killed_by="journal/test_interrupted_locks.py",
    ),
    Mutant(
        "a lock whose release fails twice stays with its thread",
        (
            (
                "journal/append_lock.py",
                "            finally:\n                mutex.release()\n                self._forget()\n",
                "            finally:\n                pass\n",
            ),
        ),
        killed_by="crash/test_histories.py",
    ),
    Mutant(
        "who reads in the middle of an interrupted group is not told which commits to look for",
        (
            (
                "journal/group.py",
                "                    handle.unresolved[member.commit_id] = 0\n            handle.forget_state()\n",
                (
                    "                    pass\n            handle.forget_state()\n"
                    "            for member in group:\n"
                    "                if member is not leader:\n"
                    "                    handle.unresolved[member.commit_id] = 0\n"
                ),
            ),
        ),
        killed_by="journal/test_interrupts.py::test_a_reader_that_catches_up_with_an_interrupted_group",
    ),
    Mutant(
        "a nested append ends the note of the one around it",
        (("journal/append_lock.py", "        if self._notes:\n", "        if True:\n"),),
        killed_by="journal/test_interrupted_locks.py::test_a_nested_append_ends_its_own_note_only",
    ),
    # Zeros, places, files that are gone, versions
    Mutant(
        "zeros are the end anywhere",
        (
            (
                "segment/walk.py",
                '            return Stop("zeros", offset, "a frame", "zeros")\n',
                '            return Stop("end", offset)\n',
            ),
        ),
        killed_by="journal/test_corruption.py::test_a_hole_of_zeros",
    ),
    Mutant(
        "a journal on a network file system is opened",
        (("journal/opening.py", "    if is_network(kind):\n", "    if False:\n"),),
        killed_by="journal/test_refusals.py::test_a_network_file_system_is_refused",
    ),
    Mutant(
        "a module maps files",
        (
            (
                "segment/file.py",
                "from __future__ import annotations\n",
                "from __future__ import annotations\n\nimport mmap\n",
            ),
        ),
        killed_by="fault/test_page.py::test_nothing_of_a_journal_is_mapped",
    ),
    Mutant(
        "what retention dropped is told as lost",
        (
            (
                "journal/truncation.py",
                "    if manifest is not None and base_position < manifest.retained_from:\n",
                "    if False:\n",
            ),
        ),
        killed_by="journal/test_retention.py",
    ),
    Mutant(
        "what is lost is told as dropped by retention",
        (
            (
                "journal/truncation.py",
                "    if manifest is not None and base_position < manifest.retained_from:\n",
                "    if manifest is not None:\n",
            ),
        ),
        killed_by="journal/test_retention.py",
    ),
    Mutant(
        "a segment of an unknown version is read",
        (
            (
                "segment/file.py",
                "    if header.version != FORMAT_VERSION or header.incompatible_flags or header.key_id != NO_KEY:\n",
                "    if False:\n",
            ),
        ),
        killed_by="journal/test_refusals.py::test_an_unknown_segment_version_is_unsupported",
    ),
)
