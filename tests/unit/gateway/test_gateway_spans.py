"""What a span says, and when there are any; `test_gateway_tracing` sends real ones."""

from __future__ import annotations

import logging
import sys

import pytest
from finished_exchange import finished
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from tuneloop.errors import UsageError
from tuneloop.gateway import tracing
from tuneloop.gateway.answers import read_completion, read_embeddings
from tuneloop.gateway.requests import EMBEDDING

WHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (WHERE, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (WHERE | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (WHERE | {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
        (WHERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_spans_are_asked_for_the_standard_way(environment: dict[str, str], wanted: bool) -> None:
    assert tracing.asked_for(environment) is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key: k3y"),
    ],
)
def test_what_cannot_be_done_is_said_and_stops_no_gateway(
    name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match=name):
        tracing.asked_for(WHERE | {name: value})
    with caplog.at_level(logging.WARNING):
        assert tracing.spans(WHERE | {name: value}, process="gateway-0") is None
    (said,) = caplog.messages
    assert said.startswith("No spans are sent.") and name in said
    assert "k3y" not in said


def test_without_the_extra_a_gateway_serves_and_names_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with caplog.at_level(logging.WARNING):
        assert tracing.spans(WHERE, process="gateway-0") is None
    assert "pip install 'tuneloop[otel]'" in caplog.messages[-1]


def test_a_setting_that_the_sdk_refuses_stops_no_gateway(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with caplog.at_level(logging.WARNING):
        assert tracing.spans(WHERE, process="gateway-0") is None
    assert "No spans are sent." in caplog.messages[-1] and "queue" in caplog.messages[-1]


def test_a_chat_is_described_without_its_text() -> None:
    exchange = finished(
        temperature=0.5, max_tokens=20, seed=10**40, top_p="hot", tools=[], stream=False
    )
    read_completion(
        b'{"choices": [{"message": {"content": "a secret"}, "finish_reason": "stop"}],'
        b' "usage": {"prompt_tokens": 7, "completion_tokens": 2}}',
        "desk",
        exchange.facts,
    )
    said = tracing.attributes(exchange)
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tuneloop",
        "gen_ai.request.model": "desk",
        "gen_ai.response.model": "served-b1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 20,
        "server.address": "10.0.0.7",
        "server.port": 8081,
        "http.response.status_code": 200,
        "tuneloop.interaction": exchange.id,
        "tuneloop.bundle": "b1",
    }


def test_embeddings_and_failures_are_told() -> None:
    embedded = finished(EMBEDDING, input="a secret")
    read_embeddings(b'{"data": [], "usage": {"prompt_tokens": 3}}', "desk", embedded.facts)
    said = tracing.attributes(embedded)
    assert (said["gen_ai.operation.name"], said["gen_ai.usage.input_tokens"]) == ("embeddings", 3)
    assert "gen_ai.response.finish_reasons" not in said

    refused = finished(error="upstream_unavailable", status=503, stream=True)
    said = tracing.attributes(refused)
    assert (said["error.type"], said["http.response.status_code"]) == ("upstream_unavailable", 503)
    assert said["gen_ai.request.stream"] is True
    assert "gen_ai.response.finish_reasons" not in said  # nothing was generated

    broken = finished(error="upstream_reset", stream=True)
    broken.facts.has_output = True
    assert tracing.attributes(broken)["gen_ai.response.finish_reasons"] == ("error",)


def test_the_names_are_those_of_the_conventions() -> None:
    known = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    request = finished(
        **{name: 1 for name, _, _ in tracing._PARAMETERS}, stream=True, error="upstream_reset"
    )
    request.first_token_seconds = 0.5
    request.facts.finish_reason = "stop"
    request.facts.prompt_tokens = request.facts.completion_tokens = 1
    used = {name for name in tracing.attributes(request) if name.startswith("gen_ai.")}
    assert len(used) == 15
    assert used <= known
