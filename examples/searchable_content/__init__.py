"""Searchable content: pages in aurora_es, a full-text index over them in SQLite.

Run it with ``python -m examples.searchable_content``. The store goes into ``AURORA_PATH``, or without
that into a temporary directory that is removed at the end.

What it shows:

- ``Pages`` records how pages are written and changed. A *projection* keeps the current text of each
  in a table of SQLite with a full-text index, which answers what an event store does not: which
  pages hold this word?
- The view is the **library's SQLite tracking recorder**, beside an application on aurora_es: the
  projection has a ``PERSISTENCE_MODULE`` of its own. Each change and the position of the event that
  led to it are one transaction of SQLite.
- **Read your writes**: ``runner.wait`` returns as soon as the view has seen what was just recorded.
- **Restart resumes** behind the last position in the view.
"""
