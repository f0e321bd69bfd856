"""A process that follows a journal to the record with topic "end".

Argument: path of the journal. Prints what it saw as JSON: a list of (position, id, version, state).
"""

import json
import sys

from aurora_es import Journal


def main(path: str) -> None:
    """Follow, and tell."""
    seen = []
    with Journal.open(path, read_only=True) as journal, journal.tail() as tailer:
        print("following", flush=True)  # noqa: T201
        for stored in tailer:
            record = stored.record
            if record.topic == "end":
                break
            seen.append(
                (
                    stored.position,
                    record.originator_id,
                    record.originator_version,
                    record.state.decode(),
                )
            )
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
