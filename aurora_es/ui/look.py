"""What all answers share: the journals, the decoder, and the threads that read."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from aurora_es.ui.opened import OpenJournals

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.decoding import ApplicationDecoder
    from aurora_es.journal.following import Follower

_THREADS = 4  # more would wait for the interpreter lock
_Arguments = ParamSpec("_Arguments")
_T = TypeVar("_T")


class Look:
    """One look at ``root``, for as long as the page is served."""

    def __init__(self, root: str, decoder: ApplicationDecoder | None) -> None:
        """Open nothing yet."""
        self.journals = OpenJournals(root)
        self.decoder = decoder
        self.followers: set[Follower] = set()  # of who follows; only the event loop touches it
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="aurora-es-ui")

    async def read(
        self,
        function: Callable[_Arguments, _T],
        *arguments: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _T:
        """Call a function that may wait for a disk, in another thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*arguments, **named))

    def end_following(self) -> None:
        """Let all that follow a journal come to their end: by themselves they would go on."""
        for follower in self.followers:
            follower.stop()

    def close(self) -> None:
        """Let what is being read come to its end, and close the journals."""
        self._threads.shutdown(cancel_futures=True)
        self.journals.close()
