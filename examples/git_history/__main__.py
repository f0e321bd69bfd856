"""The command line of the demo: ``python -m examples.git_history --help``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from eventsourcing.persistence import PersistenceError

from examples.git_history.git_log import GitLogError
from examples.git_history.source import THIS_CLONE
from examples.git_history.store_directory import StoreDirectoryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0, 1 if a number is not as it must be, or 2 if it could not run."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A plot in question marks is better than a traceback.
        sys.stdout.reconfigure(errors="replace")
    try:
        from rich.console import Console

        from examples.git_history.demo import FollowerError, Options, run_demo
    except ModuleNotFoundError as error:
        print(f"{error}. The demo needs: pip install rich 'plotext>=6.1'", file=sys.stderr)
        return 2
    try:
        return run_demo(
            Options(
                repository=options.repo.expanduser().absolute(),
                store=options.store.expanduser().absolute(),
                sync=options.sync,
                commit_count_max=options.limit,
                sample_only=options.sample,
            ),
            Console(),
        )
    except (GitLogError, StoreDirectoryError, FollowerError, PersistenceError, OSError) as error:
        print(f"The demo stopped: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the next run starts afresh.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.git_history",
        description="Import a git history into an event store while another process follows it.",
    )
    # An empty variable, as `make demo GIT_REPO=` gives, is none.
    repo = Path(os.environ.get("GIT_REPO") or THIS_CLONE)
    sync = os.environ.get("AURORA_SYNC") or "always"
    add = parser.add_argument
    add("--repo", type=Path, default=repo, help="repository (default: $GIT_REPO or this clone)")
    add("--store", type=Path, default=Path("demo-store"), help="where the store goes (%(default)s)")
    add("--sync", default=sync, help="always, never or <n>ms (default: $AURORA_SYNC or always)")
    add("--limit", type=_positive, default=5_000, help="newest commits to import (%(default)s)")
    add("--sample", action="store_true", help="import the recorded sample in examples/data")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
