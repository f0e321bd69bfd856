"""Steps of a history in which a process of its own seals, merges, cools or clears away.

Theory of operation: these are the functions that the background run calls, one step each, so that a
scene can strike at every file operation of one of them. A process that ends leaves nothing but
files. See ``history.py`` for the steps of those who append.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.format.names import parse_cooled_name, parse_frames_name, parse_run_name
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.journal import Journal
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.seal import seal_next
from aurora_es.journal.sealed_index import file_name_of
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import DirectoryNode
from aurora_es.testing.faulty import FaultyFiles
from tests.crash.machine import FAILURES, LOCK_SECONDS, Machine, check_lookups
from tests.crash.truth import PATH, ViolationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects

_AGE_HOURS = -1.0  # whatever was committed is older than an hour from now
_CODECS = ("lz4", "none", "snappy", "zstd")


class Tending(Machine):
    """The steps."""

    def tend(self) -> None:
        """Let a process of its own take one of the steps."""
        self.rng.choice((self.seal, self.seal, self.merge_all, self.cool, self.clear_away))()

    def seal(self) -> None:
        """Seal all closed segments, and merge what is due."""
        self._work("seal", lambda effects: background.seal(PATH, effects=effects))

    def seal_one(self) -> None:
        """Seal one segment, and merge nothing."""

        def work(effects: Effects) -> None:
            with BackgroundLock(effects, PATH, timeout=LOCK_SECONDS):
                seal_next(effects, PATH)

        self._work("seal one", work)

    def merge(self) -> None:
        """Merge what is due."""
        self._work("merge", lambda effects: background.merge(PATH, effects=effects))

    def merge_all(self) -> None:
        """Merge all runs to one."""
        self._work(
            "merge all", lambda effects: background.merge(PATH, everything=True, effects=effects)
        )

    def cool(self) -> None:
        """Cool all sealed segments."""
        codec = self.rng.choice(_CODECS)
        self._work(
            f"cool {codec}",
            lambda effects: background.cool(
                PATH, codec=codec, older_than_hours=_AGE_HOURS, effects=effects
            ),
        )

    def clear_away(self) -> None:
        """Remove what is not needed any more, without the wait of a minute."""

        def work(effects: Effects) -> None:
            if read_manifest(effects.files, PATH) is None:
                return
            with BackgroundLock(effects, PATH, timeout=LOCK_SECONDS):
                clear_away(effects, PATH, at_once=True)

        self._work("clear away", work)

    def look_up(self) -> None:
        """Look everything up in a process of its own, which builds damaged runs anew."""

        def work(effects: Effects) -> None:
            with Journal(effects, PATH, self.settings, lock_timeout=LOCK_SECONDS) as journal:
                check_lookups(journal)

        self._work("look up", work)

    def damage_runs(self) -> None:
        """Let the index runs and tables of frames rot."""
        directory = self.disk.find(PATH)
        assert isinstance(directory, DirectoryNode)
        for name in directory.entries:
            if name.endswith((".index", ".frames")):
                path = f"{PATH}/{name}"
                self.disk.damage(path, self.rng.randrange(len(self.disk.content(path))), 0xFF)

    def tend_again(self) -> None:
        """Run all work again, whatever became of it, and expect that nothing is left over."""
        for step in (self.clear_away, self.seal, self.merge_all, self.cool, self.clear_away):
            step()
        directory = self.disk.find(PATH)
        manifest = read_manifest(CrashableFiles(self.disk), PATH)
        assert isinstance(directory, DirectoryNode)
        assert manifest is not None
        runs = {file_name_of(run) for run in manifest.runs}
        revisions = {one.segment_number: one.revision for one in manifest.segments}
        for name in directory.entries:
            stem = name.removesuffix(".new")
            place = parse_cooled_name(stem) or parse_frames_name(stem)
            if (place and revisions.get(place[0]) != place[2]) or (
                parse_run_name(stem) and name not in runs
            ):
                raise ViolationError(f"{name} is left over")
        if self.truth.mark is not None and len(revisions) != self.truth.mark.segment_number - 1:
            raise ViolationError("a closed segment is not sealed though the work was run again")
        if len(runs) > 1 or not all(revisions.values()):
            raise ViolationError("runs are not merged, or segments not cooled")

    def _work(self, name: str, work: Callable[[Effects], object]) -> None:
        self.active = None
        files = FaultyFiles(CrashableFiles(self.disk), self.rng)
        files.hook = self._stir
        power = self._arm(files)
        try:
            work(self._effects(files))
        except FAILURES as error:
            self._note(name, error)
            self._forgive(files, error)
        else:
            self._note(name)
        ended = self._end_step(files, power=power)
        assert isinstance(files.inner, CrashableFiles)
        files.inner.kill()
        if not ended:
            self.compare()

    def _stir(self, name: str) -> None:
        """What the rest of the machine may be about while a process makes a call."""
