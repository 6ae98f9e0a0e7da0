"""Copies of the traffic for a candidate: on a queue of their own, bounded, behind every client.

A copy is made when the client has its answer. When the candidate is slower than the traffic the
queue fills and further copies are counted and let go: production never waits for a candidate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

import msgspec

from tuneloop.gateway.answers import Facts, read_completion
from tuneloop.gateway.capture import Capture, Exchange
from tuneloop.gateway.errors import ApiError, UpstreamError, beyond_context
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.requests import CHAT, Call, upstream_body
from tuneloop.gateway.routing import Route
from tuneloop.gateway.upstream import Request, Upstream
from tuneloop.storage import spool
from tuneloop.storage.captured import is_failure
from tuneloop.storage.spool import Shadow

_log = logging.getLogger(__name__)

_WAITING = 64
_AT_A_TIME = 2
_NOT_COPIED = {"stream", "stream_options"}


class _Copy(msgspec.Struct, frozen=True):
    call: Call
    route: Route
    interaction: str


class Shadowing:
    """One gateway process's copies."""

    def __init__(
        self,
        upstream: Upstream,
        capture: Capture,
        metrics: Metrics,
        *,
        waiting: int = _WAITING,
        at_a_time: int = _AT_A_TIME,
    ) -> None:
        """`waiting`: copies that may queue; `at_a_time`: how many the candidate answers at once."""
        self._upstream = upstream
        self._capture = capture
        self._metrics = metrics
        self._waiting = waiting
        self._at_a_time = at_a_time
        self._queue: deque[_Copy] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, exchange: Exchange) -> None:
        """Copy a chat to its endpoint's candidate, if there is one and room.

        What production's server failed is copied too: were only its successes, every failure of an
        equal candidate would count against it. Nothing is learned where the client left, or was
        refused by the gateway itself.
        """
        route, call = exchange.route.shadow, exchange.call
        if route is None or call.operation is not CHAT:
            return
        if exchange.status != 200 and not is_failure(exchange.status, exchange.error):
            return
        if exchange.not_captured:  # who is not to be captured is not to be copied either
            return
        if len(self._queue) >= self._waiting:
            self._metrics.shadows[route.endpoint, "queue_full"] += 1
            return
        self._queue.append(_Copy(call, route, exchange.id))
        if len(self._tasks) < self._at_a_time:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Let go of what has not been copied, counted."""
        for copy in self._queue:
            self._metrics.shadows[copy.route.endpoint, "stopped"] += 1
        self._queue.clear()
        for task in self._tasks:
            task.cancel()

    async def _work(self) -> None:
        while self._queue:
            copy = self._queue.popleft()
            outcome = "stopped"
            try:
                outcome = await self._ask(copy)
            except Exception:  # noqa: BLE001  one broken copy must not end the others
                _log.exception("The copy of %s failed", copy.interaction)
                outcome = "internal_error"
            finally:
                self._metrics.shadows[copy.route.endpoint, outcome] += 1

    async def _ask(self, copy: _Copy) -> str:
        facts, started_ns, began = Facts(), time.time_ns(), time.perf_counter()
        status, error = 200, None
        try:
            answer = await self._upstream.ask(_request(copy))
            if answer.status != 200:
                too_long = beyond_context(answer.status, answer.body, param=CHAT.input)
                raise too_long or UpstreamError(answer.status, "upstream_error", "no answer")
            read_completion(answer.body, copy.route.endpoint, facts)
        except ApiError as e:
            status, error = e.status, e.code
        record = Shadow(
            id=spool.new_id(started_ns),
            time=spool.iso_time(started_ns),
            interaction=copy.interaction,
            endpoint=copy.route.endpoint,
            bundle=copy.route.bundle,
            status=status,
            error=error,
            response=facts.text,
            finish_reason=facts.finish_reason,
            tool_calls=facts.tool_calls,
            latency_ms=round((time.perf_counter() - began) * 1000, 3),
            prompt_tokens=facts.prompt_tokens,
            completion_tokens=facts.completion_tokens,
            mean_logprob=facts.mean_logprob,
            conversation=copy.call.conversation,
        )
        reason = self._capture.keep_shadow(record, copy.route.rules.capture)
        return reason or ("answered" if error is None else "failed")


def _request(copy: _Copy) -> Request:
    """The whole answer is asked for, whether or not the client had it streamed."""
    call, route = copy.call, copy.route
    fields = {name: raw for name, raw in call.fields.items() if name not in _NOT_COPIED}
    whole = msgspec.structs.replace(call, fields=fields, streamed=False)
    return Request(
        target=route.target,
        path=call.operation.path,
        body=upstream_body(whole, route.target),
        total_seconds=route.rules.timeouts.total,
    )
