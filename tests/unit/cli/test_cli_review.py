"""Reviewing on the command line: whatever clients sent is shown as it is, and decided as shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tuneloop import review
from tuneloop.cli.main import app
from tuneloop.workspace import Workspace

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def desk(
    tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """Two answers were corrected; one client sends content parts and what looks like markup."""
    (tmp_path / "tuneloop.yaml").write_text("name: desk\nbase: b\ndata:\n  sources: [a.jsonl]\n")
    monkeypatch.chdir(tmp_path)
    opened = Workspace.open(desk_workspace)
    parts = [{"type": "text", "text": "why [/b] this?"}, {"type": "image_url", "image_url": {}}]
    capture(opened, "1", [{"role": "user", "content": parts}])
    capture(opened, "2", [{"role": "user"}])
    for interaction in "12":
        edit(opened, interaction, f"right {interaction} [/i]", NOW)
    yield opened
    opened.records.close()


def capture(workspace: Workspace, identity: str, messages: list[dict[str, object]]) -> None:
    row = {
        "id": identity,
        "time": NOW + timedelta(seconds=int(identity)),
        "endpoint": "desk",
        "bundle": "b" * 64,
        "status": 200,
        "latency_ms": 5.0,
        "messages": json.dumps(messages),
        "response": "wrong",
    }
    workspace.traffic.append("interactions", [row])


def edit(workspace: Workspace, interaction: str, value: str, time: datetime) -> None:
    row = {
        "id": f"{interaction}-{time:%H%M}",
        "time": time,
        "interaction": interaction,
        "kind": "edit",
        "value": json.dumps(value),
    }
    workspace.traffic.append("feedback", [row])


def run(*arguments: str, keys: str = "") -> Result:
    done = CliRunner().invoke(app, list(arguments), input=keys, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done


def test_items_and_traffic_are_listed_as_clients_sent_them(desk: Workspace) -> None:
    for words in (["review", "list"], ["traffic", "list"]):
        assert "why [/b] this?" in run(*words).stdout
    assert "right 1 [/i]" in run("review", "list").stdout
    items = json.loads(run("review", "list", "--json").stdout)
    assert [item["proposal"] for item in items] == ["right 1 [/i]", "right 2 [/i]"]


def test_one_item_after_the_other(desk: Workspace) -> None:
    done = run("review", "--reviewer", "Ines", keys="a\ne\n   \nbetter\n")
    assert "why [/b] this?" in done.stdout
    assert "An empty answer cannot be approved." in done.stdout
    assert "2 approved" in done.stdout
    approved = review.listing(desk, "desk", status="approved")
    finals = {item.interaction: item.final for item in approved}
    assert finals == {"1": "right 1 [/i]", "2": "better"}
    assert "Nothing to review." in run("review").stdout


def test_what_was_not_listed_is_not_approved(desk: Workspace) -> None:
    first, second = json.loads(run("review", "list", "--json").stdout)
    capture(desk, "3", [{"role": "user", "content": "new"}])
    edit(desk, "3", "never read", NOW)
    edit(desk, first["interaction"], "not what was read", NOW + timedelta(minutes=1))
    said = run("review", "approve", "--all").stdout
    assert "1 more item came in that nobody has seen: tuneloop review list" in said
    approved = review.listing(desk, "desk", status="approved")
    finals = {item.interaction: item.final for item in approved}
    assert finals == {"1": first["proposal"], "2": second["proposal"]}
    assert [item["interaction"] for item in json.loads(run("review", "list", "--json").stdout)] == [
        "3"
    ]


def test_choices_disputes_and_figures(desk: Workspace) -> None:
    """A number chooses one of the answers in conflict; only whom an item waits for is asked."""
    proposals = [
        review.Proposal(
            kind="contradiction",
            key="open",
            messages=[{"role": "user", "content": "open on Sunday?"}],
            answer="",
            proposal="yes",
            detail={
                "answers": [
                    {"answer": "yes", "rows": ["a.jsonl, line 3", "a.jsonl, line 9"]},
                    {"answer": "no", "rows": ["a.jsonl, line 5"]},
                ]
            },
        )
    ]
    run("review", "list")
    run("review", "reject", "--all")
    done = run("review", "--reviewer", "Ines")
    assert "Nothing to review." in done.stdout
    review.enqueue(desk, proposals, model="desk", double_share=1.0)
    (item,) = review.listing(desk, "desk")
    done = run("review", "--reviewer", "Ines", keys="2\n")
    assert "a.jsonl, line 3 and 1 more" in done.stdout
    assert "Another person judges this one too." in done.stdout
    assert "Nothing to review." in run("review", "--reviewer", "ines").stdout
    assert "Ines" not in run("review", "list", "--status", "second", "--json").stdout
    done = run("review", "--reviewer", "Bo", keys="a\n")
    assert "You two disagree" in done.stdout
    done = run("review", "--reviewer", "Eve", keys="2\n")
    assert "2 no  a.jsonl, line 5; Ines approved" in done.stdout
    assert review.listing(desk, "desk", status="approved")[0].final == "no"

    assert json.loads(run("review", "undo", item.id, "--json").stdout)["status"] == "disputed"
    approved = run("review", "approve", item.id, "--answer", "maybe", "--json")
    assert json.loads(approved.stdout) == {"approved": 1}
    found = json.loads(run("review", "stats", "--json").stdout)
    assert found["agreement"]["n"] == 1
    assert found["pace"]["n"] == 2
    text = run("review", "stats").stdout
    assert "examples per expert hour (n = 2" in text
    assert "decided the same, n = 1" in text


@pytest.mark.usefixtures("desk")
def test_a_mistyped_state_is_no_empty_queue() -> None:
    refused = CliRunner().invoke(app, ["review", "list", "--status", "aproved"])
    assert refused.exit_code == 2 and "'approved'" in refused.output
