"""Which test or harness holds each rule and each experiment: the tables of docs/reliability.md.

A name is a path below tests/, with ``::`` and the beginning of a test's name where a file holds
several. ``test_page`` checks that all of them exist, and the mutants, too.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """A rule, the tests that fail when it is broken, and the mutants that were broken to see it."""

    says: str
    tests: tuple[str, ...]
    mutants: tuple[str, ...]


_MUTANTS = "crash/mutants.py"
_RULE_MUTANTS = "crash/test_mutants.py::test_every_mutant"
_SCENES = "crash/test_every_operation.py"
_STATES = "fault/test_crash_states.py"
_INJECTION = "fault/test_injection.py"
RULES = (
    Rule(
        "A frame's checksum covers its header, length included; zeros are no header; each segment has a"
        " salt of its own",
        (
            "format/test_frame.py::test_any_flipped_bit",
            "format/test_frame.py::test_zeros",
            _MUTANTS,
        ),
        (
            "the header checksum leaves out the length",
            "the payload checksum is not looked at",
            "the chain of checksums is not looked at",
        ),
    ),
    Rule(
        "Torn is told from corrupt by the mark, by `synced_to` and by the next segment",
        ("crash/test_histories.py", "journal/test_corruption.py::test_a_hole", "crash/test_rot.py"),
        (
            "any valid frame behind a hole is corruption",
            "acknowledged bytes may be cut",
            "synced_to is the frame's own end",
        ),
    ),
    Rule(
        "The mark has two slots with checksums, and is synced at roll, recovery, close and once a"
        " second",
        (
            "journal/test_mark_file.py",
            "crash/test_mark_on_disk.py",
            "journal/test_sync_modes.py::test_the_mark_is_synced",
            _RULE_MUTANTS,
        ),
        (
            "both slots in one place",
            "the mark is not synced by recovery",
            "the mark is not synced at a roll",
            "the mark is not synced at closing",
            "the mark is not synced once a second",
            "the mark's reader may go back",
        ),
    ),
    Rule(
        "Recovery keeps what it cuts, cuts, and syncs before anything is appended",
        (
            _SCENES,
            "journal/test_corruption.py::test_recovery_keeps",
            _STATES,
            "journal/test_failing_storage.py::test_a_medium",
        ),
        (
            "recovery does not cut",
            "recovery does not sync",
            "no look at the bytes ahead",
        ),
    ),
    Rule(
        "A failed sync is final for its handle and never tried again",
        (_INJECTION, "journal/test_failing_storage.py::test_a_failed_sync_makes", _MUTANTS),
        (
            "a failed sync is tried again",
            "a failed sync does not poison",
        ),
    ),
    Rule(
        "After a failed sync the cache lies: recovery writes the bytes again",
        ("journal/test_failing_storage.py::test_recovery_writes_again", "crash/test_histories.py"),
        (
            "recovery does not write again",
            "complete commits are dropped, not adopted",
        ),
    ),
    Rule(
        "Under `always` nobody sees what is not durable; a history that lost visible commits has a new"
        " epoch",
        ("journal/test_sync_modes.py::test_always_never_shows", "crash/test_histories.py"),
        (
            "published before the sync",
            "the epoch stays though visible commits are gone",
        ),
    ),
    Rule(
        "Directories are synced behind every name that comes, goes or changes",
        (_STATES + "::test_a_missing_sync", "crash/test_crashable.py::test_a_name", _MUTANTS),
        (
            "the directory is not synced at a roll",
            "the directory is not synced at opening",
            "new parents are not synced",
        ),
    ),
    Rule(
        "A roll can be cut off anywhere and is finished by whoever comes next",
        (_SCENES, _STATES, "journal/test_roll.py"),
        (
            "the old segment is not synced at a roll",
            "the new segment is not synced",
            "the mark moves behind the end frame at once",
            "the successor's header is not compared",
            "segments are named by their position only",
        ),
    ),
    Rule(
        "Zeros that were filled in ahead mean the end only in the tail",
        ("journal/test_corruption.py::test_a_hole_of_zeros", "segment/test_walk.py"),
        (
            "zeros are the end anywhere",
            "the old segment keeps its slack",
        ),
    ),
    Rule(
        "A short write or a full disk leaves nothing of the commit, and the handle usable",
        ("fault/test_full_disk.py", "fault/test_torn_writes.py", _INJECTION),
        (
            "a failed write is not cut back",
            "cutting back is not synced",
        ),
    ),
    Rule(
        "An interrupt at any moment leaves no ghost: the outcome is resolved under the lock",
        ("journal/test_interrupts.py", "journal/test_every_call_fails.py", "fault/test_signals.py"),
        (
            "an interrupt leaks the lock",
            "an interrupted group is queued again though it may be written",
            "an unresolved commit is answered with a wrong position",
        ),
    ),
    Rule(
        "Locks: own descriptors, a thread lock, nothing unlocked by a fork's child, nothing stolen",
        (
            "face/test_fork.py",
            "journal/test_handle_life.py::test_a_fork",
            "journal/test_handle_life.py::test_a_lock_file",
            "journal/test_group_commit.py::test_the_thread_lock",
            "fault/test_paused.py",
            _RULE_MUTANTS,
        ),
        (
            "no lock",
            "a fork's child drops its parent's lock",
            "a fork's child goes on with the handle of its parent",
            "a lock file that was made anew is not noticed",
            "threads of one handle do not exclude each other",
        ),
    ),
    Rule(
        "Network file systems are refused",
        (
            "journal/test_refusals.py::test_a_network_file_system_is_refused",
            "files/test_mounts.py",
        ),
        ("a journal on a network file system is opened",),
    ),
    Rule(
        "No module of the package maps a file: a bad sector is an error, and no signal",
        ("fault/test_page.py::test_nothing",),
        ("a module maps files",),
    ),
    Rule(
        "A file that is gone is moved, truncated by retention, or missing: three answers",
        ("journal/test_behind.py", "journal/test_retention.py"),
        (
            "who is behind does not look at the manifest",
            "what retention dropped is told as lost",
            "what is lost is told as dropped by retention",
        ),
    ),
    Rule(
        "Index files are caches: damaged, stale or foreign ones are built anew, and never believed",
        ("journal/test_index_damage.py", "index/test_run_damage.py", "fault/test_caches.py"),
        (
            "the index is trusted without a look at the record",
            "a run's source digest is not compared",
            "a table's segment is not compared",
        ),
    ),
    Rule(
        "Unknown versions and flags are refused, unknown files reported, and nothing is changed",
        (
            "journal/test_refusals.py",
            "fault/test_hostile_directories.py",
            "fault/test_hostile_trees.py",
        ),
        (
            "a segment of an unknown version is read",
            "any directory of ten digits is taken for a left-over copy",
        ),
    ),
    Rule(
        "A backup is consistent, and a restored copy has a new epoch",
        ("care/test_backup.py", "care/test_backup_under_load.py", "care/test_restore.py"),
        (
            "a backup reads marks without holding the append locks",
            "a restore keeps the epoch",
        ),
    ),
    Rule(
        "No waiter is acknowledged whose bytes came after the sync began",
        ("journal/test_group_commit.py::test_a_sync_acknowledges_nobody", _STATES, _RULE_MUTANTS),
        ("a sync acknowledges those who came while it ran",),
    ),
)


class Experiment(NamedTuple):
    """An experiment: what is done, by what."""

    key: str
    title: str
    planned: str  # trials
    text: str
    tests: tuple[str, ...]


EXPERIMENTS = (
    Experiment(
        "E1",
        "Kill -9",
        "10,000 kills",
        "Writers append and roll in processes of their own, and are killed at random moments, one or all"
        " of them. After each kill a new process opens, appends and reads everything: no acknowledged"
        " commit is missing, none is there in part, no position is left out. A kill cannot show a missing"
        " sync, since the page cache survives it.",
        ("processes/test_kills.py", "processes/test_tending.py"),
    ),
    Experiment(
        "E2",
        "Every disk that a power cut may leave",
        "100,000 disks",
        "A real process runs under `strace`. From what the kernel was asked to do (`pwrite64`, `fsync`,"
        " `link`, ...) and from nothing else, the disks are built that a power cut may leave at each place:"
        " every unsynced piece of 64 bytes of a write, cut, size and name is kept or dropped on its own, in"
        " all combinations where they are few. Each disk is opened by the real code, appended to, looked up"
        " and compared with what had been acknowledged at that place. *Distinct* disks are counted. The"
        " same is done for processes that recover such disks.",
        (_STATES,),
    ),
    Experiment(
        "E3",
        "Block devices replayed through the file system's own recovery",
        "5,000 images of ext4, 1,000 of XFS",
        "A file system on a device that records every block written and every flush. At a random place the"
        " power goes: all blocks before the last flush are kept, of the others each sector or not (the"
        " superblock whole or not). The image is mounted by the kernel, which replays its journal, and then"
        " opened by us. Sectors have 512 bytes on ext4 and 4096 on XFS, which refuses to mount if a block"
        " of its own metadata is torn behind its first 512 bytes: one of about 800 images was such.",
        ("fault/test_block_replay.py",),
    ),
    Experiment(
        "E4",
        "Power cuts by shutting the file system down",
        "500 power cuts",
        "Four processes append and two follow on a file system that is shut down under them by its ioctl,"
        " without the log being written. It is mounted again and everything compared with what had been"
        " acknowledged and followed before.",
        ("fault/test_power_cuts.py",),
    ),
    Experiment(
        "E5",
        "Every call fails, or is the last",
        "every call",
        "`strace` lets the first call of a kind fail, then the second, and so on through the whole life of a"
        " journal; or kills the process at it. A library that is loaded before others tears writes and"
        " makes them short. libfiu lets any number of calls of one life fail, with any error. In memory, the"
        " short form cuts the power at every file operation of append, group, roll, close, recovery, seal,"
        " merge, cool and clearing, and kills at each of those without sealed segments. Each operation of each"
        " recovery, of half a write, a whole one and a roll, fails, finds no room and is interrupted, and"
        " whoever comes next recovers. Errors and interrupts elsewhere are samples there, and all in the"
        " long form; of third faults, in the recovery behind a struck one, both try samples.",
        (
            _INJECTION,
            "fault/test_torn_writes.py",
            "fault/test_random_faults.py",
            "journal/test_every_call_fails.py",
            "crash/test_every_operation.py::test_a_recovery",
        ),
    ),
    Experiment(
        "E6",
        "Full disks",
        "every size",
        "A whole life of a journal on file systems of every size, and under every limit of the size of a"
        " file.",
        ("fault/test_full_disk.py",),
    ),
    Experiment(
        "E7",
        "Rot",
        "every bit",
        "Each bit of a small journal is flipped, one after the other, and the journal opened and read from"
        " the beginning. *Detected*: refused with a typed error. *Harmless*: everything is there as it was"
        " appended. *Silent* would be anything else. The short form does so for every bit and every size of"
        " segments and of the mark's slots of a smallest journal; of manifest, runs and tables for every"
        " bit and size on what reads the one file, and for a sample (a bit of 16 bytes) on the whole"
        " journal. `tests/journal/test_corruption.py` cuts files on a real disk to a sample of sizes, every"
        " fifth of small ones and every 64th. The long form tries every bit of a larger journal. Frames"
        " that only a repair writes are in neither.",
        (
            "fault/test_bits.py",
            "crash/test_rot.py",
            "journal/test_corruption.py",
            "care/test_each_byte.py",
        ),
    ),
    Experiment(
        "E8",
        "Contention",
        "1,000,000 inserts",
        "Eight processes of four threads each append the next version of the same few originators,"
        " optimistically. Every version has one winner, every position one record, and two followers saw"
        " the same order.",
        ("processes/test_contention.py", "fault/test_interleavings.py"),
    ),
    Experiment(
        "E9",
        "Followers",
        "none skipped, none repeated",
        "Processes follow a journal while it rolls, is sealed, merged, cooled and cleared, while writers are"
        " killed and clocks jump. Nothing is skipped and nothing comes twice.",
        ("fault/test_followers.py", "face/test_subscriptions_processes.py"),
    ),
    Experiment(
        "E10",
        "Signals, forks and cancellation",
        "10,000 interrupts",
        "Signals whose handlers raise land anywhere in an append, processes fork beside busy threads, and"
        " holders of the lock are stopped. Tasks of asyncio and of uvloop that send, receive, take, follow"
        " and append are cancelled at drawn moments; only cancellations that ended a task are counted.",
        (
            "fault/test_signals.py",
            "face/test_fork.py",
            "fault/test_paused.py",
            "queue/test_cancellations.py",
            "face/test_subscription_cancellations.py",
        ),
    ),
    Experiment(
        "E11",
        "Damaged caches",
        "no wrong answer",
        "Index runs and tables of frames are deleted, cut, garbled, swapped and replaced by those of another"
        " journal; then everything is asked again.",
        ("fault/test_caches.py", "journal/test_index_damage.py", "index/test_run_damage.py"),
    ),
    Experiment(
        "E12",
        "Hostile bytes",
        "10,000,000 of each parser",
        "Every parser gets bytes that were made up at random, with valid checksums where those would stop it"
        " too early, and those that atheris makes up, led by the lines they reach. *Parser of ...* drives"
        " one parser with the bytes alone, as its readers call it; MessagePack and JSON are decoded by"
        " compiled code, whose lines lead nobody. The other targets open a whole"
        " journal with the bytes in it, which takes milliseconds: what fitted into two minutes of a busy"
        " machine is below, far from what was planned. *Trees* are whole directories in which files were"
        " edited, cut, blown up, swapped, joined, removed and replaced by links, FIFOs and directories:"
        " they are checked, backed up, restored and repaired: each single change of each file, and drawn"
        " ones. The process that drove the parser of runs grew by 290 bytes an execution of blocks under"
        " atheris; without it half a million of the same leave nothing, and a test bounds what they take."
        " The runs"
        " found, among others, a manifest with numbers of more than 32 bits, times behind the year 9999, and"
        " a line of JSON whose part led out of the target; these stay as tests. No crash, no other error"
        " than the documented ones, no memory beyond the limits.",
        (
            "fault/test_hostile_bytes.py",
            "fault/test_hostile_trees.py",
            "fault/fuzz.py",
            "segment/test_compressed_payloads.py",
        ),
    ),
    Experiment(
        "E15",
        "Syncs for a commit",
        "all",
        "`strace` counts the syncs of a process that appends one event at a time, and those of SQLite with"
        " `synchronous=FULL` doing the same.",
        ("fault/test_syncs.py",),
    ),
)


class Tool(NamedTuple):
    """A tool, what it is used for, and where; without tests, why it is not used."""

    name: str
    use: str
    tests: tuple[str, ...]


TOOLS = (
    Tool(
        "`strace -e inject`",
        "errors and `SIGKILL` at the n-th call of a real process",
        (_INJECTION,),
    ),
    Tool(
        "`strace` as a recorder",
        "every disk that a power cut may leave, from the calls alone; syncs counted",
        (_STATES, "fault/test_syncs.py"),
    ),
    Tool(
        "`LD_PRELOAD`",
        "writes that are really short, or torn by the death of the process",
        ("fault/test_torn_writes.py",),
    ),
    Tool(
        "libfiu (`fiu-run`)",
        "many faults of any kind in one life; the test is skipped where it is not installed",
        ("fault/test_random_faults.py",),
    ),
    Tool(
        "small tmpfs and ext4, `ulimit -f`",
        "disks and limits of every size (root and loop devices)",
        ("fault/test_full_disk.py",),
    ),
    Tool(
        "`kill -9`", "writers and workers that die at drawn moments", ("processes/test_kills.py",)
    ),
    Tool(
        "a block device of ours, by FUSE",
        "blocks and flushes recorded, replayed through ext4 and XFS (root)",
        ("fault/test_block_replay.py",),
    ),
    Tool(
        "the shutdown ioctl of ext4 and XFS",
        "power cuts under running processes (root)",
        ("fault/test_power_cuts.py",),
    ),
    Tool(
        "faketime",
        "not used: the clock is one of the effects that are given to a journal, so tests let it jump"
        " without a library between the process and its clock",
        ("fault/test_followers.py::test_clocks",),
    ),
    Tool(
        "Hypothesis state machines over files in memory",
        "histories on a disk that loses what was not synced; recorders, views, DCB and queues against"
        " plain models",
        ("crash/test_histories.py", "face/test_recorders_model.py", "queue/test_queue_model.py"),
    ),
    Tool(
        "atheris (libFuzzer)",
        "coverage-guided bytes for every parser; in the extra `fuzz`, since it has no wheels for all"
        " versions of Python",
        ("fault/fuzz.py",),
    ),
    Tool(
        "a scheduler at the file layer",
        "two writers, a reader and a worker interleaved, with switches and deaths at chosen calls",
        ("fault/test_interleavings.py",),
    ),
    Tool(
        "a machine that loses its power",
        "not to be had: what a drive's own cache does with a flush is out of reach here, see"
        " [assumptions](internals/assumptions.md)",
        (),
    ),
)
