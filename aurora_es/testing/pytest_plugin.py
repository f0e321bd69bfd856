"""The pytest plugin: a private store for each test that asks for one.

It is installed with the package, so there is nothing to configure::

    def test_bank(aurora_store):
        with Bank() as bank: ...

"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def aurora_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A store of the test's own, and the settings that lead to it.

    They are in ``os.environ``, where applications and projections find them, and are returned for
    ``env=`` and for other processes. Nothing is synced, and no background process is started.
    Settings of the shell or of a ``.env`` file, prefixed ones too, are away meanwhile: they could
    lead somewhere else. pytest removes the directory some runs later.
    """
    for key in list(os.environ):
        if "AURORA_" in key or key.endswith("PERSISTENCE_MODULE"):
            monkeypatch.delenv(key)
    settings = {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": str(tmp_path / "aurora_store"),
        "AURORA_SYNC": "never",
        "AURORA_BACKGROUND": "n",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    return settings
