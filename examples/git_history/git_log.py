r"""Read commits from ``git log --numstat -z``.

With ``-z`` nothing is quoted, and NUL ends every item, so a path may hold any other byte, a tab or
a newline included. One commit is the tokens

    \x01<hash>  <author time>  <author>                  three, from HEADER_FORMAT
    [\\n]<added> TAB <removed> TAB <path>                 for a changed file, or
    [\\n]<added> TAB <removed> TAB  <old path>  <path>    for a renamed one: an empty path, then two

where ``-`` stands for both counts of a binary file, and git puts the newline before the first
change of a commit. A header is told from a change by its first byte; paths are never looked at for
that, because their number is known.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from examples.git_history.commits import Commit, FileChange, author_time

HEADER_MARK = b"\x01"
HEADER_FORMAT = "tformat:%x01%H%x00%at%x00%aN"
READ_BYTES = 1 << 16


class GitLogError(Exception):
    """The repository cannot be read; the message says why, in git's words where it has some."""


class RepositoryFacts(NamedTuple):
    """What decides whether a repository's history is worth importing."""

    commit_count: int
    is_shallow: bool
    is_partial: bool


def repository_facts(repository: Path) -> RepositoryFacts:
    """Return the facts; raises GitLogError if this is not a repository or has no commit yet."""
    is_shallow = _git(repository, "rev-parse", "--is-shallow-repository").strip() == b"true"
    promisors = _git(repository, "config", "--list", "--name-only", "-z").split(b"\0")
    return RepositoryFacts(
        commit_count=int(_git(repository, "rev-list", "--count", "--no-merges", "HEAD", "--")),
        is_shallow=is_shallow,
        is_partial=any(n.startswith(b"remote.") and n.endswith(b".promisor") for n in promisors),
    )


def read_commits(repository: Path, *, count_max: int) -> Iterator[Commit]:
    """Yield the newest `count_max` commits without merges, oldest first, as git finds them."""
    arguments = [
        *("log", "-z", "--numstat", "--reverse", "--no-merges", "--find-renames", "--no-color"),
        *("--no-ext-diff", "--no-textconv", "--no-show-signature", "--encoding=UTF-8"),
        *(f"--max-count={count_max}", f"--format={HEADER_FORMAT}", "HEAD", "--"),
    ]
    with subprocess.Popen(
        _command(repository, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        stdout = process.stdout
        try:
            yield from parse_log(iter(lambda: stdout.read(READ_BYTES), b""))
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise GitLogError(f"git log ended with status {process.returncode} in {repository}")


def parse_log(pieces: Iterable[bytes]) -> Iterator[Commit]:
    """Yield the commits of a log in pieces cut anywhere; raises GitLogError if it is malformed."""
    tokens = _tokens(pieces)
    token = next(tokens, None)
    while token is not None:
        if not token.startswith(HEADER_MARK):
            raise GitLogError(f"git log: expected the header of a commit, found {token[:80]!r}")
        at, author = _following(tokens), _following(tokens)
        changes: list[FileChange] = []
        commit_hash = token[len(HEADER_MARK) :].decode("ascii")
        for token in tokens:
            if token.startswith(HEADER_MARK):
                break
            changes.append(_parse_change(token, tokens))
        else:
            token = None
        yield Commit(commit_hash, _text(author), author_time(_number(at)), tuple(changes))


def _parse_change(token: bytes, tokens: Iterator[bytes]) -> FileChange:
    fields = token.removeprefix(b"\n").split(b"\t", 2)
    if len(fields) != len(("added", "removed", "path")):
        raise GitLogError(f"git log: expected a changed file, found {token[:80]!r}")
    added, removed, path = fields
    renamed_from = None
    if not path:
        renamed_from = _text(_following(tokens))
        path = _following(tokens)
    return FileChange(_text(path), _line_count(added), _line_count(removed), renamed_from)


def _tokens(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *complete, rest = (rest + piece).split(b"\0")
        yield from complete
    if rest:
        raise GitLogError(f"git log: the output ends inside an item, {rest[:80]!r}")


def _following(tokens: Iterator[bytes]) -> bytes:
    token = next(tokens, None)
    if token is None:
        raise GitLogError("git log: the output ends inside a commit")
    return token


def _line_count(field: bytes) -> int | None:
    return None if field == b"-" else _number(field)


def _number(field: bytes) -> int:
    try:
        return int(field)
    except ValueError:
        raise GitLogError(f"git log: expected a number, found {field[:80]!r}") from None


def _text(name: bytes) -> str:
    """Decode a path or a name, with bytes that are not UTF-8, which JSON cannot hold, escaped."""
    return name.decode("utf-8", "backslashreplace")


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            _command(repository, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=_environment(),
        )
    except OSError as error:
        raise GitLogError(f"git cannot be started: {error}") from error
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = words[0].removeprefix("fatal: ") if words else f"git {arguments[0]} failed"
        raise GitLogError(reason)
    return done.stdout


def _command(repository: Path, *arguments: str) -> list[str]:
    # With diff.relative set, git would leave out every file outside of the current directory.
    return ["git", "-C", str(repository), "-c", "diff.relative=false", *arguments]


def _environment() -> dict[str, str]:
    """Return the environment without what would point git elsewhere, as inside a git hook."""
    elsewhere = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE"}
    kept = {key: value for key, value in os.environ.items() if key not in elsewhere}
    return kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
