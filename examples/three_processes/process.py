"""One process of the system: ``python -m examples.three_processes.process Shipping``.

Reads its settings from the environment. Says when it works, and works until its input ends or it is
killed.
"""

from __future__ import annotations

import sys

from aurora_es.runner import SystemProcess
from examples.three_processes.system import three_applications


def main(name: str) -> None:
    """Run the application ``name``."""
    with SystemProcess(three_applications, name) as process:
        print(f"{name} stands by", flush=True)
        if process.wait_until_working():
            print(f"{name} works", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1])
