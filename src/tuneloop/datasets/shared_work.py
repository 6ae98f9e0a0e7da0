"""Work on a large file by several processes, with the results in the order of the file."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from tuneloop.errors import DataError

T = TypeVar("T")

Work = Callable[[int, int], Iterator[T]]
"""The number of a process, from 0, and how many there are in; its share of the results out: of all
results in their order every so-manyeth, beginning with its own number."""
_MOST = 8
"""With more, whoever takes the results would be what they wait for."""


def processes() -> int:
    """How many can share work here; 1 where a process cannot go on as a copy of this one."""
    return min(_MOST, len(os.sched_getaffinity(0))) if sys.platform == "linux" else 1


def shared(work: Work[T], count: int) -> Iterator[T]:
    """The results of `count` processes, in the order in which one would give them.

    Each process begins as a copy of this one, so that it has all that the work needs. It must do
    nothing else: print, log, or use what another thread of this one may hold.

    Raises:
        DataError: a process was killed.
        Exception: what the work raises.
    """
    children = [_Child(work, number, count) for number in range(count)]
    try:
        while True:
            for child in children:
                yield child.next()
    except _EndedError:
        return
    finally:
        for child in children:
            child.stop()


class _EndedError(Exception):
    """A process has no result left, so no other has one that comes after."""


class _Child(Generic[T]):
    """One process and what comes out of it."""

    def __init__(self, work: Work[T], number: int, count: int) -> None:
        output, end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(output)
            _work(lambda: work(number, count), end)
        os.close(end)
        self._output = os.fdopen(output, "rb")

    def next(self) -> T:
        """The next result."""
        try:
            result, error = pickle.load(self._output)
        except EOFError:
            raise DataError(
                "A process that reads rows was ended from outside.",
                remedy="Was there no memory left? Free some and run the same command again.",
            ) from None
        if error is not None:
            raise error
        found: T = result
        return found

    def stop(self) -> None:
        """Let it go, finished or not."""
        self._output.close()
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _work(results: Callable[[], Iterator[T]], end: int) -> None:
    """The whole life of a process: it never comes back, whatever happens."""
    with suppress(BaseException), os.fdopen(end, "wb") as output:
        try:
            for result in results():
                pickle.dump((result, None), output, pickle.HIGHEST_PROTOCOL)
            error: Exception = _EndedError()
        except Exception as e:  # noqa: BLE001  # it is raised where the results are taken
            error = e
        pickle.dump((None, error), output, pickle.HIGHEST_PROTOCOL)
    os._exit(0)
