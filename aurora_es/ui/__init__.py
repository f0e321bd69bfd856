"""A page for a browser that looks inside journals; needs the extra ``ui``. Nothing here writes.

Theory of operation: ``aurora_es.ui.server`` binds a socket and runs ``aurora_es.ui.app``, which
answers with the files of ``static/`` and, below ``/api/``, with JSON. Whoever asks has to pass
``guard.py`` first. Every answer is one page of what ``aurora_es.inspection`` reads, so that memory
does not depend on how long a journal is; reading is done in a few threads, and what follows a journal
waits in the event loop, without a thread.
"""
