"""``SystemProcess``: runs one application of a ``System`` in this process.

Theory of operation: an application that follows others takes part in no conversation with them: it
subscribes to their journals, behind the position that it has tracked, and records what its policy
collects together with the next one. So the applications of a system may live in processes that know
nothing of each other but ``AURORA_PATH``.

Of several processes with the same application one works, which holds the flock on ``runner.lock``
in the application's directory; the others ask for it ten times a second. The operating system
releases it when its owner dies, whatever it died of. The one that takes over constructs the
application only then, and goes on behind what was tracked: nothing is done twice, nothing is lost.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

from eventsourcing.application import LocalNotificationLog
from eventsourcing.persistence import InfrastructureFactory, Tracking
from eventsourcing.system import Follower
from eventsourcing.utils import Environment

from aurora_es.errors import ArgumentError
from aurora_es.face_logs import runner_logger
from aurora_es.factory import AuroraFactory
from aurora_es.files.layer import DIRECTORY_MODE, SYSTEM_EFFECTS, open_regular
from aurora_es.format.names import RUNNER_LOCK
from aurora_es.recorder_errors import RecorderClosedError, recorder_error
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventsourcing.application import Application
    from eventsourcing.persistence import Notification, Subscription
    from eventsourcing.system import System
    from eventsourcing.utils import EnvType

_PAUSE_SECONDS = 0.1  # between two tries for the lock; a take-over may take so long
_EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB


class SystemProcess:
    """One application of ``system``, by its ``name``, which follows all its leaders.

    Use it as a context manager, or ``start`` and ``stop`` it; ``run_forever`` blocks meanwhile::

        with SystemProcess(system, "Shipping") as process:
            process.run_forever()

    Its threads are daemons: a process may also just end, or be killed.
    """

    def __init__(self, system: System, name: str, env: EnvType | None = None) -> None:
        """Take what is needed; nothing is opened yet. Raises the library's ProgrammingError."""
        if name not in system.nodes:
            message = f"{name!r}: expected one of {', '.join(sorted(system.nodes))}"
            raise recorder_error(ArgumentError(message))
        self.name = name  # of the application
        self._class = system.get_app_cls(name)
        self._leaders = system.follows.get(name, [])
        self._env = env
        self._application: Application[Any] | None = None
        self._error: BaseException | None = None
        self._stopping = threading.Event()
        self._working = threading.Event()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    @property
    def is_working(self) -> bool:
        """Whether this process holds the lock and follows; False while it stands by."""
        return self._working.is_set() and not self._stopping.is_set()

    @property
    def app(self) -> Application[Any]:
        """The application; raises the library's InterfaceError while this process stands by."""
        application = self._application
        if application is None:
            message = f"{self.name} stands by, or was stopped; ask `wait_until_working` first"
            raise RecorderClosedError(message)
        return application

    def start(self) -> None:
        """Stand by in a thread of its own, and work as soon as no other process does."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def wait_until_working(self, timeout: float | None = None) -> bool:
        """Block until this process works, is stopped or has failed; returns whether it works."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._working.is_set() or self._stopping.is_set(), timeout
            )
        return self.is_working

    def run_forever(self, timeout: float | None = None) -> None:
        """Block until ``stop``, an error, which is raised, or ``timeout`` seconds have gone."""
        self.start()
        if self._stopping.wait(timeout):
            self.stop()

    def stop(self) -> None:
        """Stop following, close the application, release the lock; raises what a policy raised."""
        self._stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    # In the thread

    def _stop(self) -> None:
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            lock = RunnerLock(self._path())
            try:
                if not self._stand_by(lock):
                    return
                self._work()
            finally:
                lock.close()
        except BaseException as error:  # noqa: BLE001 - raised by ``stop`` and ``run_forever``
            self._error = error
        finally:
            self._stop()

    def _stand_by(self, lock: RunnerLock) -> bool:
        """Wait until no other process works; False if this one is stopped before."""
        if lock.acquire():
            return True
        runner_logger.info("%s: another process works; this one stands by", lock.path)
        while not self._stopping.wait(_PAUSE_SECONDS):
            if lock.acquire():
                runner_logger.info("%s: the other process has gone; this one takes over", lock.path)
                return True
        return False

    def _path(self) -> str:
        """The application's directory."""
        env = {**self._class.env, **os.environ, **(self._env or {})}
        factory = InfrastructureFactory.construct(Environment(self.name, env))
        try:
            if not isinstance(factory, AuroraFactory):
                module = type(factory).__module__
                message = f"{self.name}: expected PERSISTENCE_MODULE=aurora_es, found {module}"
                raise recorder_error(ArgumentError(message))
            return factory.store.path
        finally:
            factory.close()

    def _work(self) -> None:
        application = self._class(env=self._env)
        following: list[_Following] = []
        try:
            for leader in self._leaders:
                following.append(_Following(application, leader, self._stop))  # noqa: PERF401 - the next may fail
            self._application = application
            for one in following:
                one.start()
            with self._changed:
                self._working.set()
                self._changed.notify_all()
            self._stopping.wait()
        finally:
            self._application = None
            for one in following:
                one.stop()
            application.close()
        for one in following:
            if one.error is not None:
                raise one.error


