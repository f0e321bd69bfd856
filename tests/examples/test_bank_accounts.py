"""The bank-accounts example."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from examples.bank_accounts.__main__ import main
from examples.bank_accounts.application import BankAccounts, InsufficientFundsError

ROOT = Path(__file__).parents[2]


def test_the_example_runs(tmp_path: Path) -> None:
    """Started as its docstring says, it prints the balances that its business leads to."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.bank_accounts"],
        cwd=ROOT,
        env=os.environ | {"AURORA_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "snapshots at versions [50, 100]: 22 of 122 events are replayed" in done.stdout
    assert "At version 61, Alice had 600.00." in done.stdout
    assert "the second copy was refused" in done.stdout
    assert done.stdout.endswith("Alice has 949.50 (version 122).\nBob has 251.50 (version 3).\n")
    assert {path.name for path in (tmp_path / "BankAccounts").iterdir()} == {"events", "snapshots"}


def test_without_a_path_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The temporary store is removed at the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert main() == 0

    assert str(tmp_path) in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_refused_transfer_changes_neither_account(tmp_path: Path) -> None:
    """Not having the money leaves both balances and both versions as they were."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}
    with BankAccounts(env=env) as bank:
        rich_id, poor_id = bank.open_account("Rich"), bank.open_account("Poor")
        bank.deposit(rich_id, Decimal("0.10"))

        with pytest.raises(InsufficientFundsError):
            bank.transfer(source_id=rich_id, target_id=poor_id, amount=Decimal("0.11"))

        assert (bank.account(rich_id).balance, bank.account(rich_id).version) == (
            Decimal("0.10"),
            2,
        )
        assert (bank.account(poor_id).balance, bank.account(poor_id).version) == (Decimal(0), 1)
