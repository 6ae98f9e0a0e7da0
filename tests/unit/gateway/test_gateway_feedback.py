"""Feedback is checked for its form; what it is about is looked up later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.feedback import parse_feedback

ID = "0" * 31 + "a"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("edit", "the right answer"),
        ("rating", 1),
        ("rating", 0.25),
        ("escalation", None),
        ("escalation", "angry customer"),
        ("label", {"intent": "refund"}),
        ("label", False),
    ],
)
def test_good_feedback_is_read(kind: str, value: Any) -> None:
    body = {"interaction": ID, "kind": kind, "value": value, "user": "ann", "endpoint": "desk"}
    feedback = parse_feedback(json.dumps(body).encode())
    assert (feedback.interaction, feedback.kind, feedback.user) == (ID, kind, "ann")
    assert json.loads(feedback.value) == value


@pytest.mark.parametrize("value", [True, False, 0, 12.5, -3])
def test_a_figure_of_a_team_is_read_under_its_name(value: Any) -> None:
    body = {"interaction": ID, "kind": "metric", "name": "first_contact", "value": value}
    feedback = parse_feedback(json.dumps(body).encode())
    assert (feedback.kind, json.loads(feedback.value)) == ("metric:first_contact", value)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"interaction": ID, "kind": "like", "value": 1},
        {"interaction": "x\r\nset-cookie: a", "kind": "rating", "value": 1},
        {"interaction": ID.upper(), "kind": "rating", "value": 1},
        {"interaction": ID, "kind": "edit", "value": " "},
        {"interaction": ID, "kind": "edit", "value": 3},
        {"interaction": ID, "kind": "rating", "value": 1.5},
        {"interaction": ID, "kind": "rating", "value": True},
        {"interaction": ID, "kind": "rating", "value": "good"},
        {"interaction": ID, "kind": "label"},
        {"interaction": ID, "kind": "rating", "value": 1, "vaule": 1},
        {"interaction": ID, "kind": "rating", "value": 1, "name": "refund"},
        {"interaction": ID, "kind": "metric", "value": 1},
        {"interaction": ID, "kind": "metric", "name": "Refund!", "value": 1},
        {"interaction": ID, "kind": "metric", "name": "*", "value": 1},
        {"interaction": ID, "kind": "metric", "name": "refund"},
        {"interaction": ID, "kind": "metric", "name": "refund", "value": "1"},
        {"interaction": ID, "kind": "metric", "name": "refund", "value": 10**400},
    ],
)
def test_bad_feedback_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        parse_feedback(json.dumps(body).encode())
    assert (refused.value.status, refused.value.code) == (400, "invalid_feedback")


@pytest.mark.parametrize(
    "body",
    [
        {"interaction": ID, "kind": "thumbs", "value": 1},
        {"interaction": ID, "kind": "edit", "value": "x", "author": "Ines"},
        {"kind": "edit", "value": "x"},
    ],
)
def test_whoever_sends_another_form_is_told_the_right_one(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        parse_feedback(json.dumps(body).encode())
    for expected in ("`interaction`", "edit, rating, escalation, label, metric", "`value`"):
        assert expected in refused.value.message
