"""Log-probabilities that the gateway asks for itself: of whom, and taken out without a trace."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.gateway.answers import EventReader, Facts, read_completion
from tuneloop.gateway.capture import Exchange
from tuneloop.gateway.logprobs import LogprobAsking, hidden
from tuneloop.gateway.requests import CHAT, COMPLETION, Operation, parse, upstream_body
from tuneloop.gateway.routing import resolve
from tuneloop.registry.routes import Arm, CaptureRule, Endpoint, RouteSnapshot, Target

LOGPROBS = {"content": [{"token": '"logprobs": {', "logprob": -0.5, "top_logprobs": []}]}


def exchange(
    operation: Operation = CHAT,
    *,
    share: float = 1.0,
    capture: float = 1.0,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> Exchange:
    rule = CaptureRule(share=capture, logprobs_share=share)
    snapshot = RouteSnapshot(
        version=1,
        endpoints={"desk": Endpoint(arms=(Arm(bundle="b1"),), capture=rule)},
        bundles={"b1": Target(base_url="http://127.0.0.1:1/v1", served_name="served-b1")},
    )
    asks: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    body = {"model": "desk"} | (asks if operation is CHAT else {"prompt": "Hi"}) | fields
    call = parse(operation, json.dumps(body).encode(), headers or {})
    return Exchange(call, resolve(snapshot, "desk", call.conversation))


def answer(**choice: Any) -> bytes:
    said = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"} | choice
    return json.dumps({"model": "b1", "choices": [said], "usage": None}).encode()


def knowing(**choice: Any) -> LogprobAsking:
    """One that has seen an answer, whole and streamed, of which nobody asked them."""
    asking = LogprobAsking()
    for streamed in (False, True):
        first = exchange(stream=streamed)
        read_completion(answer(**choice), "desk", first.facts)
        asking.learn(first)
    return asking


def test_a_server_is_first_seen_and_then_asked() -> None:
    asking = LogprobAsking()
    assert asking.hiding(exchange()) is None
    seen = exchange()
    read_completion(answer(), "desk", seen.facts)
    asking.learn(seen)
    assert asking.hiding(exchange()) is not None
    assert asking.hiding(exchange(stream=True)) is None  # of a stream it knows nothing yet


@pytest.mark.parametrize(
    "left_alone",
    [
        {"share": 0.0},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"tools": []},
        {"capture": 0.0},
        {"headers": {"x-tuneloop-capture": "off"}},
        {"headers": {"x-tuneloop-tags": "probe=golden"}},
        {"operation": COMPLETION},
    ],
)
def test_what_is_not_measured_or_asks_for_itself_is_left_alone(left_alone: Any) -> None:
    assert knowing().hiding(exchange(**left_alone)) is None


def test_a_client_that_says_no_or_nothing_is_asked_for_the_same_share() -> None:
    asking = knowing()
    for said in ({}, {"logprobs": None}, {"logprobs": False}):
        asked = [asking.hiding(exchange(share=0.2, **said)) is not None for _ in range(2_000)]
        assert 0.15 < sum(asked) / len(asked) < 0.25


def test_the_same_interaction_falls_on_the_same_side() -> None:
    asking, one = knowing(), exchange(share=0.5)
    assert len({asking.hiding(one) is None for _ in range(20)}) == 1


def test_nothing_but_the_two_fields_is_added_to_a_request() -> None:
    one = exchange(temperature=0.7, stream=True, stream_options={"include_usage": True})
    plain = upstream_body(one.call, one.route.target)
    asked = upstream_body(one.call, one.route.target, logprobs=True)
    assert json.loads(asked) == json.loads(plain) | {"logprobs": True, "top_logprobs": 1}


def test_a_server_that_refuses_is_spared_and_tried_again() -> None:
    time = [0.0]
    asking = LogprobAsking(clock=lambda: time[0])
    seen = exchange()
    read_completion(answer(), "desk", seen.facts)
    asking.learn(seen)
    asking.refused(exchange())
    assert asking.hiding(exchange()) is None
    time[0] = 3601.0
    assert asking.hiding(exchange()) is not None


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n ", " :\t")])
@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("place", range(4))
def test_a_client_gets_the_bytes_that_it_would_have_got(
    separators: tuple[str, str], null: bool, place: int
) -> None:
    names = ["index", 'a "logprobs": name', "message"]
    values: dict[str, Any] = {
        "index": 0,
        'a "logprobs": name': None,
        "message": {"content": 'say "logprobs": {}', "logprobs": LOGPROBS},
    }
    names.insert(place, "logprobs")

    def written(said: Any) -> bytes:
        one = {n: said if n == "logprobs" else values[n] for n in names}
        if said is msgspec.UNSET:
            del one["logprobs"]
        return json.dumps([one, one], separators=separators).encode()

    assert hidden(written(LOGPROBS), null=null) == written(None if null else msgspec.UNSET)


def test_a_choice_that_names_a_field_twice_is_still_one_without_them() -> None:
    twice = b'[{"index": 0, "index": 1, "logprobs": {"content": []}, "text": "a"}]'
    assert json.loads(hidden(twice, null=False)) == [{"index": 1, "text": "a"}]
    assert json.loads(hidden(twice, null=True)) == [{"index": 1, "text": "a", "logprobs": None}]


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    choices=st.lists(st.dictionaries(st.text(), _values, max_size=4), max_size=3),
    logprobs=_values,
    ascii_=st.booleans(),
)
def test_whatever_a_choice_holds_the_rest_of_it_stays(
    choices: list[dict[str, Any]], logprobs: Any, ascii_: bool
) -> None:
    without = [{n: v for n, v in choice.items() if n != "logprobs"} for choice in choices]
    asked = [choice | {"logprobs": logprobs} for choice in without]
    written = json.dumps(asked, ensure_ascii=ascii_).encode("utf-8", "replace")
    expected = json.dumps(without, ensure_ascii=ascii_).encode("utf-8", "replace")
    assert hidden(written, null=False) == expected


@pytest.mark.parametrize("unasked", [{}, {"logprobs": None}])
def test_what_is_taken_out_of_an_answer_is_known_to_the_capture(unasked: dict[str, Any]) -> None:
    asking = knowing(**unasked)
    hide = asking.hiding(exchange())
    facts = Facts()
    out = read_completion(answer(**unasked | {"logprobs": LOGPROBS}), "desk", facts, hide=hide)
    assert out == read_completion(answer(**unasked), "desk", Facts())
    assert facts.mean_logprob == -0.5


@pytest.mark.parametrize("unasked", [{}, {"logprobs": None}])
def test_a_stream_loses_them_too_however_it_is_cut(unasked: dict[str, Any]) -> None:
    def stream(**said: Any) -> bytes:
        choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
        chunks = [choice | unasked | said, {**choice, "finish_reason": "stop"} | unasked]
        lines = [json.dumps({"model": "b1", "choices": [one]}).encode() for one in chunks]
        return b"".join(b"data: " + line + b"\n\n" for line in lines)

    asked, plain = stream(logprobs=LOGPROBS), stream()
    hide = knowing(**unasked).hiding(exchange(stream=True))
    facts = Facts()
    reader = EventReader("desk", facts, show_usage=True, hide=hide)
    out = b"".join(reader.feed(asked[at : at + 7]) for at in range(0, len(asked), 7))
    assert out == EventReader("desk", Facts(), show_usage=True).feed(plain)
    assert facts.mean_logprob == -0.5
