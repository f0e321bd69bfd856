"""What ``doctor`` has to say: one observation each, and what to do about it."""

from __future__ import annotations

import shlex
from typing import Literal

import msgspec

Severity = Literal["note", "warning", "error"]
NOTE: Severity = "note"  # worth knowing
WARNING: Severity = "warning"  # it works, and somebody will be sorry
ERROR: Severity = "error"  # it does not work, or loses something


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One observation."""

    kind: str  # a stable code
    severity: Severity  # ``note``, ``warning`` or ``error``
    where: str  # a path, a key of the environment, an application, a package
    found: str  # what was seen
    cure: str  # what to do; commands in backticks


def command(name: str, path: str, *options: str) -> str:
    """A command line of ours, in backticks."""
    return f"`aurora-es {' '.join([name, shlex.quote(path), *options])}`"
