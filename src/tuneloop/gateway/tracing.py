"""OpenTelemetry spans of routed requests, named by the GenAI semantic conventions.

A span is made when its request is over, from what the exchange knows by then, and handed to the
SDK's batch processor, whose queue is bounded and whose thread does the sending. No text of a
message is ever in it.

Names and meanings: client inference spans of the GenAI conventions, schema 1.42.0, status
"development" (https://github.com/open-telemetry/semantic-conventions-genai); the same names are in
opentelemetry-semantic-conventions 0.66b2. Off unless the environment asks for it as OpenTelemetry's
specification has it: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec

from tuneloop.errors import TuneloopError, UsageError, require
from tuneloop.gateway.capture import Exchange
from tuneloop.gateway.requests import CHAT, COMPLETION, EMBEDDING, Headers

if TYPE_CHECKING:
    from opentelemetry.context import Context

_log = logging.getLogger(__name__)

SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai/1.42.0"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_CLOSE_SECONDS = 2.0
_PARENT = ("traceparent", "tracestate")
_OPERATIONS = {
    CHAT.name: "chat",
    COMPLETION.name: "text_completion",
    EMBEDDING.name: "embeddings",
}
# Larger numbers cannot be sent: OTLP's integers have 64 bits.
_int64 = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)])
_float = msgspec.json.Decoder(float)
_PARAMETERS: tuple[tuple[str, str, msgspec.json.Decoder[Any]], ...] = (
    ("max_tokens", "gen_ai.request.max_tokens", _int64),
    ("max_completion_tokens", "gen_ai.request.max_tokens", _int64),
    ("seed", "gen_ai.request.seed", _int64),
    ("temperature", "gen_ai.request.temperature", _float),
    ("top_p", "gen_ai.request.top_p", _float),
    ("frequency_penalty", "gen_ai.request.frequency_penalty", _float),
    ("presence_penalty", "gen_ai.request.presence_penalty", _float),
)


def asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the environment wants spans.

    Raises:
        UsageError: it wants them in a way that there is none of here.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if not exporter:
        if not any(environment.get(name) for name in _ENDPOINTS):
            return False
    elif exporter != "otlp":
        raise UsageError(f"Expected otlp or none as OTEL_TRACES_EXPORTER, got {exporter!r}.")
    for name in _PROTOCOLS:
        if environment.get(name, _PROTOCOL) != _PROTOCOL:
            raise UsageError(f"Expected {_PROTOCOL} as {name}, got {environment[name]!r}.")
    for name in _HEADERS:
        if any("=" not in pair for pair in environment.get(name, "").split(",") if pair.strip()):
            raise UsageError(f"Expected {name} as NAME=VALUE,NAME=VALUE.")
    return True


def spans(environment: Mapping[str, str], *, process: str) -> Spans | None:
    """Where spans go; None when nobody asked, or, with a warning, when it cannot be done.

    `process` is the name of this gateway among those that share the port.
    """
    try:
        return Spans(process) if asked_for(environment) else None
    except (TuneloopError, ValueError) as e:  # ValueError: a setting that the SDK cannot use
        _log.warning("No spans are sent. %s", str(e).replace("\n", " "))
        return None


class Spans:
    """Sends the spans of one gateway process.

    Raises:
        MissingExtraError: OpenTelemetry's SDK or its exporter is not installed.
    """

    def __init__(self, process: str) -> None:
        """`process` tells this gateway from the others that share the port."""
        require("opentelemetry.exporter.otlp.proto.http", extra="otel")
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # What it says of a header that it cannot read is the header, with the collector's key.
        logging.getLogger("opentelemetry.util.re").setLevel(logging.ERROR)
        own = {
            "service.name": "tuneloop-gateway",
            "service.version": version("tuneloop"),
            "service.instance.id": process,
        }
        # What the environment says of the service stands above what we say.
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(
            "tuneloop.gateway", version("tuneloop"), schema_url=SCHEMA_URL
        )

    def record(self, exchange: Exchange, headers: Headers) -> None:
        """Send the span of a finished exchange, below the one that the client named."""
        from opentelemetry.trace import SpanKind, StatusCode

        start_ns = time.time_ns() - int(exchange.elapsed_seconds * 1e9)
        span_attributes = attributes(exchange)
        span = self._tracer.start_span(
            f"{span_attributes['gen_ai.operation.name']} {exchange.route.endpoint}",
            context=parent_of(headers),
            kind=SpanKind.CLIENT,
            attributes=span_attributes,
            start_time=start_ns,
        )
        if exchange.error is not None:
            span.set_status(StatusCode.ERROR)
        span.end(start_ns + int(exchange.seconds * 1e9))

    def close(self) -> None:
        """Send what is left; a receiver that does not take it is not waited for long."""
        # The SDK itself would wait for half a minute, and this process is about to stop.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def parent_of(headers: Headers) -> Context:
    """The span that the client is in (https://www.w3.org/TR/trace-context/); else none."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    given = {name: value for name in _PARENT if (value := headers.get(name))}
    return TraceContextTextMapPropagator().extract(given, context=Context())


def attributes(exchange: Exchange) -> dict[str, Any]:
    """What a span says of an exchange."""
    call, route, facts = exchange.call, exchange.route, exchange.facts
    address, port = _server(route.target.base_url)
    first_token = exchange.first_token_seconds if call.streamed else None
    broken = exchange.error is not None and facts.has_output
    reason = facts.finish_reason or ("error" if broken else None)
    values = {
        "gen_ai.operation.name": _OPERATIONS[call.operation.name],
        "gen_ai.provider.name": "tuneloop",
        "gen_ai.request.model": route.endpoint,
        "gen_ai.request.stream": call.streamed or None,
        "gen_ai.response.model": route.target.served_name,
        "gen_ai.response.finish_reasons": reason and (reason,),
        "gen_ai.response.time_to_first_chunk": first_token,
        "gen_ai.usage.input_tokens": facts.prompt_tokens,
        "gen_ai.usage.output_tokens": facts.completion_tokens,
        "server.address": address,
        "server.port": port,
        "error.type": exchange.error,
        "http.response.status_code": exchange.status,
        "tuneloop.interaction": exchange.id,
        "tuneloop.bundle": route.bundle,
        "tuneloop.failover_from": exchange.failover_from,
        **_parameters(call.fields),
    }
    return {name: value for name, value in values.items() if value is not None}


def _parameters(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The settings of the request that are numbers, as the client wrote them."""
    parameters = {}
    for name, attribute, decoder in _PARAMETERS:
        if name in fields:
            with suppress(msgspec.MsgspecError):  # the model server says what it thinks of it
                parameters[attribute] = decoder.decode(fields[name])
    return parameters


@lru_cache(maxsize=64)
def _server(base_url: str) -> tuple[str | None, int | None]:
    """Where the model server is, without what else an URL may hold."""
    parts = urlsplit(base_url)
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
