"""Keeping what was asked and answered: on the spool before the last byte leaves.

Every routed request ends in exactly one place: captured, or dropped for a counted reason.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from tuneloop.gateway.answers import Facts
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.requests import ChatCall
from tuneloop.gateway.routing import Route
from tuneloop.storage import spool
from tuneloop.storage.spool import Feedback, Interaction, Spool, SpoolLimits

_encode = msgspec.json.Encoder().encode
_NOT_IN_REQUEST = {"messages", "model", "user"}


class Exchange:
    """One routed request on its way: what is known of it so far."""

    def __init__(self, call: ChatCall, route: Route) -> None:
        self.call = call
        self.route = route
        self.facts = Facts()
        self.status = 200
        self.error: str | None = None
        self.first_token_seconds: float | None = None
        self.seconds = 0.0
        self._started_ns = time.time_ns()
        self._started = time.perf_counter()
        self.id = spool.new_id(self._started_ns)

    @property
    def not_captured(self) -> str | None:
        """Why this request is not to be captured, if so."""
        if self.call.opted_out:
            return "opt_out"
        return None if self.route.captured else "capture_off"

    def headers(self) -> list[tuple[str, str]]:
        """What every answer carries."""
        return [("x-tuneloop-interaction", self.id), ("x-tuneloop-bundle", self.route.bundle)]

    def mark_first_token(self) -> None:
        """Note the time of the first token, once it has come."""
        if self.first_token_seconds is None and self.facts.has_output:
            self.first_token_seconds = time.perf_counter() - self._started

    def fail(self, status: int, error: str) -> None:
        """The client gets an error, or the rest of an answer is missing."""
        self.status, self.error = status, error

    def finish(self) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self._started

    def record(self) -> Interaction:
        """What the spool keeps."""
        call, facts = self.call, self.facts
        rest = {name: raw for name, raw in call.fields.items() if name not in _NOT_IN_REQUEST}
        first = self.first_token_seconds
        return Interaction(
            id=self.id,
            time=spool.iso_time(self._started_ns),
            endpoint=self.route.endpoint,
            bundle=self.route.bundle,
            status=self.status,
            error=self.error,
            streamed=call.streamed,
            messages=bytes(call.fields["messages"]).decode(),
            request=_encode(rest).decode(),
            response=facts.text,
            finish_reason=facts.finish_reason,
            tool_calls=facts.tool_calls,
            latency_ms=round(self.seconds * 1000, 3),
            first_token_ms=None if first is None else round(first * 1000, 3),
            prompt_tokens=facts.prompt_tokens,
            completion_tokens=facts.completion_tokens,
            mean_logprob=facts.mean_logprob,
            conversation=call.conversation,
            user=call.user,
            tags=call.tags,
        )


class Capture:
    """Writes exchanges and feedback to the spool and accounts for each.

    Raises:
        StoreError: the folder cannot be used.
    """

    def __init__(
        self, folder: Path, metrics: Metrics, *, limits: SpoolLimits | None = None
    ) -> None:
        self._metrics = metrics
        self._spool = Spool(folder, limits=limits)

    @property
    def sync_errors(self) -> int:
        """Failed fsyncs of the spool."""
        return self._spool.sync_errors

    def keep(self, exchange: Exchange) -> None:
        """Write the exchange, or count it as dropped; then its answer may end."""
        exchange.finish()
        endpoint = exchange.route.endpoint
        self._metrics.answered(
            endpoint,
            status=exchange.status,
            error=exchange.error,
            seconds=exchange.seconds,
            first_token_seconds=exchange.first_token_seconds,
        )
        reason = exchange.not_captured or self._spool.append(spool.encode(exchange.record()))
        self._metrics.accounted(endpoint, reason)

    def keep_feedback(self, feedback: Feedback) -> None:
        """Write feedback.

        Raises:
            ApiError: 503 when it could not be written: its sender must know.
        """
        reason = self._spool.append(spool.encode(feedback))
        if reason is not None:
            raise ApiError(
                503,
                "feedback_not_stored",
                f"The feedback could not be stored ({reason}); send it again later.",
                kind="server_error",
            )
        self._metrics.feedback[feedback.kind] += 1

    def close(self) -> None:
        """Seal what is open."""
        self._spool.close()
