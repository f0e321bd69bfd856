"""Reading commits: the parser, real repositories with odd contents, and the recorded sample."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.git_history.commits import Commit, FileChange, author_time
from examples.git_history.git_log import GitLogError, parse_log, read_commits, repository_facts
from examples.git_history.source import SAMPLE_PATH, choose_source, read_sample

HEADER = b"\x01c0ffee\x00100\x00Ann\x00"
TWO_COMMITS = (
    HEADER
    + b"\n4\t0\ta b.txt\x00-\t-\tpicture\x00"
    + b"\x01decade\x00200\x00Bob\x00"
    + b"\n0\t1\t\x00a b.txt\x00tab\tnew\nline\x00"
)
TWO_COMMITS_PARSED = [
    Commit(
        "c0ffee",
        "Ann",
        author_time(100),
        (FileChange("a b.txt", 4, 0), FileChange("picture", None, None)),
    ),
    Commit("decade", "Bob", author_time(200), (FileChange("tab\tnew\nline", 0, 1, "a b.txt"),)),
]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that runs git in a new repository at `tmp_path`."""
    for variable, value in {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_DATE": "@86400 +0500",
        **{f"GIT_{who}_NAME": "Ænn [bot]" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "ann@example.org" for who in ("AUTHOR", "COMMITTER")},
    }.items():
        monkeypatch.setenv(variable, value)

    def run(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    run("init", "--quiet")
    return run


def test_a_log_is_parsed_whole_and_byte_by_byte() -> None:
    """The parser gives the same commits, however the bytes arrive."""
    single_bytes = [TWO_COMMITS[i : i + 1] for i in range(len(TWO_COMMITS))]

    assert list(parse_log([TWO_COMMITS])) == TWO_COMMITS_PARSED
    assert list(parse_log(single_bytes)) == TWO_COMMITS_PARSED


def test_an_empty_log_has_no_commits() -> None:
    """No bytes are no commits, and a commit may have no changes."""
    assert list(parse_log([])) == []
    assert [commit.changes for commit in parse_log([HEADER])] == [()]


@pytest.mark.parametrize("length", [1, len(HEADER) - 1, len(HEADER) + 3, len(TWO_COMMITS) - 2])
def test_a_cut_log_is_refused(length: int) -> None:
    """A log that ends inside an item is an error, and not a shorter history."""
    with pytest.raises(GitLogError, match="ends inside an item"):
        list(parse_log([TWO_COMMITS[:length]]))


@pytest.mark.parametrize(
    "log",
    [
        b"\n1\t2\tpath\x00",
        b"\x01c0ffee\x00",
        b"\x01c0ffee\x00noon\x00Ann\x00",
        HEADER + b"\nwords\x00",
        HEADER + b"\nx\t2\tpath\x00",
        HEADER + b"\n0\t0\t\x00old\x00",
    ],
)
def test_a_malformed_log_is_refused(log: bytes) -> None:
    """Whatever is not as git writes it raises GitLogError and nothing else."""
    with pytest.raises(GitLogError):
        list(parse_log([log]))


def test_author_times_outside_of_datetime_are_moved_to_its_edges() -> None:
    """A clock that was centuries off does not stop the import."""
    assert author_time(-1) == datetime(1970, 1, 1, tzinfo=UTC)
    assert author_time(1 << 62).year == 9999


def test_a_real_repository_with_odd_names_is_read(tmp_path: Path, git: Callable[..., None]) -> None:
    """Renames, binary files, empty commits and names with any bytes come out as they are."""
    (tmp_path / "a b.txt").write_text("1\n2\n3\n")
    (tmp_path / "picture").write_bytes(b"\x00\x01")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    git("mv", "a b.txt", "tab\tnew\nline.txt")
    git("commit", "--quiet", "-m", "two")
    git("commit", "--quiet", "--allow-empty", "-m", "three")
    (tmp_path / "\x01start").write_text("1\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "four")

    commits = list(read_commits(tmp_path, count_max=100))

    assert [commit.changes for commit in commits] == [
        (FileChange("a b.txt", 3, 0), FileChange("picture", None, None)),
        (FileChange("tab\tnew\nline.txt", 0, 0, "a b.txt"),),
        (),
        (FileChange("\x01start", 1, 0),),
    ]
    assert {commit.author for commit in commits} == {"Ænn [bot]"}
    assert {commit.at for commit in commits} == {author_time(86400)}
    assert list(read_commits(tmp_path, count_max=2)) == commits[2:]
    assert repository_facts(tmp_path) == (4, False, False)


def test_bytes_that_are_not_utf_8_are_escaped() -> None:
    """A path in another encoding becomes text that JSON can hold."""
    (commit,) = parse_log([HEADER + b"\n1\t0\tcaf\xe9\x00"])

    assert commit.changes == (FileChange("caf\\xe9", 1, 0),)


def test_a_repository_with_enough_history_is_imported(
    tmp_path: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real history is preferred, its newest part if there is more than asked for."""
    monkeypatch.setattr("examples.git_history.source.COMMIT_COUNT_MIN", 2)
    for message in ("one", "two", "three"):
        git("commit", "--quiet", "--allow-empty", "-m", message)

    source = choose_source(tmp_path, commit_count_max=2)

    assert source.notice is None
    assert source.commit_count == len(list(source.commits)) == 2
    assert "the newest 2 of 3" in source.title


def test_a_short_history_is_replaced_by_the_sample(
    tmp_path: Path, git: Callable[..., None]
) -> None:
    """Three commits show nothing: the sample is taken, and the notice says why."""
    git("commit", "--quiet", "--allow-empty", "-m", "one")

    source = choose_source(tmp_path, commit_count_max=10)

    assert source.notice is not None
    assert "has only 1 commits" in source.notice
    assert source.commit_count == len(list(source.commits)) == 10


def test_a_shallow_clone_is_replaced_by_the_sample(
    tmp_path: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shallow clone's first commit would seem to have added every file."""
    monkeypatch.setattr("examples.git_history.source.COMMIT_COUNT_MIN", 1)
    git("commit", "--quiet", "--allow-empty", "-m", "one")
    git("commit", "--quiet", "--allow-empty", "-m", "two")
    git("clone", "--quiet", "--depth=1", tmp_path.as_uri(), "clone")

    source = choose_source(tmp_path / "clone", commit_count_max=10)

    assert source.notice is not None
    assert "shallow clone" in source.notice


def test_what_is_no_repository_is_replaced_by_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No repository, no directory and no git at all lead to the sample alike."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    notices = [choose_source(tmp_path, commit_count_max=1).notice]
    notices.append(choose_source(tmp_path / "missing", commit_count_max=1).notice)
    monkeypatch.setenv("PATH", str(tmp_path))
    notices.append(choose_source(tmp_path, commit_count_max=1).notice)

    assert all(notice is not None and "recorded sample" in notice for notice in notices)


def test_the_sample_is_what_its_readme_says() -> None:
    """The recorded sample is small, and its numbers are those of examples/data/README.md."""
    commits = list(read_sample())
    paths = [change.path for commit in commits for change in commit.changes]
    readme = (SAMPLE_PATH.parent / "README.md").read_text(encoding="utf-8")

    assert SAMPLE_PATH.stat().st_size < 150_000
    assert f"{len(commits):,} commits, {len(paths):,} changes of {len(set(paths))} files" in readme
