"""Which captured requests are probes, and what was said last."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.hashing import canonical_json
from tuneloop.storage import captured
from tuneloop.workspace import Workspace

PROBES = ['{"probe":"golden"}', '{"probe":""}', '{"a":"b","probe":"smoke"}', '{"probe":1}']
NO_PROBES = [
    None,
    "",
    "{}",
    '{"channel":"probe"}',
    '{"channel":"\\"probe\\""}',
    '{"Probe":"x","probes":"x"," probe":"x","a.probe":"x"}',
    '{"probe":null}',
    '{"a":{"probe":"x"}}',
    '[{"probe":"x"}]',
    '"probe"',
    '{"probe":"x"',
    "probe",
]
tags = st.dictionaries(
    st.one_of(st.sampled_from(["probe", "Probe", "channel", "a.probe", "$", '"probe"']), st.text()),
    st.one_of(st.sampled_from(["probe", '"probe"', ""]), st.text()),
    max_size=4,
).map(canonical_json)


def _read_as_a_frame(texts: list[str | None]) -> list[bool]:
    frame = pl.DataFrame({"tags": texts}, schema={"tags": pl.String})
    return frame.select(captured.probe())["tags"].to_list()


def test_the_name_of_a_tag_makes_a_probe_and_its_value_does_not() -> None:
    assert _read_as_a_frame(PROBES) == [True] * len(PROBES)
    assert _read_as_a_frame(NO_PROBES) == [False] * len(NO_PROBES)


@given(st.lists(tags, max_size=20))
def test_whatever_clients_call_their_tags_one_name_counts(texts: list[str]) -> None:
    assert _read_as_a_frame(texts) == ["probe" in json.loads(text) for text in texts]


def test_chats_are_an_endpoints_own_and_probes_come_only_when_asked_for(
    workspace: Workspace,
) -> None:
    now = workspace.now()
    row = {"time": now, "endpoint": "desk", "bundle": "b1", "operation": "chat", "tags": "{}"}
    workspace.traffic.append(
        "interactions",
        [
            row | {"id": "plain"},
            row | {"id": "before operations were told apart", "operation": None},
            row | {"id": "golden", "tags": '{"probe":"golden"}'},
            row | {"id": "of another bundle", "bundle": "b2"},
            row | {"id": "elsewhere", "endpoint": "shop"},
            row | {"id": "vector", "operation": "embedding"},
            row | {"id": "earlier", "time": now - timedelta(days=2)},
        ],
    )

    def ids(**which: object) -> set[str]:
        day = {"since": now - timedelta(days=1), "until": now + timedelta(days=1)}
        frame = captured.chats(workspace.traffic, endpoint="desk", **(day | which))  # type: ignore[arg-type]
        return set(frame.collect()["id"])

    mine = {"plain", "before operations were told apart"}
    assert ids(bundle="b1") == mine
    assert ids() == mine | {"of another bundle"}
    assert ids(bundle="b1", probes=True) == mine | {"golden"}
    assert ids(bundle="b1", since=None) == mine | {"earlier"}
    assert ids(until=now) == set(), "an end is not in its span"


@pytest.mark.parametrize("order", [1, -1])
def test_what_was_said_last_of_each_kind_counts(workspace: Workspace, order: int) -> None:
    now = workspace.now()
    rows = [
        {"id": identity, "time": now, "interaction": "one", "kind": kind, "value": json.dumps(text)}
        for identity, kind, text in [
            ("1", "edit", "first"),
            ("2", "edit", "last"),
            ("3", "label", "right"),
            ("4", "rating", 1),
        ]
    ]
    later = {"id": "0", "time": now + timedelta(seconds=1), "interaction": "two", "kind": "edit"}
    rows += [rows[0] | {"id": "9", "interaction": "two"}, later | {"value": '"later"'}]
    workspace.traffic.append("feedback", rows[::order])
    said = captured.last_said(captured.feedback(workspace.traffic, "edit", "label")).collect()
    assert set(said.select("interaction", "kind", "value").iter_rows()) == {
        ("one", "edit", '"last"'),
        ("one", "label", '"right"'),
        ("two", "edit", '"later"'),
    }
