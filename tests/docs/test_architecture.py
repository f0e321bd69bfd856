"""docs/internals/architecture.md says what each file of the package is for."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "internals" / "architecture.md"


def test_every_file_is_named() -> None:
    """The page names every module of the package, and none that is not there."""
    named = {Path(name).name for name in re.findall(r"`([\w/]+\.py)`", PAGE.read_text("utf-8"))}
    found = {path.name for path in (ROOT / "aurora_es").rglob("*.py")}
    found -= {"__init__.py", "__main__.py"}
    found.add("aurora_es_command.py")  # beside it
    assert named - {"test_layers.py"} == found
