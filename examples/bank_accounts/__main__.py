"""Run the bank-accounts example: ``python -m examples.bank_accounts``."""

from __future__ import annotations

import os
import sys
import tempfile
from decimal import Decimal
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from examples.bank_accounts.application import BankAccounts, InsufficientFundsError

DEPOSIT_COUNT = 120


def main() -> int:
    """Run the example in AURORA_PATH, or in a temporary directory; returns the exit status."""
    if path := os.environ.get("AURORA_PATH"):
        run(path)
        return 0
    with tempfile.TemporaryDirectory(prefix="bank-accounts-") as path:
        run(path)
    return 0


def run(path: str) -> None:
    """Use the accounts in a store at this path, close it, and look at it once more."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": path}
    print(f"The store is at {path}.")
    with BankAccounts(env=env) as bank:
        alice_id, bob_id = fill_accounts(bank)
        show_conflict(bank, bob_id)
    with BankAccounts(env=env) as bank:
        print("The application was closed and opened again.")
        show_replay(bank, alice_id)
        for account_id in (alice_id, bob_id):
            account = bank.account(account_id)
            print(f"{account.owner} has {account.balance} (version {account.version}).")


def fill_accounts(bank: BankAccounts) -> tuple[UUID, UUID]:
    """Open two accounts, make many deposits, one transfer, and one that is refused."""
    alice_id, bob_id = bank.open_account("Alice"), bank.open_account("Bob")
    for _ in range(DEPOSIT_COUNT):
        bank.deposit(alice_id, Decimal("10.00"))
    print(f"Alice made {DEPOSIT_COUNT} deposits of 10.00.")

    bank.transfer(source_id=alice_id, target_id=bob_id, amount=Decimal("250.50"))
    print("Alice sent 250.50 to Bob: two events, one commit.")
    try:
        bank.transfer(source_id=bob_id, target_id=alice_id, amount=Decimal("1000.00"))
    except InsufficientFundsError as error:
        print(f"A transfer was refused ({error}), and nothing was recorded.")
    return alice_id, bob_id


def show_conflict(bank: BankAccounts, account_id: UUID) -> None:
    """Let two copies of one account both be changed: the first to be saved wins."""
    first, second = bank.account(account_id), bank.account(account_id)
    first.deposit(Decimal("1.00"))
    second.deposit(Decimal("2.00"))
    bank.save(first)
    try:
        bank.save(second)
    except IntegrityError:
        print(f"{second.owner}'s version {second.version} was taken: the second copy was refused.")


def show_replay(bank: BankAccounts, account_id: UUID) -> None:
    """Say from what an account is read, and read it at a past version."""
    assert bank.snapshots is not None
    versions = [snapshot.originator_version for snapshot in bank.snapshots.get(account_id)]
    account = bank.account(account_id)
    print(
        f"{account.owner} has snapshots at versions {versions}: "
        f"{account.version - versions[-1]} of {account.version} events are replayed."
    )
    past = bank.account(account_id, version=61)
    print(f"At version {past.version}, {past.owner} had {past.balance}.")


if __name__ == "__main__":
    sys.exit(main())
