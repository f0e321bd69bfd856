"""Breakages of what is read from, and written for, damaged segments: see ``mutants.py``."""

from __future__ import annotations

from tests.crash.mutant import Mutant

_SALVAGE = "segment/test_salvage.py"
_STRANGE = "care/test_strange.py"
_SWAPPED = "care/test_swapped.py"

DAMAGE_MUTANTS = (
    Mutant(
        "repair knows the end behind an old mark of an old segment",
        (
            (
                "care/plan.py",
                "            return None if tail.is_end_known and not self._is_mark_old else tail.position\n",
                "            return None if tail.is_end_known else tail.position\n",
            ),
        ),
        killed_by="care/test_older_files.py::test_an_older_tail_and_its_mark_in_front_of_the_next_segment",
    ),
    Mutant(
        "repair prefers a cooled segment that nobody lists",
        (
            (
                "care/survey.py",
                "        unlisted = None if manifest is None else 0\n",
                "        unlisted = None\n",
            ),
        ),
        killed_by="care/test_older_files.py::test_cooled_copies_of_a_newer_state",
    ),
    Mutant(
        "a gap before an overlong end is forgotten",
        (
            (
                "segment/salvage.py",
                "                if gap is not None:\n                    yield from self._closed(gap, walk, None, is_rest=False)\n",
                "",
            ),
        ),
        killed_by=f"{_SALVAGE}::test_a_lost_end_and_bytes_behind_the_end_frame",
    ),
    Mutant(
        "a header that was written for another place proves a commit whole",
        (
            (
                "segment/salvage.py",
                "            and _belongs(decoded[0], error.offset, walk.chain)\n",
                "",
            ),
        ),
        killed_by=f"{_SALVAGE}::test_the_header_of_another_frame_proves_nothing",
    ),
    Mutant(
        "no header proves the commit before it whole",
        (
            (
                "segment/salvage.py",
                "            self._header = decoded[0]\n",
                "            pass\n",
            ),
        ),
        killed_by=f"{_SALVAGE}::test_a_header_in_its_place_proves_the_commit_before_it",
    ),
    Mutant(
        "parts of a repaired segment need not follow each other",
        (
            (
                "segment/repaired.py",
                "        following = _following(os.path.join(directory, name), place, parts)\n",
                "        following = parts\n",
            ),
        ),
        killed_by="segment/test_repaired.py",
    ),
    Mutant(
        "a strange lock file is whole for verify",
        (
            (
                "care/verify.py",
                "        self._check_small_files()\n        if any",
                "        if any",
            ),
        ),
        killed_by=f"{_STRANGE}::test_it_is_named_and_moved_aside",
    ),
    Mutant(
        "a tail that others append to meanwhile is blown up",
        (
            (
                "care/verify.py",
                "        if read_mark(self.files, self.path) == self.evidence.mark:\n            return result\n",
                "        return result\n",
            ),
        ),
        killed_by=f"{_STRANGE}::test_a_tail_that_grows_while_older_segments_are_looked_at",
    ),
    Mutant(
        "an archive is one that its owner may not append to",
        (
            (
                "care/strange.py",
                "    return [one for one in found if one.is_kind_wrong or not is_archive]\n",
                "    return found\n",
            ),
        ),
        killed_by=f"{_STRANGE}::test_an_archive_that_nobody_writes_to",
    ),
    Mutant(
        "what only its owner may use is a fault for those who read",
        (
            (
                "care/strange.py",
                "        elif not (is_written and _is_only_for_its_owner(files, os.path.join(path, name))):\n",
                "        else:\n",
            ),
        ),
        killed_by=f"{_STRANGE}::test_a_journal_that_is_read_by_somebody_else",
    ),
    Mutant(
        "a restore asks for what only who appends needs",
        (
            (
                "care/restore.py",
                "        if finding.kind not in APPENDERS_KINDS:\n",
                "        if True:\n",
            ),
        ),
        killed_by=f"{_STRANGE}::test_a_backup_that_was_made_read_only_is_restored[448]",
    ),
    Mutant(
        "a manifest that is made anew forgets the epochs",
        (
            (
                "care/manifest_anew.py",
                "        epochs=_epochs(found) or UNSET,\n",
                "        epochs=UNSET,\n",
            ),
        ),
        killed_by="face/test_restored_upstream.py::test_a_manifest_that_was_made_anew",
    ),
    Mutant(
        "the epoch of a segment that was written again counts from there",
        (
            (
                "care/manifest_anew.py",
                "                least = min(least, one.header.epoch)\n",
                "                least = one.header.epoch\n",
            ),
        ),
        killed_by="face/test_restored_upstream.py::test_a_manifest_that_was_made_anew",
    ),
    Mutant(
        "a dry run makes the lock files that are missing",
        (("care/locks.py", "    if dry_run:\n", "    if False:\n"),),
        killed_by="care/test_repair.py::test_a_dry_run_makes_no_lock_files",
    ),
    Mutant(
        "a lock that somebody may hold is replaced",
        (("care/repair.py", "        _refuse_use(effects, text)\n", "        pass\n"),),
        killed_by=f"{_STRANGE}::test_somebody_who_may_hold_the_lock_of_before",
    ),
    Mutant(
        "what is appended beside a strange lock is repaired without asking",
        (
            (
                "care/repair.py",
                "    return one.run(lambda now: now == planned or confirm(now), strange, dry_run=False)\n",
                "    return one.run(lambda _: True, strange, dry_run=False)\n",
            ),
        ),
        killed_by=f"{_STRANGE}::test_what_is_appended_meanwhile_is_in_the_plan",
    ),
    Mutant(
        "a repair writes into the mark of another store",
        (
            (
                "care/broken_copy.py",
                "    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1\n",
                "    return False\n",
            ),
        ),
        killed_by="care/test_shared_mark.py",
    ),
    Mutant(
        "verify knows the end of a damaged newest segment without a mark",
        (
            (
                "care/segment_check.py",
                "    is_end_known = _tells_end(target)\n",
                "    is_end_known = True\n",
            ),
        ),
        killed_by="care/test_without_mark.py",
    ),
    Mutant(
        "verify looks at no file that nobody reads",
        (("care/verify.py", "        self._check_others()\n", ""),),
        killed_by=f"{_SWAPPED}::test_pairs_that_once_found_something",
    ),
    Mutant(
        "where a tail without a mark ends is not asked of the file that holds it",
        (
            (
                "care/verify.py",
                "        if result.last_position is None:  #",
                "        if False:  #",
            ),
        ),
        killed_by=f"{_SWAPPED}::test_pairs_that_once_found_something",
    ),
    Mutant(
        "a copy of a later frame is read on from",
        (
            (
                "segment/salvage.py",
                "                and not self._is_astray(offset, header)\n",
                "",
            ),
        ),
        killed_by="care/test_astray.py",
    ),
    Mutant(
        "a frame of before that lies across the mark's offset is the tail's",
        (
            (
                "care/segment_check.py",
                "            continue  # of before: a",
                "            pass  # of before: a",
            ),
        ),
        killed_by="care/test_astray.py",
    ),
    Mutant(
        "a segment of another history has lost no commits without events",
        (
            (
                "care/neighbours.py",
                "        lost_commits=0 if segment_is_right else whole_count(target),\n",
                "",
            ),
        ),
        killed_by="care/test_lost_commits.py::test_a_segment_of_another_history",
    ),
    Mutant(
        "a link to itself has no size",
        (
            (
                "care/copying.py",
                "    except OSError:  # a link to itself, say: whoever copies it tells what is wrong\n",
                "    except FileNotFoundError:\n",
            ),
        ),
        killed_by="care/test_room.py::test_a_file_whose_size_cannot_be_asked",
    ),
    Mutant(
        "a copy needs the room that a damaged mark names",
        (
            (
                "care/copying.py",
                "    return min(offset, stored_bytes(files, path))\n",
                "    return offset\n",
            ),
        ),
        killed_by="care/test_room.py::test_a_mark_that_says_more_than_there_is",
    ),
    Mutant(
        "a link that leads nowhere is a missing segment",
        (
            (
                "care/segment_check.py",
                "        fd = open_regular(files, path, os.O_RDONLY)  #",
                "        fd = files.open(path, os.O_RDONLY)  #",
            ),
        ),
        killed_by=f"{_STRANGE}::test_a_strange_record_has_a_command",
    ),
    Mutant(
        "a tail that nobody can append to is whole for verify",
        (
            (
                "care/segment_check.py",
                "                findings += _blown_up(file, directory, target, facts.end[0])\n",
                "                pass\n",
            ),
        ),
        killed_by=f"{_STRANGE}::test_a_tail_that_somebody_has_blown_up",
    ),
    Mutant(
        "verify does not look for a segment under other names",
        (
            (
                "care/verify.py",
                "        for name, header in (self.evidence.headers() | renamed).items():\n",
                "        for name, header in self.evidence.headers().items():\n",
            ),
        ),
        killed_by="care/test_renamed.py::test_a_renamed_segment",
    ),
    Mutant(
        "repair moves copies of whole segments aside",
        (
            (
                "care/plan.py",
                "    if header is None or is_renamed(candidate.name):\n",
                "    if header is None:\n",
            ),
        ),
        killed_by="care/test_renamed.py::test_copies_of_what_is_whole_are_left_alone",
    ),
    Mutant(
        "verify calls whole what was dropped before it was checked",
        (
            (
                "care/verify.py",
                "        self.is_overtaken = bool(targets.found) and not self.checked\n",
                "        self.is_overtaken = False\n",
            ),
        ),
        killed_by="care/test_live.py::test_all_that_is_checked_is_dropped_meanwhile",
    ),
    Mutant(
        "a rebuild takes another journal's positions for its own",
        (("rebuilding.py", "        self._refuse_another_journal()\n", ""),),
        killed_by="face/test_rebuilding.py::test_an_application_that_began_anew",
    ),
    Mutant(
        "a journal is made in the place of one whose mark tells of commits",
        (("journal/creation.py", " if MARK in names else 0\n", " if False else 0\n"),),
        killed_by="care/test_only_the_mark.py::test_no_journal_is_made_in_its_place",
    ),
    Mutant(
        "a mark that tells of commits is no journal",
        (
            (
                "journal/discovery.py",
                "    if MARK in names and marked_commits(files, path):\n",
                "    if False:\n",
            ),
        ),
        killed_by="care/test_only_the_mark.py::test_it_is_found_and_told",
    ),
)
