"""Changes the settings that a journal records, while nobody else has it open.

Theory of operation: an open handle remembers the settings and would go on under the old ones, so a
change is refused while another handle is seen (``presence``). Everything in the journal is synced
first: a mode of before may have left something that the new one takes to be on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.journal.append_lock import append_locked
from aurora_es.journal.manifest_file import update_manifest
from aurora_es.journal.presence import alone
from aurora_es.journal.syncing import sync_journal

if TYPE_CHECKING:
    from msgspec import UnsetType

    from aurora_es.format.manifest import Manifest
    from aurora_es.journal.handle import Handle
    from aurora_es.options import CompressionFormat, RollCycle, Sync


def change_recorded(
    handle: Handle,
    *,
    sync: Sync | None = None,
    roll_cycle: RollCycle | None = None,
    compression: CompressionFormat | None = None,
    cool_after_hours: int | UnsetType | None = None,
) -> Manifest:
    """Record what is not None (UNSET: never cooled); returns the manifest that holds from now on.

    ``handle`` has just been opened for appending, for this and nothing else. Nothing is written if
    all of it holds already. Raises InUseError with nothing changed.
    """
    asked: dict[str, object] = {
        name: str(value)
        for name, value in (
            ("sync", sync),
            ("roll_cycle", roll_cycle),
            ("compression", compression),
        )
        if value is not None
    }
    if cool_after_hours is not None:
        asked["cool_after_hours"] = cool_after_hours
    manifest = handle.manifest
    assert manifest is not None, "attached before"
    changes = {name: value for name, value in asked.items() if getattr(manifest, name) != value}
    if not changes:
        return manifest
    with alone(handle, purpose="run `aurora-es set` (Journal.set_sync)"):
        sync_journal(handle)
        with append_locked(handle, handle.effects.monotonic() + handle.lock_timeout):
            return update_manifest(
                handle.effects, handle.path, lock_timeout=handle.lock_timeout, **changes
            )
