"""What passed a gateway, written down every few minutes: asked, refused, and that it lives.

A request that is refused before it is routed leaves no interaction, and the counters end with the
gateway. Of these records the monitors read whether nobody asks any more, whether ever more requests
are refused, and whether a gateway was stopped on purpose.
"""

from __future__ import annotations

import time
from collections import Counter

from tuneloop.gateway.capture import Capture
from tuneloop.gateway.metrics import Metrics
from tuneloop.storage import spool
from tuneloop.storage.spool import Account

EVERY_SECONDS = 300.0


class Accounts:
    """The accounts of one gateway process."""

    def __init__(self, metrics: Metrics, capture: Capture, name: str) -> None:
        self._metrics = metrics
        self._capture = capture
        self._name = name
        self._served: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def write(self, *, stopped: bool = False) -> None:
        """Put down what was counted since the last account; what cannot be written stays due.

        `stopped`: this process ends because somebody wanted it to.
        """
        now_ns = time.time_ns()
        served, refused = Counter(self._metrics.served), Counter(self._metrics.refused)
        account = Account(
            id=spool.new_id(now_ns),
            time=spool.iso_time(now_ns),
            process=self._name,
            served=dict(served - self._served),
            refused=dict(refused - self._refused),
            stopped=stopped,
        )
        if self._capture.keep_account(account) is None:
            self._served, self._refused = served, refused
