"""``python -m tests.packaging.floors``: the lowest allowed version of each dependency.

One line for each, as pip's option ``--constraint`` reads it. For plain Python: it runs before
anything is installed (``make test-floor``).
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"
EXTRAS = ("cli", "otel", "zstd")  # those of users; tools of developers have no reason to be old
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<floor>[0-9.]+)(?:,<[0-9.]+)?")


def floors() -> dict[str, str]:
    """Floor by name; fails for a requirement that has none."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    found = {}
    for requirement in wanted:
        match = _REQUIREMENT.fullmatch(requirement)
        assert match, f"{requirement}: expected name>=version"
        found[match["name"]] = match["floor"]
    return found


if __name__ == "__main__":
    for name, floor in floors().items():
        print(f"{name}=={floor}")  # noqa: T201 - read by make
