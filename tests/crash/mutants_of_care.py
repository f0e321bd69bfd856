"""Breakages of backup, restore, repair and verification: see ``mutants.py``."""

from __future__ import annotations

from tests.crash.mutant import Mutant

_BACKUP, _RESTORE, _COPYING = "care/backup.py", "care/restore.py", "care/copying.py"
_EXECUTION, _PLAN = "care/execution.py", "care/plan.py"
_OTHERS, _KILLED = "care/test_copies_of_others.py", "care/test_copies_killed.py"
_REPAIR_KILLED = "care/test_repair_killed.py"
_DAMAGED = "care/test_damaged_copies.py"
_ROOM = "care/test_room.py"

CARE_MUTANTS = (
    Mutant(
        "a backup reads marks without holding the append locks",
        (
            (
                _BACKUP,
                "                stack.enter_context(_append_lock(effects, os.path.join(source, path), deadline))\n",
                "                pass\n",
            ),
        ),
        killed_by="care/test_backup.py::test_nobody_appends_while_marks_are_read",
    ),
    Mutant(
        "what a backup copies is not synced",
        ((_COPYING, "            files.fsync(target_fd)\n", "            pass\n"),),
        killed_by=_KILLED,
    ),
    Mutant(
        "the record of a backup is written before its copies",
        (
            (
                _BACKUP,
                "                journals = work.copy_all(cuts, progress, verify=verify)\n",
                (
                    "                if before is not None:\n"
                    "                    early = msgspec.structs.replace(before, directory=f'{number:010d}')\n"
                    "                    write_record(effects.files, place, early)\n"
                    "                journals = work.copy_all(cuts, progress, verify=verify)\n"
                ),
            ),
        ),
        killed_by=_KILLED,
    ),
    Mutant(
        "a backup's newest segment is not walked",
        (
            (
                _BACKUP,
                "            raise stop_error(file, walk.stop)\n",
                "            pass\n",
            ),
        ),
        killed_by="care/test_backup.py::test_a_damaged_tail_ends_the_backup",
    ),
    Mutant(
        "a rotten source takes the place of a good copy",
        (
            (
                _BACKUP,
                "                if before and not is_same:\n",
                "                if False:\n",
            ),
        ),
        killed_by=f"{_OTHERS}::test_a_rotten_source_does_not_replace_a_good_copy",
    ),
    Mutant(
        "names of another epoch are taken from the copy before",
        (
            (
                _BACKUP,
                "        if recorded is None or (recorded.genesis_id, recorded.epoch) != history:\n",
                "        if recorded is None:\n",
            ),
        ),
        killed_by="care/test_backup.py::test_a_copy_of_an_earlier_epoch_is_not_linked",
    ),
    Mutant(
        "a damaged copy is taken for a whole one",
        (
            (
                _BACKUP,
                "        damage = damage_of(self.files, before, recorded)\n",
                '        damage = ""\n',
            ),
        ),
        killed_by=f"{_DAMAGED}::test_all_is_copied_again",
    ),
    Mutant(
        "what takes the place of a damaged copy is not read",
        (
            (
                _BACKUP,
                '        journal = self._verified(cut, self._copy_journal(cut, ""), is_anew=True)\n',
                '        journal = self._copy_journal(cut, "")\n',
            ),
        ),
        killed_by=f"{_DAMAGED}::test_the_damaged_copy_stays_where_the_source_is_damaged_too",
    ),
    Mutant(
        "a copy is given up that has what a repair of the source lost",
        (
            (
                "care/copy_before.py",
                "    lost = _lost_since(files, at.manifest, recorded, copy)\n",
                "    lost: list[tuple[int, int]] = []\n",
            ),
        ),
        killed_by=f"{_DAMAGED}::test_positions_that_a_repair_gave_up_may_be_in_the_copy",
    ),
    Mutant(
        "the number of a copy that is gone is taken again",
        ((_BACKUP, "[*names, *files.listdir(target)]", "files.listdir(target)"),),
        killed_by=f"{_DAMAGED}::test_the_number_of_a_copy_that_is_gone_is_not_taken_again",
    ),
    Mutant(
        "an older copy goes before a newer one is there",
        (
            (
                _BACKUP,
                "    markers: tuple[str, ...] = (UNFINISHED,),\n",
                "    markers: tuple[str, ...] = (UNFINISHED, COPY),\n",
            ),
        ),
        killed_by=f"{_DAMAGED}::test_an_older_copy_stays_until_there_is_a_newer",
    ),
    Mutant(
        "a damaged copy in a target is repaired in its place",
        (
            (
                "care/verify.py",
                "        copy = copy_above(self.files, self.path) if self.findings else None\n",
                "        copy = None\n",
            ),
            ("care/locks.py", "    refuse_copy(files, path)\n", ""),
        ),
        killed_by=f"{_DAMAGED}::test_nothing_is_repaired_inside_of_a_target",
    ),
    Mutant(
        "a restore takes the place of a link",
        (
            (
                _RESTORE,
                "os.path.realpath(os.fspath(target))",
                "os.path.abspath(os.fspath(target))",
            ),
        ),
        killed_by="care/test_places.py::test_a_link_stands_for_where_it_leads",
    ),
    Mutant(
        "what is lost counts as dropped",
        (
            (
                _RESTORE,
                "    readable = holes_of(at.manifest.segments).behind(first)\n",
                "    readable = first\n",
            ),
        ),
        killed_by="care/test_places.py::test_what_is_missing_at_the_beginning_is_told_as_it_is",
    ),
    Mutant(
        "a bench removes what another one uses",
        (
            (
                "care/bench.py",
                "            with flocked(effects, marker, effects.monotonic()):\n",
                "            with ExitStack():\n",
            ),
        ),
        killed_by="cli/test_bench.py::test_what_killed_runs_left_is_removed_by_the_next",
    ),
    Mutant(
        "any directory of ten digits is taken for a left-over copy",
        (
            (
                _COPYING,
                "    return not names or marker in names\n",
                "    return not names or marker != ''\n",
            ),
        ),
        killed_by=f"{_OTHERS}::test_a_directory_of_ten_digits_is_not_taken_for_a_copy",
    ),
    Mutant(
        "links are followed when a tree is removed",
        (("files/layer.py", "os.O_DIRECTORY | os.O_NOFOLLOW |", "os.O_DIRECTORY |"),),
        killed_by=f"{_OTHERS}::test_links_are_not_followed",
    ),
    Mutant(
        "a restore keeps the epoch",
        (
            (
                _RESTORE,
                "    epoch = next_epoch(effects, at)\n",
                "    epoch = at.mark.epoch\n",
            ),
        ),
        killed_by="care/test_restore.py::test_every_position_can_be_restored",
    ),
    Mutant(
        "a restore is not compared with the backup",
        ((_RESTORE, "    if digest != found:\n", "    if False:\n"),),
        killed_by="care/test_restore.py::test_what_lacks_a_commit_is_not_put_in_place",
    ),
    Mutant(
        "a restored store gets its name before its own names are on disk",
        (
            (
                _RESTORE,
                "            files.sync_directory(building)\n            put_in_place(",
                "            put_in_place(",
            ),
            (
                _RESTORE,
                "    effects.files.sync_directory(target)\n    digest",
                "    digest",
            ),
        ),
        killed_by=_KILLED,
    ),
    Mutant(
        "a restore to a time forgets what tracks what",
        (
            (
                "care/restore_point.py",
                "            moved = _cut_tracking(files, point, by_name) or moved\n",
                "            pass\n",
            ),
        ),
        killed_by="care/test_restore.py::test_a_slow_clock_lets_no_follower_be_ahead",
    ),
    Mutant(
        "a repaired segment is not read back",
        (
            (
                _EXECUTION,
                "    verify_packed(files, path, packed)\n",
                "",
            ),
        ),
        killed_by="care/test_repair.py::test_a_copy_that_was_written_wrong_is_not_listed",
    ),
    Mutant(
        "a repair does not wait for appenders",
        (
            (
                "care/locks.py",
                "        if LOCK in names:\n",
                "        if False:\n",
            ),
        ),
        killed_by="care/test_repair.py::test_an_appender_in_the_middle_of_an_append_is_waited_for",
    ),
    Mutant(
        "a repair raises no epoch",
        (
            (
                _PLAN,
                "        return newest_epoch(self.found) + is_new\n",
                "        return newest_epoch(self.found)\n",
            ),
        ),
        killed_by="care/test_repair.py::test_handles_of_before_go_on_and_learn_of_it",
    ),
    Mutant(
        "a repair begins before the originals are kept",
        (
            (
                "care/repair.py",
                "                keep(effects.files, path, report.kept_in, names, msgspec.json.encode(report), lost)\n",
                "",
            ),
            (
                "care/repair.py",
                "caches.values()}, steps.done)\n            end_",
                (
                    "caches.values()}, steps.done)\n"
                    "                keep(effects.files, path, report.kept_in, names, msgspec.json.encode(report), lost)\n"
                    "            end_"
                ),
            ),
        ),
        killed_by="care/test_repair.py::test_the_originals_are_kept",
    ),
    Mutant(
        "a repair does not tell what a killed one has lost",
        (
            (
                "care/repair.py",
                "            begun = begun_repairs(effects.files, path)\n",
                "            begun: dict[str, Begun] = {}\n",
            ),
        ),
        killed_by=_REPAIR_KILLED,
    ),
    Mutant(
        "known holes are counted as lost again",
        (
            (
                "care/findings.py",
                "    holes = Holes(joined(known))\n",
                "    holes = Holes()\n",
            ),
        ),
        killed_by="care/test_known_holes.py",
    ),
    Mutant(
        "a mark of before a sealing is believed",
        (
            (
                "care/targets.py",
                "        if mark is not None and manifest is not None:\n",
                "        if False:\n",
            ),
        ),
        killed_by="care/test_copies_of_others.py::test_an_old_mark_is_told",
    ),
    Mutant(
        "a digest up to a position takes the tracking records behind it",
        (
            (
                "journal/gathering.py",
                "            is_inside = max(first, last) <= bound.position and",
                "            is_inside = last <= bound.position and",
            ),
        ),
        killed_by="cli/test_verify.py::test_copies_are_compared_up_to_a_commit",
    ),
    Mutant(
        "what recovery cuts is kept behind a link",
        (("journal/recovery.py", "            _refuse_link(handle, directory)\n", ""),),
        killed_by="fault/test_strange_files.py::test_a_link_to_a_directory_for_what_is_cut",
    ),
    Mutant(
        "appenders use a directory in which everybody may replace files",
        (
            (
                "journal/opening.py",
                "            refuse_public(handle.files, handle.path)\n",
                "            pass\n",
            ),
        ),
        killed_by="fault/test_hostile_directories.py::test_a_directory_in_which_everybody_may_replace_files",
    ),
    Mutant(
        "tracking lines name any directory",
        (
            (
                "moving/json_lines_format.py",
                "        _check_tracked(line.tracking)\n",
                "        pass\n",
            ),
        ),
        killed_by="moving/test_json_lines.py::test_a_bad_line_is_named_and_nothing_is_lost",
    ),
    Mutant(
        "examiners are left behind when a check ends early",
        (("care/examining.py", "            examiner.process.kill()\n", "            pass\n"),),
        killed_by="care/test_examining.py::test_an_error_ends_the_examiners",
    ),
    Mutant(
        "injected effects are not those of examiners",
        (("care/examining.py", "        effects is SYSTEM_EFFECTS\n", "        True\n"),),
        killed_by="care/test_examining.py::test_only_the_systems_own_files_are_shared",
    ),
    Mutant(
        "what a killed examiner had is examined by nobody",
        (
            (
                "care/examining.py",
                "            self._untaken.appendleft(at)\n",
                "            self._results[at] = None\n",
            ),
        ),
        killed_by="care/test_examining.py::test_an_examiner_that_is_killed_is_done_without",
    ),
    Mutant(
        "a repair begins no epoch where it is not known what was behind the end",
        ((_PLAN, "        is_new |= self.lost_behind is not None\n", ""),),
        killed_by="care/test_rotten_slots.py::test_repair_before_opening_begins_an_epoch",
    ),
    Mutant(
        "a source that goes less far than the copy before replaces it",
        (
            (
                "care/copy_before.py",
                "    if at.mark.visible_position < recorded.position:\n",
                "    if False:\n",
            ),
        ),
        killed_by="care/test_backup.py::test_what_the_source_has_lost_is_not_given_up_by_itself",
    ),
    Mutant(
        "half a backup is restored",
        (
            (
                _RESTORE,
                "    for path in missing_journals(files, source):\n",
                "    for path in missing_journals(files, source)[:0]:\n",
            ),
        ),
        killed_by="care/test_backup.py::test_half_a_backup_is_not_restored",
    ),
    Mutant(
        "half a backup passes for whole",
        (
            (
                "cli/verify.py",
                "        missing = missing_journals(SYSTEM_EFFECTS.files, path)\n",
                "        missing = missing_journals(SYSTEM_EFFECTS.files, path)[:0]\n",
            ),
        ),
        killed_by="cli/test_verify.py::test_half_a_backup_is_damaged",
    ),
    Mutant(
        "without the mark a repair takes the end of what is there for the end",
        (
            (
                "care/tail_check.py",
                '        return Tail(name, chain.offset, chain.position, chain.commit_number, "", is_end_known)\n',
                '        return Tail(name, chain.offset, chain.position, chain.commit_number, "", True)\n',
            ),
        ),
        killed_by="care/test_without_mark.py::test_what_is_lost_or_not_known",
    ),
    Mutant(
        "a repair takes the older slot's word for the end",
        (
            (
                "care/tail_check.py",
                "    is_end_known = not found.mark_problem or chain.offset > mark.visible_offset\n",
                "    is_end_known = True\n",
            ),
        ),
        killed_by="care/test_strays.py::test_a_commit_that_the_damaged_slot_vouched_for",
    ),
    Mutant(
        "verify takes the older slot's word for the end",
        (
            (
                "care/verify.py",
                "        if result.is_end_known and not self._may_have_been_further(target):\n",
                "        if result.is_end_known:\n",
            ),
        ),
        killed_by="care/test_strays.py::test_a_commit_that_the_damaged_slot_vouched_for",
    ),
    Mutant(
        "a stray file behind the tail is a segment",
        (
            (
                "care/survey.py",
                "    foreign += _taken_out(files, path, manifest, mark, candidates)\n",
                "",
            ),
        ),
        killed_by="care/test_strays.py::test_a_stray_segment_costs_nothing",
    ),
    Mutant(
        "verify is silent about stray files behind the tail",
        (
            (
                "care/verify.py",
                "        if target.visible_offset is not None and not result.findings:\n",
                "        if False:\n",
            ),
        ),
        killed_by="care/test_strays.py::test_a_stray_segment_costs_nothing",
    ),
    Mutant(
        "a file with another segment's name stays where no reader finds it",
        (
            (
                _PLAN,
                "            if _is_misnamed(candidate):\n",
                "            if False:\n",
            ),
        ),
        killed_by="care/test_strays.py::test_a_stray_segment_costs_nothing",
    ),
    Mutant(
        "without a manifest the oldest segments pass for dropped in silence",
        (("care/targets.py", "        _tell_missing_before(evidence, listed)\n", ""),),
        killed_by="care/test_dropped_or_lost.py::test_the_oldest_segment_and_the_manifest_are_gone",
    ),
    Mutant(
        "compact is silent where there is nothing to compact",
        (
            (
                "cli/upkeep.py",
                "            if not journals and not as_json:\n",
                "            if False:\n",
            ),
        ),
        killed_by="cli/test_retain.py::test_compact_says_that_there_is_nothing",
    ),
    Mutant(
        "a disk without room is written to until it is full",
        (
            (
                _COPYING,
                "    if free_bytes is None or needed_bytes <= free_bytes:\n",
                "    if True:\n",
            ),
        ),
        killed_by=f"{_ROOM}::test_a_restore_needs_room_for_all_of_it",
    ),
    Mutant(
        "what was the newest segment before needs no room",
        (
            (
                "care/backup_bytes.py",
                "        return files.stat(path).st_size == files.stat(before).st_size\n",
                "        return bool(files.stat(path) and files.stat(before))\n",
            ),
        ),
        killed_by=f"{_ROOM}::test_a_backup_needs_room_for_what_it_copies",
    ),
    Mutant(
        "a file system without a bound is full",
        (
            (
                "files/surroundings.py",
                " if found.f_blocks else None,\n",
                ",\n",
            ),
        ),
        killed_by=f"{_ROOM}::test_a_file_system_that_does_not_tell",
    ),
    Mutant(
        "the progress of a restore leaves out the reading of the backup",
        (
            (
                _RESTORE,
                "point.commit, passes.begin(work.source_bytes))\n",
                "point.commit, passes.begin(0))\n",
            ),
        ),
        killed_by=f"{_ROOM}::test_progress_is_told_in_bytes",
    ),
    Mutant(
        "positions behind a damaged slot are used again without a word",
        (
            (
                "journal/recovery.py",
                "        may_lack = not zeros_only and not adopted and _may_lack_commits(handle, tail)\n",
                "        may_lack = False\n",
            ),
        ),
        killed_by="journal/test_rotten_ends.py",
    ),
    Mutant(
        "verify takes a stray segment for the newest",
        (
            (
                "care/targets.py",
                "        last = _newest(evidence, listed)\n",
                "        last = max([listed + (manifest is not None), *numbers[:60]])\n",
            ),
        ),
        killed_by="care/test_older_files.py::test_a_stray_segment_where_no_mark_names_the_tail[missing-0000000050-00000000000000000999.segment]",
    ),
    Mutant(
        "a cooled segment that nobody lists is whole for verify",
        (
            (
                "care/targets.py",
                "        if revision and evidence.manifest is not None:\n",
                "        if False:\n",
            ),
        ),
        killed_by="care/test_older_files.py::test_a_manifest_of_before_the_sealing",
    ),
    Mutant(
        "an old mark hides what lies behind it",
        (
            (
                "care/targets.py",
                "        if not _is_old(evidence, mark, newest) or read_mark(evidence.files, evidence.path) != mark:\n",
                "        if True:\n",
            ),
        ),
        killed_by="care/test_older_files.py::test_a_lost_segment_behind_an_older_mark",
    ),
    Mutant(
        "what turns out to be no database stays open",
        (
            (
                "moving/importing.py",
                "        stack.callback(source.close)  # before: what is no database is found out when it is open\n        source.open_source()\n",
                "        source.open_source()\n        stack.callback(source.close)\n",
            ),
        ),
        killed_by="moving/test_sqlite_and_gaps.py::test_what_is_no_database_is_closed",
    ),
)
