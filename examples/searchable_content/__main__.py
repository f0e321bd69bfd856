"""Run the searchable-content example: ``python -m examples.searchable_content``."""

from __future__ import annotations

import os
import sys
import tempfile

from eventsourcing.projection import ProjectionRunner

from examples.searchable_content.content import PageIndex, Pages, Searching, SQLitePageIndex


def main() -> int:
    """Run the example in AURORA_PATH, or in a temporary directory; returns the exit status."""
    if path := os.environ.get("AURORA_PATH"):
        return run(path)
    with tempfile.TemporaryDirectory(prefix="searchable-content-") as path:
        return run(path)


def run(path: str) -> int:
    """Write pages, search them, change one while nobody indexes, and search again."""
    env = {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": path,
        "SEARCHING_PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SEARCHING_SQLITE_DBNAME": os.path.join(path, "searching.sqlite"),
    }
    os.makedirs(path, exist_ok=True)  # the database is made in it before the store is
    print(f"The pages are in {path}, the index in searching.sqlite beside them.")
    with searching(env) as runner:
        pages = runner.app
        bread_id, _ = pages.write("Bread", "Flour, water and salt.")
        _, last = pages.write("Soup", "Water, onions and patience.")
        runner.wait(last)
        print(f"Pages about water: {', '.join(sorted(runner.view.search('water')))}.")
    with Pages(env) as pages:
        last = pages.change(bread_id, "Flour, milk and salt.")
        print("While nobody was indexing, the water in the bread became milk.")
    with searching(env) as runner:
        runner.wait(last)
        found = runner.view.search("water"), runner.view.search("milk salt")
        print(
            f"Pages about water: {', '.join(found[0])}; about milk and salt: {', '.join(found[1])}."
        )
    # As often as the example was run in this store.
    return 0 if [set(titles) for titles in found] == [{"Soup"}, {"Bread"}] else 1


def searching(env: dict[str, str]) -> ProjectionRunner[Pages, PageIndex]:
    """The application with its projection, which runs in a thread."""
    return ProjectionRunner(
        application_class=Pages,
        projection_class=Searching,
        view_class=SQLitePageIndex,
        env=env,
    )


if __name__ == "__main__":
    sys.exit(main())
