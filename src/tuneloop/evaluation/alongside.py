"""Work beside other work: on a thread of its own, heard when it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from tuneloop.progress import Progress

T = TypeVar("T")


class Alongside(Generic[T]):
    """One piece of work on a thread of its own, for as long as the block lasts at most.

    Left by an error, the block stops the work at the next progress that it tells.
    """

    def __init__(self) -> None:
        """Nothing is done yet."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="alongside")
        self._heard = _Heard()
        self._progress: Progress | None = None
        self._future: Future[T] | None = None

    def begin(self, work: Callable[[Progress], T], progress: Progress) -> None:
        """Start it; what it notes goes to `progress` once it is over."""
        self._progress = progress
        self._future = self._pool.submit(work, self._heard)

    def result(self) -> T:
        """What it returned, when it has.

        Raises:
            Exception: what it raised.
        """
        assert self._future is not None and self._progress is not None
        if not self._future.done():
            self._heard.tell(self._progress)
        returned = self._future.result()
        for note in self._heard.notes:
            self._progress.note(note)
        return returned

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._heard.stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Heard:
    """A progress that keeps notes for later, tells what is done once somebody waits for it, and can
    end what tells it."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stopped = threading.Event()
        self._step: tuple[str, str] | None = None
        self._follower: Progress | None = None
        self._lock = threading.Lock()

    def tell(self, follower: Progress) -> None:
        """From now on, beginning with the step that is under way: nothing else is told any more."""
        with self._lock:
            self._follower = follower
            if self._step is not None:
                text, keeps = self._step
                follower.step(text, keeps=keeps)

    def step(self, text: str, *, keeps: str = "") -> None:
        """Keep, or pass on to who has begun to wait."""
        with self._lock:
            self._step = (text, keeps)
            if self._follower is not None:
                self._follower.step(text, keeps=keeps)

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Pass on to who has begun to wait; or end the work."""
        if self.stopped.is_set():
            raise InterruptedError("what it was done beside has failed")
        if self._follower is not None:
            self._follower.update(done, total, detail)

    def note(self, text: str) -> None:
        """Keep."""
        self.notes.append(text)
