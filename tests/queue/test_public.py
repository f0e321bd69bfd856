"""What users may import from the queue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import aurora_es.queue
from aurora_es import AuroraError
from aurora_es.queue import blocking, queue_errors

ROOT = Path(__file__).parents[2]

PUBLIC = """
    END START CompressionFormat CursorMovedError GroupReceiver LeaseLostError Message
    MessageEncodingError MessageTooLargeError MessageTypeError NameKindError NameState NamedReceiver Outgoing
    OvertakenError Queue QueueBuilder QueueClosedError QueueError QueueRetentionReport
    ReceiveTimeoutError Receiver ReceiverClosedError ReceiverError RollCycle Sender
    SenderClosedError SenderError SenderFullError StartReachedError Sync open_queue
""".split()
BLOCKING = ["GroupReceiver", "NamedReceiver", "Queue", "Receiver", "Sender", "open_queue"]


def test_the_public_names() -> None:
    """Adding, renaming or removing a public name is a decision; it shows here."""
    assert sorted(aurora_es.queue.__all__) == sorted(PUBLIC)
    assert blocking.__all__ == BLOCKING
    for name in PUBLIC:
        assert name in vars(aurora_es.queue)


def test_the_error_trees() -> None:
    """Every error is below one of the two trees, all are public and explained in the docs."""
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    errors = [kind for kind in vars(queue_errors).values() if isinstance(kind, type)]
    own = [kind for kind in errors if kind.__module__ == queue_errors.__name__]
    assert len(own) == 15 + 1
    for kind in own:
        assert issubclass(kind, AuroraError)
        assert issubclass(kind, queue_errors.QueueError)
        assert kind.__name__ in PUBLIC
        assert f"`{kind.__name__}`" in page


def test_the_queue_does_not_need_the_library() -> None:
    """Importing the queue brings in nothing that only finding or merging runs needs."""
    script = "import sys, aurora_es.queue; print(*{'numpy', 'ctypes', 'rich'} & sys.modules.keys())"
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == ""
