"""Modules that are imported at their first use, and forks that wait for that.

Theory of operation: Python locks a module while it is imported. A fork in the middle of that, by
another thread, leaves a child in which the module is locked by a thread that does not exist: its
first import there never ends. So whoever imports late holds ``fork_waits`` meanwhile, and a fork
takes it first::

    with fork_waits:
        import ctypes

An import takes milliseconds and waits for no lock of this package, so a fork waits no longer.
"""

from __future__ import annotations

import os
import threading

# Reentrant: an import may collect garbage, whose finalizer may import, too, or fork.
fork_waits = threading.RLock()

os.register_at_fork(
    before=fork_waits.acquire,
    after_in_parent=fork_waits.release,
    after_in_child=fork_waits.release,
)
