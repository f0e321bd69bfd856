"""Starts background runs as processes of their own, which nobody waits for.

Theory of operation: ``posix_spawn`` of a new interpreter, never a fork: a child of a threaded
process may not take locks, and a spawned multiprocessing child would import the user's main module.
The child has a process group of its own, so that Ctrl-C in a terminal does not reach it. One runs
for each journal at a time; finished ones, of any journal, are reaped when the next is started, or by
the system when this process ends: so a process that opens many journals holds few of them. It has no stderr, which would be the user's, and no handlers of the application's
logging; so that it cannot fail again and again unnoticed, whoever reaps it logs how it ended.
"""

from __future__ import annotations

import os
import sys
import threading

from aurora_es.journal.logs import logger

_FALSE = frozenset({"n", "no", "f", "false", "off", "0"})
_running: dict[str, int] = {}  # path of a journal -> process id; changed under the lock
_lock = threading.Lock()


def background_default() -> bool:
    """Whether background runs are wanted, by the environment: ``AURORA_BACKGROUND``."""
    return os.environ.get("AURORA_BACKGROUND", "y").strip().lower() not in _FALSE


def start_background_run(path: str) -> bool:
    """Start a background run on the journal in ``path``; False if one of ours still works on it."""
    with _lock:
        for one in [*_running]:
            if not _is_running(one):
                del _running[one]
        if path in _running or not sys.executable:
            return False
        silent = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
        _running[path] = os.posix_spawn(
            sys.executable,
            # -P: whatever lies in the current directory is not to be imported for ours.
            [sys.executable, "-P", "-m", "aurora_es.journal.background", path],
            {**os.environ, "PYTHONPATH": import_path()},
            file_actions=[silent, (os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)],
            setpgroup=0,
        )
        return True


def import_path() -> str:
    """PYTHONPATH by which a child finds this very package."""
    return os.pathsep.join([import_root(), *filter(None, [os.environ.get("PYTHONPATH")])])


def import_root() -> str:
    """The directory from which this very package is imported."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _is_running(path: str) -> bool:
    try:
        ended, status = os.waitpid(_running[path], os.WNOHANG)
    except ChildProcessError:
        return False  # reaped by somebody else's waitpid(-1)
    if ended and status:
        logger.warning(
            "%s: a background run ended with exit code %d; run aurora-es verify",
            path,
            os.waitstatus_to_exitcode(status),
        )
    return not ended


def _forget_after_fork() -> None:
    global _lock  # noqa: PLW0603 - one table per process
    _lock = threading.Lock()
    _running.clear()  # they are the parent's children


os.register_at_fork(after_in_child=_forget_after_fork)
