"""A history whose steps and faults are given: to strike at every single file operation.

Theory of operation: a scene is a short script. It is run once without a fault, which counts the
file operations of its last step, the *act*; then once for every operation and kind of fault. What
follows is the same for all: whoever is still alive goes on, a new process opens (and is struck,
too, in nested runs), appends, and everything is compared with what is known.
"""

from __future__ import annotations

import errno
import random
from typing import NamedTuple

from aurora_es.journal.creation import Settings
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.crash.drawing import Drawn, draw_commit
from tests.crash.history import History
from tests.crash.machine import Process


class Scene(NamedTuple):
    """What is prepared, and the step that is struck; steps are methods of ``Scripted``."""

    name: str
    steps: tuple[str, ...]
    group: int = 1  # commits in each group
    large: bool = False  # whether their frames are longer than 16 KiB
    cycle: int = 1000  # events in a segment

    @property
    def tends(self) -> bool:
        """Whether anything is sealed."""
        return "seal" in self.steps or "seal_one" in self.steps


_THREE = ("append", "append", "append")  # two segments are closed, where a commit fills one
_FIVE = (*_THREE, "append", "append")
_SEALED = (*_THREE, "seal")
SCENES = (
    Scene("creation", ("start", "append")),
    Scene("append in a grown tail", ("start", "append", "append", "append", "append", "append")),
    Scene("append", ("start", "append", "append", "append")),
    Scene("large append", ("start", "append", "append"), large=True),
    Scene("group", ("start", "append", "append"), group=4),
    Scene("roll", ("start", "append", "append", "append"), cycle=2),
    Scene("close", ("start", "append", "close")),
    Scene("clean opening", ("start", "append", "append", "close", "start")),
    Scene("manifest found unsynced", ("start", "rename_unseen", "start", "append")),
    Scene("full disk", ("start", "append", "fill_disk"), group=4),
    Scene("recovery of half a write", ("start", "append", "tear", "start")),
    Scene("recovery of a whole write", ("start", "append", "finish_unseen", "start")),
    Scene("recovery of a roll", ("start", "append", "append", "finish_unseen", "start"), cycle=2),
    Scene("recovery by an open handle", ("start", "start", "append", "tear", "append")),
    Scene(
        "roll finished by an open handle",
        ("start", "start", "append", "append", "finish_unseen", "append"),
        cycle=2,
    ),
    Scene(
        "new segment found by an open handle",
        ("start", "start", "append", "append", "link_unseen", "append"),
        cycle=2,
    ),
    Scene("seal", ("start", *_THREE, "seal_one"), cycle=2),
    Scene("seal behind a sealed one", ("start", *_THREE, "seal_one", "seal"), cycle=2),
    Scene("seal while two are behind", ("start", "start", *_THREE, "read", "seal"), cycle=2),
    Scene("seal with a damaged run", ("start", *_SEALED, "damage_runs", "append", "seal"), cycle=2),
    Scene("merge of four", ("start", *_FIVE, *4 * ("seal_one",), "merge"), cycle=2),
    Scene("merge of all", ("start", *_SEALED, "merge_all"), cycle=2),
    Scene("cool", ("start", *_SEALED, "cool"), cycle=2),
    Scene("clear away", ("start", *_SEALED, "merge_all", "cool", "clear_away"), cycle=2),
    Scene(
        "append behind", ("start", *_SEALED, "cool", "merge_all", "clear_away", "append"), cycle=2
    ),
    Scene(
        "opening of sealed segments", ("start", *_SEALED, "cool", "clear_away", "start"), cycle=2
    ),
    Scene("mending", ("start", *_SEALED, "merge_all", "damage_runs", "look_up"), cycle=2),
    Scene("mending of cooled", ("start", *_SEALED, "cool", "damage_runs", "look_up"), cycle=2),
)
# Kind, moment, error number, whether the power goes, too.
KINDS: dict[str, tuple[Fault, bool]] = {
    "killed before": (Fault("kill", "before"), False),
    "killed in the middle": (Fault("kill", "middle"), False),
    "killed near the end": (Fault("kill", "middle", 0.999), False),
    "killed after": (Fault("kill", "after"), False),
    "power cut before": (Fault("kill", "before"), True),
    "power cut in the middle": (Fault("kill", "middle", 0.7), True),
    "power cut after": (Fault("kill", "after"), True),
    "interrupted before": (Fault("interrupt", "before"), False),
    "interrupted after": (Fault("interrupt", "after"), False),
    "input/output error": (Fault("error", "before", 0.5, errno.EIO), False),
    "full disk": (Fault("error", "middle", 0.5, errno.ENOSPC), False),
}


