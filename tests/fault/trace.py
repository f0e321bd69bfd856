"""Runs a process under strace and reads which files it changed, by which calls, in which order.

Theory of operation: nothing of the package is asked: what is parsed is what the kernel was asked to
do. Calls that failed changed nothing and are left out. A call counts where it returns; a sync covers
what had returned before it *began*. What the process writes to its standard output are the lines of
``told.py``, so that each place in the trace knows what had been acknowledged.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
CALLS = (
    "openat,pwrite64,write,fsync,fdatasync,link,linkat,rename,renameat,renameat2,"
    "unlink,unlinkat,ftruncate,mkdir,mkdirat"
)
_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+).*")
_UNFINISHED = " <unfinished ...>"
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"|<((?:\\x[0-9a-f]{2})*)>')


class Operation(NamedTuple):
    """A call that changed or synced something, or a line that was told.

    ``name`` is create, write, cut, sync, sync_directory, link, rename, unlink, mkdir or tell.
    """

    name: str
    path: str = ""
    target: str = ""
    offset: int = 0
    data: bytes = b""
    began: int = 0  # so many operations had returned when this one was begun


def strace_is_missing() -> str:
    """Why nothing can be traced here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(
        ["strace", "-o", os.devnull, "true"], check=False, capture_output=True, text=True
    )
    return "" if probe.returncode == 0 else f"strace may not trace here: {probe.stderr[-200:]}"


def traced(root: Path, command: Sequence[str], log: Path) -> list[Operation]:
    """Run a Python module with arguments under strace; returns what it did below ``root``."""
    arguments = ["-f", "-y", "-xx", "-s", str(1 << 26), "-e", f"trace={CALLS}", "-o", str(log)]
    subprocess.run(
        ["strace", *arguments, sys.executable, "-m", *command],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with log.open(encoding="ascii") as lines:
        return [*parse(lines, str(root))]


def parse(lines: Iterator[str] | Sequence[str], root: str) -> Iterator[Operation]:
    """Read the lines of a trace; only what lies below ``root`` counts."""
    begun: dict[str, tuple[str, int]] = {}
    count = 0
    for line in lines:
        match = _LINE.match(line)
        assert match is not None, line
        thread, rest = match["thread"], match["rest"]
        began = count
        if rest.endswith(_UNFINISHED):
            begun[thread] = rest.removesuffix(_UNFINISHED), count
            continue
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            first, began = begun.pop(thread)
            rest = first + resumed["rest"]
        call = _CALL.fullmatch(rest)
        if call is None or int(call["result"]) < 0:
            continue
        operation = _operation(call["name"], call["arguments"], int(call["result"]), root)
        if operation is not None:
            yield operation._replace(began=began)
            count += 1


def _operation(name: str, arguments: str, result: int, root: str) -> Operation | None:
    strings = [
        bytes.fromhex((one[1] or one[2] or "").replace("\\x", ""))
        for one in _STRING.finditer(arguments)
    ]
    plain = _STRING.sub("", arguments)
    if name == "write":
        is_told = plain.startswith(("1,", "1 "))
        return Operation("tell", data=strings[-1]) if is_told else None
    paths = [os.fsdecode(one) for one in strings]
    if name in {"pwrite64", "ftruncate", "fsync", "fdatasync"}:
        return _on_descriptor(name, plain, strings, result, root)
    # A path behind a descriptor of its directory: all of ours are absolute.
    named = [path for path in paths if path.startswith(root + "/") or path == root]
    if not named:
        return None
    if name == "openat":
        return Operation("create", named[0]) if "O_CREAT" in plain else None
    word = next(word for word in ("link", "rename", "mkdir") if word in name)
    if name.startswith("unlink"):
        return Operation("unlink", named[0])
    return Operation(word, named[0], named[1] if len(named) > 1 else "")


def _on_descriptor(
    name: str, plain: str, strings: list[bytes], result: int, root: str
) -> Operation | None:
    path = os.fsdecode(strings[0])
    if not path.startswith(root):
        return None
    if name == "pwrite64":
        offset = int(plain.rpartition(",")[2])
        return Operation("write", path, offset=offset, data=strings[1][:result])
    if name == "ftruncate":
        return Operation("cut", path, offset=int(plain.rpartition(",")[2]))
    return Operation("sync", path)
