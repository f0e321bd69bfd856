"""Bank accounts: one application with snapshots, transfers and a conflict.

Run it with ``python -m examples.bank_accounts``. The store goes into ``AURORA_PATH``, or without
that into a temporary directory that is removed at the end.

What it shows:

- A **transfer** changes two accounts in one ``save``: one commit, so both events are recorded, or
  none.
- A **snapshot** is taken by the library after every 50 events of an account; reading an account
  then replays the events after its latest snapshot only. Snapshots have a journal of their own
  (``BankAccounts/snapshots`` beside ``BankAccounts/events``).
- Two copies of one account that both want to be its next version are a **conflict**: the second is
  refused with the library's ``IntegrityError``, and nothing of it is recorded.
- After the application has been closed and **opened again**, everything is there, and any past
  version can be read.
"""
