"""Keeping what was asked and answered: on the spool before the last byte leaves.

Every routed request ends in exactly one place: captured, or dropped for a counted reason.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from tuneloop.gateway.answers import Facts
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.requests import ChatCall
from tuneloop.gateway.routing import Route
from tuneloop.storage import spool
from tuneloop.storage.spool import DropReason, Feedback, Interaction, Spool, SpoolLimits

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


class _Ticket(msgspec.Struct):
    endpoint: str | None
    """Set for interactions, which are accounted."""
    written: asyncio.Future[DropReason | None]


class Capture:
    """Writes exchanges and feedback to the spool and accounts for each."""

    def __init__(
        self,
        folder: Path,
        metrics: Metrics,
        *,
        loop: asyncio.AbstractEventLoop,
        limits: SpoolLimits | None = None,
        patience_seconds: float = 1.0,
    ) -> None:
        """Start the spool in `folder`.

        `patience_seconds`: how long an answer waits for a slow disk before it leaves uncaptured;
        the record stays queued and is accounted when its fate is known.

        Raises:
            StoreError: the folder cannot be used.
        """
        self._metrics = metrics
        self._patience_seconds = patience_seconds
        self._loop = loop
        self.spool: Spool[_Ticket] = Spool(folder, on_written=self._on_written, limits=limits)

    async def keep(self, exchange: Exchange) -> None:
        """Write the exchange; returns when the operating system has it, or it was dropped."""
        exchange.finish()
        endpoint = exchange.route.endpoint
        self._metrics.answered(
            endpoint,
            status=exchange.status,
            error=exchange.error,
            seconds=exchange.seconds,
            first_token_seconds=exchange.first_token_seconds,
        )
        if exchange.not_captured is not None:
            self._metrics.accounted(endpoint, exchange.not_captured)
        elif (refused := await self._write(exchange.record(), endpoint)) is not None:
            self._metrics.accounted(endpoint, refused)

    async def keep_feedback(self, feedback: Feedback) -> None:
        """Write feedback.

        Raises:
            ApiError: 503 when it could not be written: its sender must know.
        """
        ticket = _Ticket(None, self._loop.create_future())
        refused = self.spool.submit(spool.encode(feedback), ticket)
        reason = refused if refused is not None else await ticket.written
        if reason is not None:
            raise ApiError(
                503,
                "feedback_not_stored",
                f"The feedback could not be stored ({reason}); send it again later.",
                kind="server_error",
            )
        self._metrics.feedback[feedback.kind] += 1

    def close(self) -> None:
        """Write and seal what is left."""
        self.spool.close()

    async def _write(self, record: Interaction, endpoint: str) -> DropReason | None:
        """Why it was refused at once; None when it is accounted elsewhere (`_settle`)."""
        ticket = _Ticket(endpoint, self._loop.create_future())
        refused = self.spool.submit(spool.encode(record), ticket)
        if refused is None:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await ticket.written
            except TimeoutError:
                self._metrics.late_captures += 1
        return refused

    def _on_written(self, tickets: list[_Ticket], reason: DropReason | None) -> None:
        """On the spool's thread: one wake-up of the event loop for the whole batch."""
        self._loop.call_soon_threadsafe(self._settle, tickets, reason)

    def _settle(self, tickets: list[_Ticket], reason: DropReason | None) -> None:
        for ticket in tickets:
            if ticket.endpoint is not None:
                self._metrics.accounted(ticket.endpoint, reason)
            if not ticket.written.done():
                ticket.written.set_result(reason)
