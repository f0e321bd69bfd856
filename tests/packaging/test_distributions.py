"""What is built can be installed, and brings what it should and nothing else.

The quick tests build without network and install without dependencies; the slow one installs as a
user does, into an environment that has nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from aurora_es import __path__ as package_path
from tests.test_docs import parse

ROOT = Path(__file__).parent.parent.parent
BUILD_SECONDS_MAX = 100
INSTALL_SECONDS_MAX = 600


def run(command: list[str], directory: Path, **environment: str) -> str:
    """Run a command in ``directory`` with nothing of this environment's Python; its output."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    finished = subprocess.run(
        command,
        cwd=directory,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS_MAX,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with wheel and sdist, built by the backend that pyproject.toml names."""
    directory = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-d", str(directory)], ROOT)
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    (found,) = built.glob("*.whl")
    assert found.name == "aurora_es-0.1.0-py3-none-any.whl"
    return found


def first_example() -> str:
    """The first block of the README."""
    block = parse((ROOT / "README.md").read_text("utf-8")).blocks[0]
    assert block.is_executed
    return "\n".join(block.lines)


def test_the_wheel_has_the_package_and_its_papers(wheel: Path) -> None:
    """Every file of the package, the type marker, the licence, the command, the plugin; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        information = "aurora_es-0.1.0.dist-info"
        entry_points = archive.read(f"{information}/entry_points.txt").decode()
        metadata = archive.read(f"{information}/METADATA").decode()
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "aurora_es").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    assert {"aurora_es/py.typed", "aurora_es/ui/static/index.html"} <= sources
    assert sources == {name for name in names if name.startswith("aurora_es/")}
    assert f"{information}/licenses/LICENSE" in names
    assert {name.partition("/")[0] for name in names} == {
        "aurora_es",
        "aurora_es_command.py",
        information,
    }
    assert "aurora-es = aurora_es_command:main" in entry_points
    assert "aurora_es = aurora_es.testing.pytest_plugin" in entry_points
    assert "Requires-Python: >=3.11" in metadata
    for extra in ("cli", "otel", "zstd"):
        assert f"Provides-Extra: {extra}\n" in metadata


def test_the_source_archive_can_be_tested_and_built(built: Path, wheel: Path) -> None:
    """It has the tests, the pages and all that a wheel is made from, and makes the same wheel."""
    (archive,) = built.glob("*.tar.gz")
    directory = built / "unpacked"
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    (root,) = directory.iterdir()
    for name in ("LICENSE", "README.md", "pyproject.toml", "tests/test_docs.py", "docs/index.md"):
        assert (root / name).is_file()
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)], root)
    (again,) = directory.glob("*.whl")
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheel) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_the_first_example_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Not from the clone: its own package comes from the wheel, the others from this environment."""
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)  # noqa: S202 - our own
    script = first_example() + "\nimport aurora_es\nprint(aurora_es.__file__)\n"
    printed = run([sys.executable, "-c", script], tmp_path, PYTHONPATH=str(installed))
    assert printed.strip() == str(installed / "aurora_es" / "__init__.py")
    assert str(installed) not in package_path
    assert (tmp_path / "store" / "Bank" / "events").is_dir()


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALL_SECONDS_MAX)
def test_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """``pip install`` of the wheel suffices for the first example; the command asks for its extra."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    command = str(environment / "bin" / "aurora-es")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*install, str(wheel)], tmp_path)
    run([python, "-W", "error", "-c", first_example()], tmp_path)
    refused = subprocess.run([command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert refused.returncode == 1
    assert "pip install 'aurora-es[cli]'" in refused.stderr
    run([*install, f"{wheel}[cli,otel,zstd]"], tmp_path)
    assert "Bank/events" in run([command, "info", "store"], tmp_path)
    run([python, "-c", "from aurora_es.metrics import *; register_instruments()"], tmp_path)
