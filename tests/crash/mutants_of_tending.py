"""Breakages of sealing, merging, cooling, clearing away and mending: see ``mutants.py``."""

from __future__ import annotations

from tests.crash.mutant import Mutant

_SEAL, _CLEARING, _MANIFEST = "journal/seal.py", "journal/clearing.py", "journal/manifest_file.py"

TENDING_MUTANTS = (
    Mutant(
        "the index is trusted without a look at the record",
        (
            (
                "journal/sealed_index.py",
                "                    record.originator_version == version\n                    and",
                "                    True or",
            ),
        ),
        killed_by="journal/test_key_collisions.py::test_a_conflict_is_one_only_if_the_record_says_so",
    ),
    Mutant(
        "candidates are returned without a look at their ids",
        (("journal/reading.py", "    if not are_candidates:\n", "    if True:\n"),),
        killed_by="journal/test_key_collisions.py::test_events_of_other_ids_are_left_out",
    ),
    Mutant(
        "sealing follows writers that are faster",
        (("journal/background.py", "    while done < total and seal_next", "    while seal_next"),),
        killed_by="journal/test_background.py::test_sealing_ends_beside_a_writer_that_is_faster",
    ),
    Mutant(
        "a background run leaves what was closed meanwhile",
        (
            (
                "journal/background.py",
                "        while work(sys.argv[1]) != WorkDone():\n            pass",
                "        if work(sys.argv[1]) != WorkDone():\n            pass",
            ),
        ),
        killed_by="journal/test_background.py::test_a_background_run_takes_what_was_closed_meanwhile",
    ),
    Mutant(
        "runs are started beside one that is at work",
        (
            (
                "journal/tending.py",
                "            _seal_oldest(handle)\n        start_background_run",
                (
                    "            _seal_oldest(handle)\n    except LockTimeoutError:\n        pass\n"
                    "    try:\n        start_background_run"
                ),
            ),
        ),
        killed_by="journal/test_background.py::test_no_run_is_started_while_another_works",
    ),
    Mutant(
        "every run is taken for one that rises",
        ((_SEAL, "rises=header.is_monotone == 1 and rises(columns)", "rises=True"),),
        killed_by="journal/test_disorder.py",
    ),
    Mutant(
        "a run is compared with itself only, to see whether it rises",
        (
            (
                _SEAL,
                "    return sealed.rise_above((keys[first], ordinals[first], positions[first]))\n",
                "    return True\n",
            ),
        ),
        killed_by="journal/test_disorder.py",
    ),
    Mutant(
        "the manifest is replaced without reading it again",
        (
            (
                _MANIFEST,
                "    with flocked(effects, lock_path, effects",
                (
                    "    early = read_manifest(files, directory)\n"
                    "    with flocked(effects, lock_path, effects"
                ),
            ),
            (
                _MANIFEST,
                "        current = read_manifest(files, directory)\n",
                "        current = early\n",
            ),
        ),
        killed_by="journal/test_tending_faults.py::test_two_writers_of_the_manifest",
    ),
    Mutant(
        "a run is listed before it is synced",
        (("index/run_writer.py", "        self._files.fsync(self._fd)\n", ""),),
        why_alive="a run that a power cut has damaged is built anew from its segments",
    ),
    Mutant(
        "a cooled copy is not synced",
        (("segment/packed_writer.py", "            files.fsync(fd)\n", "            pass\n"),),
    ),
    Mutant(
        "a cooled copy is not read back",
        (
            (
                "journal/cool.py",
                "    verify_packed(files, path, packed)\n",
                "",
            ),
        ),
        killed_by="journal/test_tending_faults.py::test_a_copy_that_was_written_wrong_is_not_listed",
    ),
    Mutant(
        "a copy's digest is not compared with the sealed one",
        (
            (
                "journal/cool.py",
                "    if packed.end.digest.hex() != segment.digest:\n",
                "    if False:\n",
            ),
        ),
        killed_by="journal/test_tending_faults.py::test_a_segment_of_another_content_is_not_cooled",
    ),
    Mutant(
        "obsolete files are removed at once",
        ((_CLEARING, "OBSOLETE_SECONDS = 60", "OBSOLETE_SECONDS = 0"),),
        killed_by="journal/test_behind.py::test_nothing_is_removed_within_a_minute",
    ),
    Mutant(
        "what killed runs have left stays",
        (
            (
                _CLEARING,
                "        for name in _left_over(files.listdir(path), current):\n",
                "        for name in ():\n",
            ),
        ),
    ),
    Mutant(
        "a run's source digest is not compared",
        (("index/run_file.py", " or header.source_digest != source_digest:", ":"),),
        killed_by="journal/test_index_damage.py::test_files_of_other_segments",
    ),
    Mutant(
        "a table's segment is not compared",
        (
            (
                "segment/frame_table.py",
                "            if header.identity != identity:\n",
                "            if False:\n",
            ),
        ),
        killed_by="journal/test_index_damage.py::test_files_of_other_segments",
    ),
    Mutant(
        "the tail is sealed",
        ((_SEAL, ".segment_number <= number:", ".segment_number < number:"),),
    ),
    Mutant(
        "who is behind does not look at the manifest",
        (
            (
                "journal/generation.py",
                "    renew_manifest(handle)\n    return handle.sealed is not None and",
                "    return handle.sealed is not None and",
            ),
        ),
        killed_by="journal/test_behind.py::test_what_is_not_open_is_read_from_the_cooled_file",
    ),
    Mutant(
        "a mark is believed that is older than the manifest",
        (
            (
                "journal/catch_up.py",
                "    if sealed is None or mark.segment_number > sealed.last_segment:\n",
                "    if True:\n",
            ),
            (
                "journal/catch_up.py",
                "    end = sealed.end_chain()\n",
                "    assert sealed\n    end = sealed.end_chain()\n",
            ),
        ),
        killed_by="journal/test_behind.py::test_a_mark_that_is_older_than_the_manifest",
    ),
    Mutant(
        "a lock of one's own is waited for",
        (("journal/mending.py", "    if sealed.owns_lock:\n", "    if False:\n"),),
        killed_by="journal/test_tending_faults.py::test_work_over_a_damaged_run_waits_for_nobody",
    ),
)
