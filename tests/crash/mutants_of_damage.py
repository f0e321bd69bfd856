"""Breakages of what is read from, and written for, damaged segments: see ``mutants.py``."""

from __future__ import annotations

from tests.crash.mutant import Mutant

_SALVAGE = "segment/test_salvage.py"

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
)
