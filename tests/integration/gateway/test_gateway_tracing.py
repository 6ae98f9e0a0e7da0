"""Spans as a real collector gets them: OTLP over HTTP, protobuf."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest
from gateway_process import RunningGateway, wait_for
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tuneloop.testing.upstream import Reply, Script, ScriptedUpstream

Scripted = Callable[[Script | Reply], ScriptedUpstream]
ASK: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "my secret"}]}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Receives spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.hold = threading.Event()
        """While it is clear nobody is answered."""
        self.hold.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.hold.wait(30)
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.receive(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def receive(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services.append(values(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += scope.spans


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: value(one.value) for one in attributes if isinstance(one, KeyValue)}


def value(found: AnyValue) -> Any:
    kind = found.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in found.array_value.values]
    return getattr(found, str(kind))


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield made
    made.hold.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def _ready(gateway: RunningGateway, upstream: ScriptedUpstream) -> openai.OpenAI:
    gateway.start()
    gateway.route(upstream.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    return gateway.client()


def test_a_request_is_a_span_of_the_clients_trace(
    collector: Collector, cold_gateway: RunningGateway, scripted: Scripted
) -> None:
    upstream = scripted(Reply(text="my answer", delay_seconds=0.2))
    client = _ready(cold_gateway, upstream)
    before_ns = time.time_ns()
    raw = client.chat.completions.with_raw_response.create(
        **ASK, extra_headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "v=1"}
    )
    wait_for(lambda: collector.spans)
    (span,) = collector.spans
    assert (span.name, span.kind) == ("chat desk", Span.SPAN_KIND_CLIENT)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.trace_state == "v=1"
    assert 0.2 <= (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 < 5
    assert before_ns <= span.start_time_unix_nano < span.end_time_unix_nano <= time.time_ns()
    assert values(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tuneloop",
        "gen_ai.request.model": "desk",
        "gen_ai.response.model": "served-b1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "http.response.status_code": 200,
        "tuneloop.interaction": raw.headers["x-tuneloop-interaction"],
        "tuneloop.bundle": "b1",
    }
    (service,) = collector.services
    assert service["service.name"] == "tuneloop-gateway"
    assert b"my secret" not in collector.bodies[0] and b"my answer" not in collector.bodies[0]


def test_streams_failures_and_strange_parents(
    collector: Collector,
    cold_gateway: RunningGateway,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front-desk")
    script = iter(
        [
            Reply(pieces=("a", "b"), delay_seconds=0.1),
            Reply(pieces=("a", "b"), reset_after_pieces=1),
            *[Reply(status=500, body=b"{}")] * 4,
        ]
    )
    client = _ready(cold_gateway, scripted(lambda _: next(script)))
    list(client.chat.completions.create(**ASK, stream=True, temperature=0.5))
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**ASK, stream=True))
    strange = ("00-xyz", f"00-{'0' * 32}-{PARENT}-01", "x" * 5000, "\xff")
    for parent in strange:
        status, _ = cold_gateway.call(
            "/v1/chat/completions", json.dumps(ASK).encode(), traceparent=parent
        )
        assert status == 500
    wait_for(lambda: len(collector.spans) == 2 + len(strange))
    streamed, broken, *refused = collector.spans
    said = values(streamed.attributes)
    assert said["gen_ai.request.stream"] is True
    assert 0.1 <= said["gen_ai.response.time_to_first_chunk"] < 5
    assert said["gen_ai.request.temperature"] == 0.5
    assert streamed.status.code == Status.STATUS_CODE_UNSET
    said = values(broken.attributes)
    assert (said["error.type"], said["http.response.status_code"]) == ("upstream_reset", 200)
    assert said["gen_ai.response.finish_reasons"] == ["error"]
    assert broken.status.code == Status.STATUS_CODE_ERROR
    for span in refused:
        assert values(span.attributes)["error.type"] == "upstream_error"
        assert span.parent_span_id == b""
    assert collector.services[0]["service.name"] == "front-desk"


def test_a_collector_that_hangs_costs_no_client_anything_and_ends_no_later(
    collector: Collector,
    cold_gateway: RunningGateway,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    collector.hold.clear()
    client = _ready(cold_gateway, scripted(Reply()))
    for _ in range(100):
        client.chat.completions.create(**ASK)
    assert len(cold_gateway.interactions()) == 100
    began = time.monotonic()
    assert cold_gateway.stop() == 0
    assert time.monotonic() - began < 10
    assert collector.spans == []


def test_what_was_answered_before_a_stop_is_sent(
    collector: Collector,
    cold_gateway: RunningGateway,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    client = _ready(cold_gateway, scripted(Reply()))
    for _ in range(5):
        client.chat.completions.create(**ASK)
    assert collector.spans == []
    assert cold_gateway.stop() == 0
    assert len(collector.spans) == 5
