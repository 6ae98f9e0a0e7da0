"""Every way in which a person may put back what was refused, at the terminal.

Three bundles stand in the workspace: `old`, `new`, and `again`, which is `new` under another id as
`tuneloop run` with other gates makes it. Their servers are played.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from live_desk import make_loop
from tuneloop.cli import main as cli
from tuneloop.deployment import servers
from tuneloop.deployment.drill import Probing, drill
from tuneloop.deployment.supervisor import Supervisor
from tuneloop.errors import GateError, TuneloopError
from tuneloop.evaluation.record import ANSWERS_FILE
from tuneloop.loop import Loop
from tuneloop.progress import Silent
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.storage import tables
from tuneloop.testing.backend import PlayedBackend, played
from tuneloop.testing.manifest import manifest_of
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

CASES = 12


class Desk:
    """The workspace, and who types."""

    def __init__(self, loop: Loop, clock: Any, url: str) -> None:
        self.loop, self.clock, self.url = loop, clock, url
        self.old = self.made("old", weights="old")
        self.new = self.made("new", weights="new")
        self.again = self.made("again", weights="new")

    def made(self, name: str, *, weights: str) -> Bundle:
        """A bundle that passed its gates, with the answers of its evaluation."""
        self.clock.advance(minutes=1)
        export, answers = (self.loop.workspace.folder(f"{name}/{it}") for it in ("x", "y"))
        (export / "weights").write_text(weights)
        rows = [
            {
                "target": "candidate",
                "suite": "held-out",
                "case": str(number),
                "messages": [{"role": "user", "content": str(number)}],
                "answer": {"text": f"tuned {number}", "finish_reason": "stop"},
            }
            for number in range(CASES)
        ]
        (answers / ANSWERS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
        put = self.loop.workspace.artifacts.put
        self.evaluated(name, subject=weights, verdict="passed", artifact=put(answers, kind="e"))
        content = manifest_of(
            model="desk",
            artifacts={"export": put(export, kind="export")},
            serving={
                "backend": "played",
                "digest": weights,
                "sampling": {"temperature": 0.0},
                "parallel_requests": 1,
            },
            evaluation={"id": name, "verdict": "passed", "scores": {}},
        )
        return bundles.register(self.loop.workspace, content)

    def evaluated(self, name: str, *, subject: str, verdict: str, artifact: str) -> None:
        self.clock.advance(minutes=1)
        with self.loop.workspace.records.begin() as tx:
            tx.execute(
                sa.insert(tables.evaluations).values(
                    id=name,
                    model="desk",
                    subject=subject,
                    gates="g",
                    suites="s",
                    status="finished",
                    verdict=verdict,
                    artifact=artifact,
                    figures={"comparisons": {}},
                    created_at=self.loop.workspace.now(),
                )
            )

    def type(self, *words: str, who: str = "ann", code: int = 0) -> str:
        """What is said; a refusal in one line, with what undoes it."""
        self.clock.advance(minutes=1)
        done = CliRunner().invoke(cli.app, list(words), env={"TUNELOOP_ACTOR": who})
        if isinstance(done.exception, TuneloopError):
            assert code == done.exception.exit_code, done.exception
            return f"{done.exception.message} {done.exception.remedy}"
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout

    @contextmanager
    def up(self) -> Iterator[None]:
        """While it serves, all servers are ready."""
        with Supervisor(self.loop.workspace.folder("locks") / "up.lock"):
            for bundle in (self.old, self.new, self.again):
                servers.want(self.loop.workspace, bundle.id)
                servers.report(self.loop.workspace, bundle.id, "ready", base_url=self.url)
            yield

    def live(self) -> str:
        return str(json.loads(self.type("status", "--json"))["live"]["bundle"])


@pytest.fixture
def desk(
    tmp_path: Path,
    desk_workspace: Path,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    wide_terminal: None,
) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    opened = Workspace.open

    def at_this_time(*arguments: Any, **options: Any) -> Workspace:
        return opened(*arguments, **{**options, "now": clock})

    monkeypatch.setattr(Workspace, "open", at_this_time)

    def tuned(request: Received) -> Reply:
        return Reply(text=f"tuned {request.body['messages'][-1]['content']}")

    with (
        ScriptedUpstream(tuned) as upstream,
        played(PlayedBackend(base_url=upstream.base_url)),
    ):
        made = Desk(make_loop(Workspace.open(desk_workspace), tmp_path), clock, upstream.base_url)
        for bundle in (made.old, made.new):
            made.type("deploy", bundle.id)
        yield made


def test_after_a_rollback_neither_id_is_deployed_before_it_is_readmitted(desk: Desk) -> None:
    desk.type("rollback", "-m", "it swears")
    for bundle in (desk.new, desk.again):
        said = desk.type("deploy", bundle.short, code=3)
        assert "was rolled back by ann" in said and "it swears" in said
        assert f"tuneloop readmit {desk.new.short}" in said
        assert desk.live() == desk.old.id
    assert f"behaves as {desk.new.short}, which" in said
    assert f"But it behaves as {desk.new.short}" in desk.type("approve", desk.again.short)
    assert "Why" in desk.type("readmit", desk.again.short, code=2)
    said = desk.type("readmit", desk.again.short, "-m", "the prompt was to blame")
    assert f"It may be tried again: tuneloop deploy {desk.again.short}" in said
    desk.type("deploy", desk.again.short)
    assert desk.live() == desk.again.id
    events = json.loads(desk.type("audit", "list", "--json"))
    (kept,) = [event for event in events if event["action"] == "approval.readmitted"]
    assert (kept["actor"], kept["detail"]["reason"]) == ("ann", "the prompt was to blame")


def test_after_a_rejection_it_is_neither_deployed_nor_gone_back_to(desk: Desk) -> None:
    desk.type("rollback", "-m", "it swears")
    desk.type("reject", desk.new.short, "-m", "it invents refunds", who="ines")
    desk.type("readmit", desk.new.short, "-m", "the rollback was a mistake")
    ways = [["deploy", desk.new.id], ["deploy", desk.again.id], ["rollback"]]
    for words in ways:
        said = desk.type(*words, code=3)
        assert "was rejected by ines (it invents refunds)" in said
        assert f"tuneloop approvals withdraw {desk.new.short} --kind deploy" in said
        assert desk.live() == desk.old.id
    shown = desk.type("approve", desk.again.short, "-m", "read it")
    assert f"ines rejected {desk.new.short}, which behaves the same" in shown
    said = desk.type("approvals", "withdraw", desk.again.short, who="ines", code=2)
    assert f"tuneloop approvals withdraw {desk.new.short}" in said
    desk.type("approvals", "withdraw", desk.new.short, "-m", "I was wrong", who="ines")
    desk.type("deploy", desk.again.id)
    assert desk.live() == desk.again.id


def test_a_rollback_is_undone_by_another_one_and_says_what_it_brings_back(desk: Desk) -> None:
    desk.type("rollback", "-m", "it swears")
    said = desk.type("rollback", "-m", "it did not")
    assert f"Mind that {desk.new.short} was rolled back by ann" in said and "it swears" in said
    assert desk.live() == desk.new.id
    third = desk.made("third", weights="third")
    desk.type("deploy", third.id)
    desk.type("deploy", desk.again.id)
    assert desk.live() == desk.again.id, "what was undone is forgotten"


def test_what_missed_a_gate_since_is_not_deployed_under_the_other_id(desk: Desk) -> None:
    desk.type("deploy", desk.made("third", weights="third").id)
    answers = desk.new.manifest.artifacts.export
    desk.evaluated("tried", subject=desk.new.id, verdict="failed", artifact=answers)
    said = desk.type("deploy", desk.again.id, code=3)
    assert "missed a gate in its newest evaluation, tried" in said
    assert "nothing to readmit" in desk.type("readmit", desk.again.id, "-m", "please", code=2)
    desk.evaluated("tried again", subject=desk.again.id, verdict="passed", artifact=answers)
    desk.type("deploy", desk.new.id)
    assert desk.live() == desk.new.id


def test_a_rollout_that_was_ended_is_not_begun_again_with_the_same_weights(desk: Desk) -> None:
    desk.type("deploy", desk.old.id, "-m", "let the traffic decide")
    desk.type("readmit", desk.new.id, "-m", "it was not its fault")
    with desk.up():
        desk.type("rollout", "start", desk.again.short)
        said = desk.type("rollback", "-m", "it is slow")
        assert f"tuneloop readmit {desk.again.short} -m WHY" in said
        for bundle in (desk.new, desk.again):
            for words in (["rollout", "start"], ["deploy"]):
                said = desk.type(*words, bundle.id, code=3)
                assert "was taken back by rollout" in said and "it is slow" in said
    assert desk.live() == desk.old.id


def test_a_rollout_under_way_goes_no_further_once_its_namesake_is_rejected(desk: Desk) -> None:
    desk.type("deploy", desk.old.id, "-m", "let the traffic decide")
    desk.type("readmit", desk.new.id, "-m", "it was not its fault")
    with desk.up():
        desk.type("rollout", "start", desk.again.short)
        desk.type("reject", desk.new.short, "-m", "it invents refunds", who="ines")
        said = desk.type("rollout", "promote", code=3)
    assert f"behaves as {desk.new.short}, which was rejected by ines" in said


def test_a_drill_shows_no_client_what_was_rolled_back(desk: Desk) -> None:
    workspace = desk.loop.workspace
    desk.type("rollback", "-m", "it swears")
    probing = Probing(url=desk.url, endpoint="desk", messages=[])
    with pytest.raises(GateError, match="may not be gone back to: it was rolled back by ann"):
        drill(workspace, probing, model="desk", repeats=1, actor="ann", progress=Silent())


def test_what_behaves_as_another_is_named_with_it(desk: Desk) -> None:
    desk.type("rollback", "-m", "it swears")
    named = f"{desk.new.short} (was rolled back by ann)"
    assert named in desk.type("bundle", "list")
    shown = desk.type("bundle", "show", desk.again.short)
    assert named in shown and "stays out" in shown
    listed = json.loads(desk.type("bundle", "list", "--json"))
    assert {one["id"]: one.get("same_behaviour") for one in listed} == {
        desk.old.id: None,
        desk.new.id: [desk.again.id],
        desk.again.id: [desk.new.id],
    }
    assert desk.again.short in desk.type("history")


def test_status_names_what_production_behaves_as(desk: Desk) -> None:
    found = json.loads(desk.type("status", "--json"))
    assert found["live"]["behaves_as"] == desk.again.short
    assert f"behaves as {desk.again.short}" in " ".join(desk.type("status").split())
