"""Real HTTP and real weights."""

from __future__ import annotations

import random
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tuneloop.errors import BaseModelError, EvaluationError
from tuneloop.evaluation.hf_target import HFTarget
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.prose.repetition import loop_in
from tuneloop.testing.tiny_model import make_tiny_model
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

PROMPT = ({"role": "system", "content": "s"}, {"role": "user", "content": "hello"})


def target(url: str, **options: object) -> OpenAITarget:
    return OpenAITarget(
        base_url=url,
        model="desk",
        identity="t",
        retry_pause_seconds=0.01,
        **options,  # type: ignore[arg-type]
    )


def test_the_request_is_what_a_client_in_production_sends() -> None:
    with ScriptedUpstream(Reply(text="42")) as upstream:
        sampling = Sampling(temperature=0.0, max_tokens=7)
        answer = target(upstream.base_url, sampling=sampling, api_key="key").complete(PROMPT)
        (request,) = upstream.requests
    assert answer.text == "42" and answer.error is None and answer.latency_ms > 0
    assert request.body == {
        "model": "desk",
        "messages": [dict(message) for message in PROMPT],
        "temperature": 0.0,
        "max_tokens": 7,
    }
    assert request.headers["authorization"] == "Bearer key"


def test_the_key_is_never_shown() -> None:
    assert "secret" not in repr(target("http://127.0.0.1:1/v1", api_key="secret"))


def test_a_busy_server_is_asked_again_and_a_broken_one_is_not() -> None:
    seen = 0

    def script(_: Received) -> Reply:
        nonlocal seen
        seen += 1
        return Reply(status=503, body=b"{}") if seen < 3 else Reply(text="up")

    with ScriptedUpstream(script) as upstream:
        assert target(upstream.base_url).complete(PROMPT).text == "up"
    body = b'{"error": {"message": "no such model"}}'
    with ScriptedUpstream(Reply(status=404, body=body)) as upstream:
        assert target(upstream.base_url).complete(PROMPT).error == "http_404: no such model"
        assert len(upstream.requests) == 1


ENDLESS_USAGE = b'{"choices": [{"message": {}}], "usage": {"prompt_tokens": 1e999}}'


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b"<html>"), "bad_response"),
        (Reply(body=b'{"choices": []}'), "bad_response"),
        (Reply(body=b"[]"), "bad_response"),
        (Reply(body=ENDLESS_USAGE), "bad_response"),
        (Reply(body=b"[" * 200_000), "bad_response"),
        (Reply(delay_seconds=1.0), "timeout"),
    ],
)
def test_what_is_no_answer_has_a_reason(reply: Reply, reason: str) -> None:
    with ScriptedUpstream(reply) as upstream:
        answer = target(upstream.base_url, timeout_seconds=0.3).complete(PROMPT)
    assert answer.error is not None and answer.error.startswith(reason)


def test_nobody_listening_is_a_failure_of_the_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answer = target(f"http://127.0.0.1:{port}/v1").complete(PROMPT)
    assert answer.error is not None and answer.error.startswith("connection")


def test_a_base_url_must_be_one() -> None:
    with pytest.raises(EvaluationError, match="Expected a base URL"):
        target("localhost:8400")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def test_batches_with_a_shared_prefix_answer_as_each_prompt_alone(tiny: Path) -> None:
    """Against the library's own generate, one prompt at a time and without any sharing."""
    import torch

    rng = random.Random(0)
    words = ["refund", "parcel", "printer", "late", "twice", "order", "money", "help"]
    prompts = [
        (
            {"role": "system", "content": "You sort messages to the support desk."},
            {"role": "user", "content": " ".join(rng.choices(words, k=rng.randint(1, 15)))},
        )
        for _ in range(12)
    ]
    asked = HFTarget(folder=tiny, identity="t", sampling=Sampling(max_tokens=16), batch_size=5)
    found = dict(asked.complete_many(prompts))
    model, tokenizer = asked._load()
    for index, prompt in enumerate(prompts):
        ids = tokenizer.apply_chat_template(
            [dict(m) for m in prompt], add_generation_prompt=True, return_tensors="pt"
        )["input_ids"]
        with torch.inference_mode():
            whole = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False
            )
        expected = tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)
        assert found[index].text == expected
        assert found[index].prompt_tokens == ids.shape[1]
    assert len({answer.text for answer in found.values()}) > 3


def test_a_finished_row_leaves_and_the_others_go_on(tiny: Path) -> None:
    prompts = [({"role": "user", "content": f"message {i}"},) for i in range(6)]
    asked = HFTarget(folder=tiny, identity="t", sampling=Sampling(max_tokens=12), batch_size=6)
    before = dict(asked.complete_many(prompts))
    model, tokenizer = asked._load()
    # Make tokens that some answers contain stop tokens, and ask again.
    stops = {tokenizer.convert_tokens_to_ids(t) for t in tokenizer.tokenize(before[0].text[4:8])}
    model.generation_config.eos_token_id = [*stops, tokenizer.eos_token_id]
    after = dict(asked.complete_many(prompts))
    lengths = {after[i].completion_tokens for i in after if after[i].finish_reason == "stop"}
    assert lengths and max(answer.completion_tokens for answer in after.values()) > min(lengths)
    for i, answer in after.items():
        assert before[i].text.startswith(answer.text)


