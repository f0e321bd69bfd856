"""The demo: the history of a real git repository, imported, followed live, replayed and shown.

Run it with ``python -m examples.git_history`` (``make demo`` does all the set-up first)::

    python -m examples.git_history                      # this clone's own history
    GIT_REPO=~/src/linux python -m examples.git_history # any other repository, or --repo PATH
    python -m examples.git_history --sample             # the recorded sample in examples/data/

What happens:

1. The commits are read with ``git log --numstat`` (``git_log.py``); a repository with little or no
   history is replaced by a recorded sample, and the demo says so (``source.py``).
2. An ordinary ``eventsourcing`` application (``application.py``) records them: every file is an
   aggregate, and all files of one commit are saved together, as one atomic commit of the store.
3. At the same time *another process* (``follower.py``) follows the journal by a subscription and
   builds a projection: churn, the number of changed lines, per author, day and file (``churn.py``).
4. The store is opened again, and the most changed file is replayed, half way and up to its end.
5. What the follower projected is compared with what was imported. The exit status is 1 if one
   number differs, otherwise the results are shown (``report.py``).

The store stays where it is (``./demo-store``), so that you can look into it with ``aurora-es``.
The next run replaces it, but only if a demo made it.
"""