class Strike(NamedTuple):
    """A fault at the operation number ``at`` of a step."""

    kind: str
    at: int


class Scripted(History):
    """Runs a scene; ``strikes`` are for its act and for the opening that follows."""

    def __init__(
        self, scene: Scene, strikes: tuple[Strike | None, ...] = (), seed: int = 0
    ) -> None:
        """Prepare; ``seed`` decides what a power cut or a failed sync leaves."""
        super().__init__(0, Sync.ALWAYS)
        self.scene = scene
        self.crash_seed = seed
        self.settings = Settings(Sync.ALWAYS, RollCycle.events(scene.cycle), CompressionFormat.NONE)
        self.unrest = 0.0
        self.reserve_bytes = 512
        self.operations: list[list[str]] = []  # of every step
        self._strikes = [*strikes]
        self._next: Strike | None = None
        self._planted: tuple[Fault, str] | None = None  # strikes at the next operation so named

    def play(self) -> None:
        """Run the scene with its strikes, and what follows."""
        *before, act = self.scene.steps
        for step in before:
            getattr(self, step)()
        self._strike()
        getattr(self, act)()
        self.rng = random.Random(self.crash_seed)
        if self.crash_seed % 3 == 2:
            self.cut_power()
        if self.processes:
            self.append()
        if self.crash_seed % 2:
            self.evict()
        self._strike()
        self.start()
        self.start()
        self.append()
        self.read()
        self.cut_power()
        self.start()
        if self.scene.tends:
            self.tend_again()
            self.start()
            self.read()

    def _strike(self) -> None:
        self._next = self._strikes.pop(0) if self._strikes else None

    # Steps

    def start(self) -> None:
        """Open in a new process."""
        self.open()

    def tear(self) -> None:
        """Die in the middle of the write of a commit."""
        self._planted = Fault("kill", "middle", 0.6), "pwrite"
        self.append()

    def finish_unseen(self) -> None:
        """Die between the write of a commit, or of an end frame, and its sync."""
        self._planted = Fault("kill", "after"), "pwrite"
        self.append()

    def link_unseen(self) -> None:
        """Die when the next segment has its name, and the mark does not know it."""
        self._planted = Fault("kill", "after"), "link"
        self.append()

    def rename_unseen(self) -> None:
        """Die when the manifest has its name, before the directory is synced."""
        self._planted = Fault("kill", "after"), "rename"
        self.append()

    def fill_disk(self) -> None:
        """Have no room for the second half of a group."""
        self._planted = Fault("error", "middle", 0.6, errno.ENOSPC), "pwrite"
        self.append()

    # Hooks of History

    def _arm(self, files: FaultyFiles) -> bool:
        files.disarm()
        files.struck = None
        files.names = []
        if self._planted is not None:
            (fault, name), self._planted = self._planted, None
            files.arm(fault, 0, frozenset({name}))
            return False
        if self._next is None:
            return False
        (kind, at), self._next = self._next, None
        fault, power = KINDS[kind]
        files.arm(fault, at)
        return power

    def _end_step(self, files: FaultyFiles, *, power: bool) -> bool:
        self.operations.append(files.names or [])
        return super()._end_step(files, power=power)

    def cut_power(self) -> None:
        """Cut the power, with the choices of this run."""
        self.rng = random.Random(self.crash_seed)
        super().cut_power()

    def _choose(self) -> Process:
        return self.processes[0]

    def _draw_batch(self, process: Process) -> list[Drawn]:
        batch = []
        for _ in range(self.scene.group):
            self.tried_count += 1
            serial = self.tried_count
            claims = [("x", serial * 10), ("y", serial * 10 + 1)]
            sizes = (17_000,) if self.scene.large else (40,)
            batch.append(draw_commit(random.Random(serial), serial, 0, claims, sizes))
        return batch