class _Following:
    """A follower and one of its leaders: a subscription, and a thread that iterates over it."""

    def __init__(
        self, application: Application[Any], leader: str, failed: Callable[[], None]
    ) -> None:
        assert isinstance(application, Follower)  # as the system has checked
        self._follower: Follower[Any] = application
        self._leader = leader
        self._failed = failed  # called if the policy raises
        self.error: BaseException | None = None
        self._factory = application.construct_factory(
            application.construct_env(name=leader, env=application.env)
        )
        recorder = self._factory.application_recorder()
        # For its mapper; nothing is read from the log.
        application.follow(leader, LocalNotificationLog(recorder))
        self._subscription: Subscription[Any] = recorder.subscribe(
            gt=application.recorder.max_tracking_id(leader), topics=application.topics
        )
        self._thread = threading.Thread(target=self._run, name=f"follow {leader}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, behind the event that is being looked at."""
        self._subscription.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self._factory.close()

    def _run(self) -> None:
        try:
            for event, tracking in self._jobs():
                self._follower.process_event(event, tracking)
        except BaseException as error:  # noqa: BLE001 - raised where the process is stopped
            self.error = error
            self._failed()

    def _jobs(self) -> Iterator[tuple[Any, Tracking]]:
        follower, leader = self._follower, self._leader
        notification: Notification
        for notification in self._subscription:
            wanted = follower.filter_received_notifications([notification])
            yield from follower.convert_notifications(leader, wanted)


class RunnerLock:
    """The flock on ``runner.lock``; dies with its owner, and stays behind in forked children."""

    def __init__(self, path: str) -> None:
        """Open the lock file in the application's directory ``path``, which is made if need be."""
        self._files = SYSTEM_EFFECTS.files
        for directory in (os.path.dirname(path), path):
            self._make(directory)
        self._fd = open_regular(
            self._files, os.path.join(path, RUNNER_LOCK), os.O_RDWR | os.O_CREAT
        )
        self.path = path
        _locks.add(self)

    def _make(self, directory: str) -> None:
        try:
            self._files.mkdir(directory, DIRECTORY_MODE)
        except FileExistsError:
            return  # as a rule: by another process, or by the first append

    def acquire(self) -> bool:
        """Take the lock if nobody has it."""
        try:
            self._files.flock(self._fd, _EXCLUSIVE)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Release it; idempotent. In the child of a fork it stays the parent's."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._files.close(fd)


_locks: weakref.WeakSet[RunnerLock] = weakref.WeakSet()


def _close_after_fork() -> None:
    # A child that outlives its parent would hold the lock, and do nothing.
    for lock in members_of(_locks):
        lock.close()


os.register_at_fork(after_in_child=_close_after_fork)
