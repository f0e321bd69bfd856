"""Traces acts of a real process, builds every disk that a power cut may leave, and opens each.

Theory of operation: the process runs under strace in a directory of its own. At each place of its
trace the disks are enumerated (``crash_states.py``); each is opened by the real code, in memory,
appended to, read and looked up, and compared with what had been acknowledged at that place. For the
recovery, disks with a torn tail become directories again, and a process that opens one is traced.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aurora_es.files.layer import Effects
from aurora_es.journal import background
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk, DirectoryNode
from tests.crash.machine import check_lookups
from tests.fault.crash_states import Disk, Tree
from tests.fault.figures import Figures
from tests.fault.told import Told, ViolationError, records_of
from tests.fault.trace import Operation, traced

HOME = "/data"  # the parent of the journal on the disks in memory
_TENDED_EVERY = 16  # states, of which one is sealed, cooled and read again


class Act(NamedTuple):
    """Steps that are traced behind others that are not."""

    name: str
    before: tuple[str, ...]
    steps: tuple[str, ...]


_FULL = ("append", "batch")  # closes a segment of five or six events
_SEALED = (*_FULL, *_FULL, *_FULL, "seal", "close")
ACTS = (
    Act("create", (), ("append",)),
    Act("append", ("append",), ("append", "append", "append")),
    Act("batch", ("append",), ("batch", "large")),
    Act("group", ("append",), ("group", "append")),
    Act("roll", _FULL, ("append", "append", "batch", "append")),
    Act("reopen", ("append", "append"), ("append", "reopen", "append", "close")),
    Act("seal", (*_FULL, *_FULL, *_FULL), ("seal", "append")),
    Act("merge", _SEALED, ("merge", "append")),
    Act("cool", _SEALED, ("cool", "append")),
    Act("clear", (*_SEALED, "cool", "merge"), ("clear", "append")),
)


class Traced(NamedTuple):
    """What was on disk, what happened, and what had been told before."""

    before: Tree
    operations: list[Operation]
    told: tuple[str, ...]


def load(root: Path, home: str = HOME) -> Tree:
    """Read a directory into memory."""
    tree: Tree = {}
    for parent, directories, files in os.walk(root):
        below = home + parent.removeprefix(str(root))
        for name in directories:
            tree[f"{below}/{name}"] = None
        for name in files:
            tree[f"{below}/{name}"] = Path(parent, name).read_bytes()
    return tree


def unload(tree: Tree, root: Path) -> None:
    """Write what ``load`` has read."""
    root.mkdir(mode=0o700)
    for path, content in tree.items():
        target = root / path.removeprefix(HOME + "/")
        if content is None:
            target.mkdir(mode=0o700)
        else:
            target.write_bytes(content)
            target.chmod(0o600)


def trace_act(act: Act, scratch: Path, planted: Traced | None = None) -> Traced:
    """Take the first steps untraced, then trace the others; or begin with planted files."""
    root = scratch / act.name
    told: list[str] = []
    if planted is not None:
        unload(planted.before, root)
        told += planted.told
    else:
        root.mkdir()
    if act.before:
        told += lines_of(traced(root, _command(root, "b", act.before), scratch / "first"))
    before = load(root)
    operations = traced(root, _command(root, "c" if planted else "a", act.steps), scratch / "log")
    return Traced(before, [_at_home(one, str(root)) for one in operations], tuple(told))


def _command(root: Path, name: str, steps: Sequence[str]) -> list[str]:
    return ["tests.fault.workload", name, str(root / "journal"), *steps]


def lines_of(operations: list[Operation]) -> list[str]:
    """The lines that were told."""
    told = [one.data.decode() for one in operations if one.name == "tell"]
    return "".join(told).splitlines()


def _at_home(operation: Operation, root: str) -> Operation:
    def moved(path: str) -> str:
        return HOME + path.removeprefix(root) if path else ""

    return operation._replace(path=moved(operation.path), target=moved(operation.target))


def disk_of(tree: Tree) -> CrashableDisk:
    """A disk in memory that holds just these files, durably."""
    disk = CrashableDisk()
    disk.make_directories(HOME)
    for path, content in tree.items():
        parent = disk.find(os.path.dirname(path))
        assert isinstance(parent, DirectoryNode)
        name = os.path.basename(path)
        if content is None:
            parent.entries[name] = disk.new_directory(0o700)
        else:
            node = disk.new_file(0o600)
            node.cached, node.durable = bytearray(content), bytearray(content)
            node.durable_size = len(content)
            node.links = 1
            parent.entries[name] = node
        parent.durable = dict(parent.entries)
    return disk


def judge(tree: Tree, told: Told, *, is_tended: bool) -> None:
    """Open what a power cut has left, append, look up and compare; raises what is wrong."""
    disk = disk_of(tree)
    rng = random.Random(1)
    for serial in range(2 if is_tended else 1):
        effects = Effects(
            CrashableFiles(disk),
            clock=lambda: 1 << 51,
            random_bytes=rng.randbytes,
            reserve_bytes=2048,
        )
        with Journal(effects, f"{HOME}/journal", Settings(), new_parents_max=1) as journal:
            count = told.check(journal)
            journal.append(records_of("judge", serial, 2))
            check_lookups(journal)
            told.take(f"try judge {serial} 2")
            if told.check(journal) != count + 1:
                raise ViolationError("what was appended afterwards is not there")
        if is_tended:
            background.seal(f"{HOME}/journal", effects=effects)
            background.cool(f"{HOME}/journal", older_than_hours=-1, effects=effects)


class Sample:
    """Some of the states that were met, each equally likely to be kept."""

    def __init__(self, size: int, rng: random.Random) -> None:
        """Keep ``size`` of them."""
        self.kept: list[Traced] = []
        self._size = size
        self._met = 0
        self._rng = rng

    def meet(self, tree: Tree, told: list[str]) -> None:
        """Keep this state, or not."""
        self._met += 1
        if len(self.kept) < self._size:
            self.kept.append(Traced(tree, [], tuple(told)))
        elif (at := self._rng.randrange(self._met)) < self._size:
            self.kept[at] = Traced(tree, [], tuple(told))


def enumerate_act(
    name: str, run: Traced, limit: int, figures: Figures, sample: Sample | None = None
) -> None:
    """Judge all disks at all places of a trace, ``limit`` at most at each."""
    rng = random.Random(f"{name} {limit}")
    disk = Disk()
    disk.plant(HOME, run.before)
    told = list(run.told)
    seen: set[bytes] = set()
    for order, operation in enumerate([Operation("tell"), *run.operations]):
        if operation.name == "tell":
            told += operation.data.decode().splitlines()
        else:
            disk.apply(operation, order - 1)
        figures.add(places=1)
        for tree in disk.states(limit, rng):
            key = digest(tree, told)
            if key in seen:
                continue
            seen.add(key)
            figures.trials += 1
            if sample is not None:
                sample.meet(tree, told)
            try:
                judge(tree, Told(told), is_tended=len(seen) % _TENDED_EVERY == 0)
            except Exception as error:
                error.add_note(f"act {name!r}, behind operation {order} {operation[:4]}")
                raise


def varied(act: Act, rng: random.Random) -> Act:
    """The same act with commits of other sizes."""

    def vary(step: str) -> str:
        if step == "batch":
            return f"batch:{rng.randint(1, 5)}:{rng.choice((0, 30, 200, 900))}"
        if step == "append":
            return f"append:{rng.choice((0, 30, 200, 900, 2_500))}"
        return f"large:{rng.randint(1_000, 12_000)}" if step == "large" else step

    before, steps = (tuple(map(vary, each)) for each in (act.before, act.steps))
    return act._replace(before=before, steps=steps)


def enumerate_recoveries(sample: Sample, scratch: Path, limit: int, figures: Figures) -> None:
    """Trace the opening of sampled states in a real process, and enumerate it in turn."""
    for number, planted in enumerate(sample.kept):
        act = Act(f"recover {number}", (), ("append", "append"))
        enumerate_act(act.name, trace_act(act, scratch, planted), limit, figures)


def digest(tree: Tree, told: list[str]) -> bytes:
    """Tells states apart: what is on disk and what was acknowledged."""
    state = hashlib.blake2b(digest_size=16)
    for path, content in tree.items():
        state.update(path.encode() + b"\0")
        state.update(hashlib.blake2b(content or b"", digest_size=16).digest())
    state.update(str(sum(line.startswith("ok") for line in told)).encode())
    return state.digest()
