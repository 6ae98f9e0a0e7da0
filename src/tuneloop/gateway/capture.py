"""Keeping what was asked and answered: on the spool before the last byte leaves.

Every routed request ends in exactly one place: captured, or dropped for a counted reason.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tuneloop.gateway.answers import Facts
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.interaction_ids import issue
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.requests import Call
from tuneloop.gateway.routing import Route, in_share
from tuneloop.personal_data import redacted, redacted_value
from tuneloop.registry.routes import CaptureRule
from tuneloop.storage import spool
from tuneloop.storage.spool import Account, Feedback, Interaction, Shadow, Spool, SpoolLimits

_encode = msgspec.json.Encoder().encode
_NOT_IN_REQUEST = {"messages", "model", "user"}


class Exchange:
    """One routed request on its way: what is known of it so far."""

    def __init__(
        self,
        call: Call,
        route: Route,
        *,
        secret: str = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`secret`: what interaction ids are made with; `headers`: of every answer."""
        self.call = call
        self._headers = headers
        self.route = route
        self.failover_from: str | None = None
        self.facts = Facts()
        self.status = 200
        self.error: str | None = None
        self.first_token_seconds: float | None = None
        self.seconds = 0.0
        self._started_ns = time.time_ns()
        self._started = time.perf_counter()
        self.id = issue(
            self._started_ns, secret=secret, owner=call.caller.owner, endpoint=route.endpoint
        )

    @property
    def not_captured(self) -> str | None:
        """Why this request is not to be captured, if so."""
        rule = self.route.rules.capture
        if self.call.opted_out:
            return "opt_out"
        if not rule.enabled:
            return "capture_off"
        if rule.share >= 1 or in_share(f"capture\0{self.call.conversation}", rule.share):
            return None
        return "sampled_out"

    @property
    def elapsed_seconds(self) -> float:
        """Since the request came."""
        return time.perf_counter() - self._started

    def headers(self) -> list[tuple[str, str]]:
        """What every answer carries."""
        headers = [
            ("x-tuneloop-interaction", self.id),
            ("x-tuneloop-bundle", self.route.bundle),
            *self._headers,
        ]
        if self.failover_from is not None:
            headers.append(("x-tuneloop-failover-from", self.failover_from))
        return headers

    def mark_first_token(self) -> None:
        """Note the time of the first token, once it has come."""
        if self.first_token_seconds is None and self.facts.has_output:
            self.first_token_seconds = self.elapsed_seconds

    def fail_over(self, to: Route) -> None:
        """Another bundle takes over before anything was sent."""
        # The copy for a candidate stays due: else it would be asked only what production can do.
        self.failover_from = self.route.bundle
        self.route = msgspec.structs.replace(to, shadow=self.route.shadow)
        self.facts = Facts()

    def fail(self, status: int, error: str) -> None:
        """The client gets an error, or the rest of an answer is missing."""
        self.status, self.error = status, error

    def finish(self) -> None:
        """Stop the clock."""
        self.seconds = self.elapsed_seconds

    def record(self) -> Interaction:
        """What the spool keeps."""
        call, facts = self.call, self.facts
        rest = {name: raw for name, raw in call.fields.items() if name not in _NOT_IN_REQUEST}
        first = self.first_token_seconds
        messages = call.fields.get("messages")
        return Interaction(
            id=self.id,
            time=spool.iso_time(self._started_ns),
            endpoint=self.route.endpoint,
            bundle=self.route.bundle,
            failover_from=self.failover_from,
            operation=call.operation.name,
            owner=call.caller.owner,
            status=self.status,
            error=self.error,
            streamed=call.streamed,
            messages="[]" if messages is None else bytes(messages).decode(),
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

    def require(self, exchange: Exchange) -> None:
        """Refuse what could not be captured where the endpoint requires that it is.

        Raises:
            ApiError: 400 for a client that opts out, 503 while the disk takes nothing.
        """
        if not exchange.route.rules.capture.required:
            return
        if exchange.call.opted_out:
            raise ApiError(
                400,
                "capture_required",
                "This endpoint captures every request; it cannot be called without.",
            )
        if not self._spool.has_room():
            raise not_capturable()

    def keep(self, exchange: Exchange) -> ApiError | None:
        """Write the exchange, or count it as dropped; then its answer may end.

        Returns the error that must take the answer's place where the endpoint requires a capture
        and there is none.
        """
        exchange.finish()
        reason = exchange.not_captured or self._write(exchange)
        refused = None
        if reason is not None and exchange.route.rules.capture.required:
            refused = not_capturable()
            exchange.fail(refused.status, refused.code)
        self._metrics.answered(
            exchange.route.endpoint,
            status=exchange.status,
            error=exchange.error,
            seconds=exchange.seconds,
            first_token_seconds=exchange.first_token_seconds,
        )
        if exchange.failover_from is not None:
            self._metrics.failovers[exchange.route.endpoint, exchange.failover_from] += 1
        self._metrics.accounted(exchange.route.endpoint, reason)
        return refused

    def keep_shadow(self, shadow: Shadow, rule: CaptureRule) -> str | None:
        """Write a candidate's answer; why not, if it could not be."""
        line = _redacted(shadow) if rule.redact else shadow
        return self._spool.append(spool.encode(line))

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
        self._metrics.feedback[feedback.kind.partition(":")[0]] += 1

    def keep_account(self, account: Account) -> str | None:
        """Write what was counted; why not, if it could not be."""
        return self._spool.append(spool.encode(account))

    def close(self) -> None:
        """Seal what is open."""
        self._spool.close()

    def _write(self, exchange: Exchange) -> str | None:
        record = exchange.record()
        if exchange.route.rules.capture.redact:
            record = _redacted(record)
        return self._spool.append(spool.encode(record))


def not_capturable() -> ApiError:
    """503: the endpoint serves nothing that it cannot keep."""
    return ApiError(
        503,
        "capture_unavailable",
        "The request cannot be captured now, which this endpoint requires; try again later.",
        kind="server_error",
    )


_Recorded = TypeVar("_Recorded", Interaction, Shadow)
_JSON_TEXTS = ("messages", "request", "tool_calls")


def _redacted(record: _Recorded) -> _Recorded:
    """The record with personal data replaced by its kind."""
    changed: dict[str, Any] = {"response": redacted(record.response)[0]}
    for name in _JSON_TEXTS:
        if text := getattr(record, name, None):
            changed[name] = _encode(redacted_value(msgspec.json.decode(text))).decode()
    if isinstance(record, Interaction):
        changed["user"] = record.user and redacted(record.user)[0]
        changed["tags"] = redacted_value(record.tags)
    return msgspec.structs.replace(record, **changed)
