"""Clients that ask all the time, each one request after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from chaos.client import OK, Answer, Client
from chaos.waiting import wait_for

Ask = Callable[[Client, int], Answer]
_PAUSE_SECONDS = 0.005
"""Between two requests of a client: an error that comes at once must not become a flood."""


class Load:
    """Asks from when the context begins until it ends; by default every second one is a stream."""

    def __init__(
        self,
        port: int,
        endpoint: str,
        *,
        clients: int,
        key: str | None = None,
        connect_anew: bool = False,
        **fields: Any,
    ) -> None:
        """`connect_anew`: a connection for each request; `fields`: more of each request."""
        self._port = port
        self._endpoint = endpoint
        self._key = key
        self._connect_anew = connect_anew
        self._fields = fields
        self._answers: list[Answer] = []
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask_on, args=(name,), daemon=True)
            for name in range(clients)
        ]

    @property
    def answers(self) -> list[Answer]:
        """What has come back until now, nothing included."""
        return list(self._answers)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, answers: int) -> None:
        """Until so many more have come back.

        Raises:
            TimeoutError: they do not.
        """
        wanted = len(self._answers) + answers
        wait_for(lambda: len(self._answers) >= wanted, f"{answers} more answers")

    def wait_for_success(self, since: float, *, bundle: str | None = None) -> float:
        """Until a request that was sent after `since` succeeds; the seconds that it took.

        Raises:
            TimeoutError: none does.
        """
        return wait_for(lambda: self._success(since, bundle), "an ordinary answer").came_at - since

    def _success(self, since: float, bundle: str | None) -> Answer | None:
        for answer in self.answers:
            late = answer.sent_at >= since
            if late and answer.outcome == OK and bundle in (None, answer.bundle):
                return answer
        return None

    def _ask_on(self, name: int) -> None:
        numbers = count()
        with Client(self._port, key=self._key) as client:
            while not self._stopping.is_set():
                number = next(numbers)
                fields = {"stream": bool(number % 2), **self._fields}
                text = f"client {name}, question {number}"
                self._answers.append(client.chat(self._endpoint, text, **fields))
                if self._connect_anew:
                    client.close()
                time.sleep(_PAUSE_SECONDS)