def test_a_prompt_that_does_not_fit_is_a_failure_with_its_length(tiny: Path) -> None:
    long = ({"role": "user", "content": "refund " * 3000},)
    asked = HFTarget(folder=tiny, identity="t", sampling=Sampling(max_tokens=4))
    found = dict(asked.complete_many([long, PROMPT]))
    assert found[0].error is not None and found[0].error.startswith("context_length_exceeded: ")
    assert found[1].error is None


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        HFTarget(folder=tmp_path, identity="t").complete(PROMPT)
    with pytest.raises(EvaluationError, match="greedy"):
        HFTarget(folder=tmp_path, identity="t", sampling=Sampling(temperature=0.7))


def count_connections(upstream: ScriptedUpstream) -> list[object]:
    """Every connection that the server accepts from now on."""
    accepted: list[object] = []
    accept = upstream._server.get_request

    def counted() -> object:
        accepted.append(got := accept())
        return got

    upstream._server.get_request = counted  # type: ignore[assignment,method-assign]
    return accepted


@pytest.mark.parametrize("cut_loops", [False, True])
def test_a_connection_is_used_for_the_next_request(cut_loops: bool) -> None:
    with ScriptedUpstream(Reply(pieces=("4", "2"), text="42")) as upstream:
        accepted = count_connections(upstream)
        asked = target(upstream.base_url, cut_loops=cut_loops)
        assert [asked.complete(PROMPT).text for _ in range(5)] == ["42"] * 5
        assert len(accepted) == 1


def test_a_connection_that_the_server_has_closed_meanwhile_is_no_failure() -> None:
    with ScriptedUpstream(Reply(text="42")) as upstream:
        asked = target(upstream.base_url, retries=0)
        assert asked.complete(PROMPT).text == "42"
        port = upstream.port
    # The old server's threads go on until their clients leave: end its side of the connection.
    (kept,) = asked._connections._idle
    kept.sock.shutdown(socket.SHUT_RDWR)
    with ScriptedUpstream(Reply(text="43"), port=port):
        assert asked.complete(PROMPT).text == "43"


WHOLE = ("The patient ", "reports pain ", "in the knee, ", "denies fever, ", "and sleeps well.")
LOOP = ("She takes the tablets ", "in the morning and ", "in the evening. ")


def test_a_streamed_answer_is_the_whole_one() -> None:
    replies = Reply(text="".join(WHOLE), pieces=WHOLE)
    with ScriptedUpstream(replies) as upstream:
        whole = target(upstream.base_url).complete(PROMPT)
        streamed = target(upstream.base_url, cut_loops=True).complete(PROMPT)
        asked, in_pieces = (request.body for request in upstream.requests)
    assert streamed.latency_ms > 0 and whole.finish_reason == "stop"
    assert streamed == replace(whole, latency_ms=streamed.latency_ms)
    # Nothing else is asked for.
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    assert in_pieces == {**asked, **stream}


def test_an_answer_that_loops_is_ended_there_and_the_server_is_told() -> None:
    pieces = (*WHOLE, *LOOP * 60)
    with ScriptedUpstream(Reply(pieces=pieces, piece_delay_seconds=0.005)) as upstream:
        answer = target(upstream.base_url, cut_loops=True).complete(PROMPT)
        deadline = time.monotonic() + 10
        while not upstream.disconnects and time.monotonic() < deadline:
            time.sleep(0.01)
        assert upstream.disconnects == 1
    assert answer.loops and answer.is_cut_off and answer.error is None
    assert "".join(pieces).startswith(answer.text) and loop_in(answer.text)
    assert answer.completion_tokens < 40


def test_a_stream_that_never_ends_is_ended_though_it_never_falls_silent() -> None:
    rng = random.Random(0)
    pieces = tuple(f"{''.join(rng.choices('abcdefghij', k=8))} " for _ in range(2_000))
    with ScriptedUpstream(Reply(pieces=pieces, piece_delay_seconds=0.02)) as upstream:
        asked = target(upstream.base_url, cut_loops=True, total_seconds=0.5)
        answer = asked.complete(PROMPT)
        assert len(upstream.requests) == 1
    assert answer.error == "timeout: no whole answer in 0.5 s" and not answer.text


def test_a_server_that_does_not_stream_is_understood() -> None:
    body = b'{"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}'
    with ScriptedUpstream(Reply(body=body)) as upstream:
        assert target(upstream.base_url, cut_loops=True).complete(PROMPT).text == "42"


def test_a_stream_that_breaks_off_is_a_failure_and_asked_again() -> None:
    broken, seen = Reply(pieces=WHOLE, reset_after_pieces=2), 0

    def script(_: Received) -> Reply:
        nonlocal seen
        seen += 1
        return broken if seen == 1 else Reply(pieces=WHOLE)

    with ScriptedUpstream(script) as upstream:
        assert target(upstream.base_url, cut_loops=True).complete(PROMPT).text == "".join(WHOLE)
    with ScriptedUpstream(broken) as upstream:
        answer = target(upstream.base_url, cut_loops=True, retries=0).complete(PROMPT)
    assert answer.error is not None and answer.error.startswith("connection")


def test_tools_are_asked_for_whole() -> None:
    tools = ({"type": "function", "function": {"name": "look", "parameters": {}}},)
    with ScriptedUpstream(Reply(text="42")) as upstream:
        target(upstream.base_url, cut_loops=True).complete(PROMPT, tools)
        assert "stream" not in upstream.requests[0].body
