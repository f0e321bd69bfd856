"""One-line breakages of the package; each must make the histories fail.

Theory of operation: a mutant is a list of replacements in the source of ``aurora_es``. They are
made in a copy of the package, never in the working tree, and a process of its own imports the copy
and lives through histories until one fails (``tests.crash.hunt``). Where a step guards against one
rare crash, which histories meet late or never, ``killed_by`` names a test with exactly that crash,
and the process runs that. A mutant that nothing kills is a check that is missing here, or an
*equivalent*: then ``why_alive`` says what else protects. The table is in docs/internals/mutants.md,
written by ``python -m tests.crash.kill_table``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.crash.mutant import Mutant
from tests.crash.mutants_of_care import CARE_MUTANTS
from tests.crash.mutants_of_damage import DAMAGE_MUTANTS
from tests.crash.mutants_of_faces import FACE_MUTANTS
from tests.crash.mutants_of_queues import CONDITION_MUTANTS, QUEUE_MUTANTS
from tests.crash.mutants_of_rules import RULE_MUTANTS
from tests.crash.mutants_of_tending import TENDING_MUTANTS

ROOT = Path(__file__).parent.parent.parent
_FAILED = 1  # pytest's exit code when tests ran and failed


@dataclass(frozen=True)
class Verdict:
    """What the hunt found: the number of rounds (histories, tests) until one failed, 0 for none."""

    rounds: int
    harness: str
    message: str


def hunt(mutant: Mutant, directory: Path, factor: float) -> Verdict:
    """Apply ``mutant`` to a copy of the package in ``directory`` and hunt it."""
    package = directory / "aurora_es"
    shutil.copytree(ROOT / "aurora_es", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in mutant.edits:
        source = (package / name).read_text("utf-8")
        if source.count(old) != 1:
            message = f"mutant {mutant.name!r}: its text occurs {source.count(old)} times in {name}"
            raise LookupError(message)
        (package / name).write_text(source.replace(old, new), "utf-8")
    shutil.copytree(
        ROOT / "tests", directory / "tests", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", directory)
    if mutant.killed_by:
        return _run_test(mutant, directory)
    ended = _run(directory, "tests.crash.hunt", str(factor))
    line = ended.stdout.strip().rpartition("\n")[2]
    rounds, separator, rest = line.partition("|")
    if ended.returncode or not separator:
        message = (
            f"the hunt for {mutant.name!r} broke off: {ended.stdout[-500:]}{ended.stderr[-2000:]}"
        )
        raise RuntimeError(message)
    harness, _, text = rest.partition("|")
    return Verdict(int(rounds), harness, text)


def _run_test(mutant: Mutant, directory: Path) -> Verdict:
    test = f"tests/{mutant.killed_by}"
    ended = _run(directory, "pytest", "-n", "0", "-q", "-rN", "--timeout", "60", "--tb=line", test)
    if ended.returncode not in {0, _FAILED}:
        message = f"the test for {mutant.name!r} did not run: {ended.stdout[-2000:]}{ended.stderr}"
        raise RuntimeError(message)
    lines = [line for line in ended.stdout.splitlines() if line.startswith("/")]
    message = lines[-1].partition(": ")[2] if lines else ""
    return Verdict(int(ended.returncode == _FAILED), mutant.killed_by, message[:160])


def _run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


_APPEND, _ROLL, _RECOVERY = "journal/append.py", "journal/roll.py", "journal/recovery.py"
_FOREIGN = "journal/test_foreign_commits.py"
_WALK, _MARK, _WRITES = "segment/walk.py", "journal/mark_file.py", "journal/tail_writes.py"
_CREATE, _LOCK, _GROUP = "segment/create.py", "journal/append_lock.py", "journal/group.py"

MUTANTS = (
    # Append
    Mutant(
        "no sync on append",
        ((_APPEND, "            handle.files.fdatasync(tail.fd)\n", "            pass\n"),),
    ),
    Mutant(
        "published before the sync",
        (
            (
                _APPEND,
                "            handle.files.fdatasync(tail.fd)\n",
                "            pass\n",
            ),
            (
                _APPEND,
                "published, group, previous, timestamp)\n    except",
                (
                    "published, group, previous, timestamp)\n"
                    "        handle.files.fdatasync(tail.fd)\n    except"
                ),
            ),
        ),
    ),
    Mutant(
        "synced_to is the frame's own end",
        (
            (
                _APPEND,
                "    position += 1\n    for commit in group:\n",
                (
                    "    position += 1\n"
                    "    synced_to = mark.visible_offset + sum(each.stored_bytes for each in group)\n"
                    "    for commit in group:\n"
                ),
            ),
        ),
    ),
    Mutant(
        "no look at the bytes ahead",
        ((_APPEND, "    if ahead and ahead != _NOT_WRITTEN[: len(ahead)]:", "    if False:"),),
    ),
    Mutant(
        "a failed sync is tried again",
        (
            (
                _APPEND,
                "            handle.files.fdatasync(tail.fd)\n",
                (
                    "            try:\n                handle.files.fdatasync(tail.fd)\n"
                    "            except OSError:\n                handle.files.fdatasync(tail.fd)\n"
                ),
            ),
        ),
    ),
    Mutant(
        "a failed sync does not poison",
        (
            (
                _APPEND,
                "        handle.poison_with(error)\n",
                "        handle.in_doubt = False\n        handle.forget_state()\n",
            ),
        ),
    ),
    Mutant(
        "a begun write leaves no doubt",
        ((_WRITES, "    handle.in_doubt = True\n", "    handle.in_doubt = False\n"),),
        why_alive=(
            "only the handle that began the write knows its doubt, and whichever process appends next"
            " has to do without: a frame begins with a salt that is never all zeros, so whatever"
            " was written shows in the 8 bytes ahead of the mark, or is zeros like what was there"
        ),
    ),
    Mutant(
        "a failed write is not cut back",
        (
            (
                _WRITES,
                "            handle.files.ftruncate(tail.fd, mark.visible_offset)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "cutting back is not synced",
        ((_WRITES, "            handle.files.fsync(tail.fd)\n", "            pass\n"),),
    ),
    Mutant(
        "appends go to the old tail after a roll",
        (
            (
                _APPEND,
                "    tail = handle.open_tail(chain)  #",
                "    tail = handle.tail or handle.open_tail(chain)  #",
            ),
        ),
    ),
    Mutant(
        "no lock",
        (
            (
                _LOCK,
                "            self._handle.files.flock(descriptors.lock_fd, _AT_ONCE)\n",
                "            return True\n",
            ),
        ),
    ),
    Mutant(
        "an interrupt leaks the lock",
        (
            (
                _LOCK,
                (
                    "        except BaseException:\n            self.release()\n            raise\n"
                    "        self._descriptors = descriptors\n"
                ),
                (
                    "        except BaseException:\n            self._may_hold = False\n            raise\n"
                    "        self._descriptors = descriptors\n"
                ),
            ),
        ),
    ),
    Mutant(
        "an interrupted group is queued again though it may be written",
        (
            (
                _GROUP,
                "        if is_writing:\n            # Before",
                "        if handle.in_doubt:\n            # Before",
            ),
            (
                _GROUP,
                "                elif is_writing:\n",
                "                elif handle.in_doubt:\n",
            ),
        ),
    ),
    Mutant(
        "an unresolved commit is answered with a wrong position",
        ((_GROUP, "member.first_position = found - 1", "member.first_position = found"),),
    ),
    # Mark
    Mutant(
        "both slots in one place",
        (
            (
                _MARK,
                "slot, SLOT_OFFSETS[odd]) != SLOT_BYTES",
                "slot, SLOT_OFFSETS[0]) != SLOT_BYTES",
            ),
        ),
    ),
    Mutant(
        "the mark's reader may go back",
        (
            (
                _MARK,
                "        if seen is not None and mark.sequence < seen[2].sequence:\n            return seen[2]\n",
                "",
            ),
        ),
        killed_by="journal/test_mark_file.py::test_a_reader_never_goes_back",
    ),
    Mutant(
        "the mark is not synced by recovery",
        (
            (
                _WRITES,
                "        descriptors.mark.publish(mark)\n        handle.sync_mark(mark)\n",
                "        descriptors.mark.publish(mark)\n",
            ),
            (
                _WRITES,
                "        mark = descriptors.mark.renew(mark)\n        handle.sync_mark(mark)\n",
                "        mark = descriptors.mark.renew(mark)\n",
            ),
            (_MARK, "            self.sync()\n        else", "            pass\n        else"),
        ),
    ),
    Mutant(
        "a torn slot stays torn",
        ((_MARK, "        if decode_slot(slot) is None:", "        if False:"),),
        killed_by="journal/test_mark_file.py::test_renewing_makes_a_torn_slot_valid",
    ),
    Mutant(
        "the mark is renewed from the cache",
        (
            (
                _MARK,
                "        write_all(self.files, self.fd, encode_slot(mark), at)\n",
                (
                    "        again = self.files.pread(self.fd, SLOT_BYTES, at)\n"
                    "        write_all(self.files, self.fd, again, at)\n"
                ),
            ),
        ),
        killed_by="journal/test_mark_file.py::test_renewing_brings_back_what_has_left_the_cache",
    ),
    # Roll
    Mutant(
        "the old segment is not synced at a roll",
        ((_ROLL, "        handle.files.fsync(tail.fd)\n", "        pass\n"),),
    ),
    Mutant(
        "the old segment keeps its slack",
        ((_ROLL, "        handle.files.ftruncate(tail.fd, ended.offset)\n", "        pass\n"),),
    ),
    Mutant(
        "the directory is not synced at a roll",
        ((_CREATE, "    files.sync_directory(directory)\n", ""),),
    ),
    Mutant(
        "the new segment is not synced",
        ((_CREATE, "        files.fsync(fd)\n", "        pass\n"),),
    ),
    Mutant(
        "the mark moves behind the end frame at once",
        (
            (
                _ROLL,
                "    finish_roll(handle, ended, handle.state.index.tracking.values(), epoch=mark.epoch)\n",
                (
                    "    mark = mark._replace(\n        sequence=mark.sequence + 1,\n"
                    "        visible_offset=ended.offset,\n        durable_offset=ended.offset,\n    )\n"
                    "    publish_synced(handle, mark)\n"
                    "    finish_roll(handle, ended, handle.state.index.tracking.values(), epoch=mark.epoch)\n"
                ),
            ),
        ),
    ),
    Mutant(
        "the tracking table is not carried over",
        ((_ROLL, "            tracking=tracking,\n", "            tracking=(),\n"),),
        killed_by="journal/test_roll.py::test_what_a_roll_writes",
    ),
    # Recovery
    Mutant(
        "recovery does not cut",
        ((_RECOVERY, "        files.ftruncate(file.fd, end)\n", ""),),
    ),
    Mutant(
        "recovery does not write again",
        (
            (
                _RECOVERY,
                "        if not rewrite(file, tail.durable_offset, end):",
                "        if False:",
            ),
        ),
    ),
    Mutant(
        "recovery writes again what it has not checked",
        (
            (
                _RECOVERY,
                "            length = _whole_frames(block, file.salt)\n            if not",
                "            length = len(block)\n            if not",
            ),
        ),
    ),
    Mutant(
        "recovery does not sync",
        ((_RECOVERY, "        files.fsync(file.fd)\n    except", "    except"),),
    ),
    Mutant(
        "complete commits are dropped, not adopted",
        (
            (
                _RECOVERY,
                "    size = file.size_bytes()\n",
                "    size = max(visible_offset, chain.offset)\n",
            ),
        ),
    ),
    Mutant(
        "any valid frame behind a hole is corruption",
        ((_RECOVERY, " and header.synced_to > end:", ":"),),
    ),
    Mutant(
        "acknowledged bytes may be cut",
        ((_RECOVERY, " or end < tail.durable_offset:", ":"),),
    ),
    Mutant(
        "the successor's name is not synced by recovery",
        ((_RECOVERY, "    handle.files.sync_directory(handle.path)\n    return", "    return"),),
        killed_by="crash/test_steps.py::test_a_successor_is_found_before_its_name_is_on_disk",
    ),
    Mutant(
        "the epoch stays though visible commits are gone",
        ((_RECOVERY, "    epoch = mark.epoch + 1\n", "    epoch = mark.epoch\n"),),
    ),
    Mutant(
        "the epoch of an old mark is used again",
        ((_RECOVERY, "max(mark.epoch, manifest.epoch)", "mark.epoch"),),
    ),
    # Opening and creation
    Mutant(
        "the directory is not synced at opening",
        (("journal/opening.py", "        handle.files.sync_directory(handle.path)\n", ""),),
        killed_by="crash/test_steps.py::test_a_manifest_is_found_before_its_name_is_on_disk",
    ),
    Mutant(
        "new parents are not synced",
        (
            (
                "journal/creation.py",
                "        _sync_parents(files, path, made, new_parents_max)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "the manifest is not synced before it is renamed",
        (
            (
                "journal/manifest_file.py",
                "    replace_file(files, path, encode_manifest(manifest), draft=path + NEW_SUFFIX)\n",
                """    from aurora_es.files.layer import open_regular, write_all

    fd = open_regular(files, path + NEW_SUFFIX, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    write_all(files, fd, encode_manifest(manifest), 0)
    files.close(fd)
    files.rename(path + NEW_SUFFIX, path)
    files.sync_directory(directory)
""",
            ),
        ),
    ),
    Mutant(
        "the first mark is not synced",
        (
            (
                "journal/mark_file.py",
                "        write_all(files, fd, bytes(data), 0)\n        files.fsync(fd)\n",
                "        write_all(files, fd, bytes(data), 0)\n",
            ),
        ),
    ),
    # Sealing, merging, cooling
    *TENDING_MUTANTS,
    # Weak modes
    Mutant(
        "sync only says so",
        (("journal/syncing.py", "                handle.files.fdatasync(handle.tail.fd)\n", ""),),
    ),
    Mutant(
        "the interval's sync only says so",
        (("journal/syncing.py", "        handle.files.fdatasync(tail.fd)\n", ""),),
    ),
    # Format
    Mutant(
        "the payload checksum is not looked at",
        (
            (
                _WALK,
                "            if crc32c(checked) != previous or crc32c(payload) != header[15]:",
                "            if crc32c(checked) != previous:",
            ),
            (_WALK, "        if crc32c(payload) != header.payload_checksum:", "        if False:"),
        ),
    ),
    Mutant(
        "the header checksum leaves out the length",
        (
            (
                "format/frame.py",
                "    checksum = crc32c(packed)\n",
                "    checksum = crc32c(packed[:12] + packed[16:])\n",
            ),
            ("format/frame.py", "crc32c(buffer[offset:end])", "crc32c(_short(buffer[offset:end]))"),
            (
                "format/frame.py",
                "def decode_header(",
                "def _short(data: bytes) -> bytes:\n    return data[:12] + data[16:]\n\n\ndef decode_header(",
            ),
            (_APPEND, "crc32c(header)", "crc32c(header[:12] + header[16:])"),
            (_WALK, "if crc32c(checked) != ", "if crc32c(checked[:12] + checked[16:]) != "),
            ("segment/read.py", "crc32c(checked)", "crc32c(checked[:12] + checked[16:])"),
        ),
    ),
    Mutant(
        "the chain of checksums is not looked at",
        (
            (
                _WALK,
                "            or header[12:15] != (1, 1, previous)\n",
                "            or header[12:14] != (1, 1)\n",
            ),
            (_WALK, "        if header.previous_checksum != previous:", "        if False:"),
        ),
        killed_by="journal/test_corruption.py::test_frames_in_another_order",
    ),
    Mutant(
        "the commit number is not looked at",
        (
            (_WALK, "                or header[9] != number\n", ""),
            (
                _WALK,
                "            wanted = (KIND_RECORDS, last + 1,",
                "            wanted = (KIND_RECORDS, header.commit_number,",
            ),
            (_WALK, "            or (commit and last + 1 != number[1])\n", ""),
        ),
        killed_by="segment/test_walk.py::test_a_wrong_field",
    ),
    Mutant(
        "a frame may end without its padding",
        (
            (
                _WALK,
                "        if len(self._buffer) - at < length:",
                "        if len(payload) < header.stored_length:",
            ),
        ),
        killed_by="segment/test_walk.py::test_a_frame_without_all_of_its_padding_is_unfinished",
    ),
    Mutant(
        "the successor's header is not compared",
        (("journal/catch_up.py", "    if expected != found:\n", "    if False:\n"),),
        killed_by="journal/test_corruption.py::test_a_successor_that_does_not_chain",
    ),
    Mutant(
        "commits are indexed twice",
        (("journal/catch_up.py", " or header.commit_number <= state.indexed_commit:", ":"),),
        killed_by="journal/test_reading.py::test_what_is_walked_again_is_not_indexed_again",
    ),
    Mutant(
        "messages are indexed twice",
        (("journal/catch_up.py", "            and header[9] > state.indexed_commit\n", ""),),
        killed_by=f"{_FOREIGN}::test_messages_that_are_walked_again_are_not_indexed_again",
    ),
    Mutant(
        "an interrupted group is not looked for among messages",
        (("journal/catch_up.py", "            and not wants_ids\n", ""),),
        killed_by=f"{_FOREIGN}::test_a_message_of_an_interrupted_group_is_found",
    ),
    Mutant(
        "a commit of any record is taken for a message",
        (
            (
                "format/payload.py",
                "    return payload[19:24] in _ONE_MESSAGE and payload[:3] == _BEGIN\n",
                '    return payload[19:21] == b"\\xc0\\x91"\n',
            ),
        ),
        killed_by=f"{_FOREIGN}::test_appends_behind_commits_of_others",
    ),
    Mutant(
        "a commit that begins with a message is one of messages",
        (
            (
                "format/payload.py",
                "    originator_id: None\n    originator_version: None\n",
                "    originator_id: Any\n    originator_version: Any\n",
            ),
        ),
        killed_by=f"{_FOREIGN}::test_appends_behind_commits_of_others",
    ),
    Mutant(
        "commits that are taken at once are not counted one by one",
        (
            (
                _WALK,
                "            chain.frame_count += len(taken)\n",
                "            chain.frame_count += 1\n",
            ),
        ),
        killed_by="segment/test_walk.py::test_commits_taken_at_once",
    ),
    Mutant(
        "a turn is not left to its owner",
        ((_LOCK, "        if self._seen is not seen:\n", "        if False:\n"),),
        killed_by="journal/test_turns.py::test_an_owner_at_its_turn_is_left_alone",
    ),
    Mutant(
        "a turn is left to its owner without end",
        (
            (
                _LOCK,
                "        return now < min(self._still_since + _STILL_SECONDS, self._patience_ends)\n",
                "        return now < self._still_since + _STILL_SECONDS\n",
            ),
        ),
        killed_by="journal/test_turns.py::test_a_wait_that_ends_within_a_turn_has_a_last_try",
    ),
    *CONDITION_MUTANTS,
    *CARE_MUTANTS,
    *FACE_MUTANTS,
    *DAMAGE_MUTANTS,
    *QUEUE_MUTANTS,
    *RULE_MUTANTS,
)
# Killed within seconds, one of each kind; the normal run tries these.
SOME = (
    "no sync on append",
    "the directory is not synced at a roll",
    "recovery does not sync",
    "no look at the bytes ahead",
    "the epoch stays though visible commits are gone",
    "a torn slot stays torn",
)
