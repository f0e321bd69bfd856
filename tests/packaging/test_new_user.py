"""The first hour of a new user, from the wheel alone: install, look, break, mend, restore.

Each step is a command as the pages show it, in an environment that has nothing, with an empty HOME;
of each the test reads what the user needs for the next.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

from tests.packaging.test_distributions import INSTALL_SECONDS_MAX, ROOT, first_example

CODE_DAMAGED = 3
# The README's example, told a second time to have something behind what is going to be damaged.
SECOND = """
with Bank() as bank:
    for owner in ("Bob", "Carol"):
        bank.save(Account(owner))
"""


class User:
    """Somebody with a directory, an empty HOME, and what has been installed so far."""

    def __init__(self, place: Path) -> None:
        """Begin in ``place``, with an environment of Python that has pip and nothing else."""
        self.place = place
        self.home = place / "home"
        self.home.mkdir()
        self._bin = place / "environment" / "bin"
        venv.create(place / "environment", with_pip=True)

    def types(self, *words: str, code: int = 0, within: Path | None = None) -> str:
        """Run a command; its output, errors behind it. It must end with ``code``."""
        system = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("PIP_") or name in {"LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE"}
        }
        done = subprocess.run(
            [str(self._bin / words[0]), *words[1:]],
            cwd=within or self.place,
            env=system | {"HOME": str(self.home), "PATH": f"{self._bin}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS_MAX,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user who has built, or been given, the wheel and the source archive."""
    place = tmp_path_factory.mktemp("user")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(place)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return User(place)


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALL_SECONDS_MAX)
def test_the_first_hour(user: User) -> None:
    """Install, first example, demo, look inside, break a file, verify, repair, restore."""
    (wheel,) = user.place.glob("*.whl")
    user.types("pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[cli,demo]")
    _first_example(user)
    _demo(user)
    originator = _look_inside(user)
    digest = _backup(user)
    segment = _break(user)
    _verify_and_repair(user, segment, originator)
    _restore(user, digest)


def _first_example(user: User) -> None:
    (user.place / "bank.py").write_text(first_example() + SECOND)
    assert user.types("python", "-W", "error", "bank.py") == ""
    assert (user.place / "store" / "Bank" / "events").is_dir()


def _demo(user: User) -> None:
    """The examples are those of the source archive, the package is the installed one."""
    (archive,) = user.place.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        members = [one for one in packed if one.name.partition("/")[2].startswith("examples/")]
        packed.extractall(user.place, members=members, filter="data")
    (unpacked,) = user.place.glob("aurora_es-*/")
    shown = user.types("python", "-m", "examples.git_history", "--limit", "300", within=unpacked)
    assert re.search(r"Follower and writer agree on all [\d,]+ events", shown)
    # What it says to type next works where it was typed.
    told = re.findall(r"^ +\S*aurora-es ((?:info|cat) \S+)$", shown, re.MULTILINE)
    assert len(told) == 2, shown
    for line in told:
        assert user.types("aurora-es", *line.split(), within=unpacked)


def _look_inside(user: User) -> str:
    """Find the first account, as somebody does who knows nothing but the path; returns its id."""
    shown = user.types("aurora-es", "info", "store")
    assert "Bank/events" in shown
    listed = user.types("aurora-es", "streams", "store/Bank").splitlines()
    assert len(listed) == 3
    (line,) = user.types("aurora-es", "grep", "store/Bank", "Alice").splitlines()
    _position, _time, originator, version, topic, _state = line.split("\t")
    assert (version, topic) == ("1", "__main__:Account.Opened")
    assert "Alice" in user.types("aurora-es", "show", "store/Bank", originator)
    return originator


def _backup(user: User) -> str:
    """Back up, and return the digest of what there is."""
    assert "in " in user.types("aurora-es", "backup", "store", "backups", "--verify")
    return _digest(user.types("aurora-es", "verify", "store", "--digest"))


def _digest(shown: str) -> str:
    assert ": whole;" in shown
    (found,) = re.findall(r"digest ([0-9a-f]{64})", shown)
    return str(found)


def _break(user: User) -> Path:
    """Rot where the first account lies: the disk gives back another byte than it was given."""
    (segment,) = (user.place / "store" / "Bank" / "events").glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[data.index(b"Alice")] ^= 1
    segment.write_bytes(data)
    return segment


def _verify_and_repair(user: User, segment: Path, originator: str) -> None:
    """Each command says which one comes next, up to a store that is whole but for what is lost."""
    shown = user.types("aurora-es", "cat", "store/Bank", code=CODE_DAMAGED)
    assert f"corruption in {segment}" in shown
    (told,) = re.findall(r"`aurora-es (verify \S+)`", shown)
    shown = user.types("aurora-es", *told.split(), code=CODE_DAMAGED)
    assert "lost: 1 position: 1\n" in shown
    (told,) = re.findall(r"^next: aurora-es (repair \S+ --dry-run)$", shown, re.MULTILINE)
    user.types("aurora-es", *told.split(), code=CODE_DAMAGED)
    shown = user.types("aurora-es", *told.replace("--dry-run", "--yes").split())
    (kept,) = re.findall(r"^kept as it was: (\S+)$", shown, re.MULTILINE)
    assert Path(kept).is_dir()
    (told,) = re.findall(r"next: aurora-es (verify \S+)$", shown, re.MULTILINE)
    assert ": whole" in user.types("aurora-es", *told.split())
    owners = user.types("aurora-es", "cat", "store/Bank")
    assert "Bob" in owners
    assert "Carol" in owners
    user.types("aurora-es", "show", "store/Bank", originator, code=1)


def _restore(user: User, digest: str) -> None:
    """The backup has what the repair could not bring back; the application goes on with it."""
    user.types("aurora-es", "restore", "backups", "restored")
    assert _digest(user.types("aurora-es", "verify", "restored", "--digest")) == digest
    assert "Alice" in user.types("aurora-es", "cat", "restored/Bank")
    script = (user.place / "bank.py").read_text().replace('"store"', '"restored"')
    (user.place / "again.py").write_text(script)
    user.types("python", "again.py")
    assert len(user.types("aurora-es", "streams", "restored/Bank").splitlines()) == 6
