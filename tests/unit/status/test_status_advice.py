"""What `tuneloop status` says is next: a case for each advice, and what keeps one unsaid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from live_desk import make_loop
from tuneloop import intervals
from tuneloop.deployment import endpoints
from tuneloop.loop import Loop
from tuneloop.monitoring import alerts
from tuneloop.monitoring.measurement import Limit, against_limit
from tuneloop.monitoring.window import Window
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.status.advice import advise
from tuneloop.status.facts import (
    Candidate,
    Erased,
    Facts,
    LastCycle,
    LastRollout,
    OpenAlert,
    Served,
)
from tuneloop.status.screen import Status, status
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

WELL = Facts(live=Served(bundle="new"), previous="old")
"""A bundle in production, one to go back to, and nothing to do."""
WAITS = Candidate(
    bundle="cand",
    standing="waits",
    reason="it needs 1 more approval by expert",
    kinds=("deploy",),
    evaluation="e7",
)
ON_NEW = OpenAlert(monitor="edit_rate", opened_on="new", measured=("new", "new"))
ON_OLD = OpenAlert(monitor="novelty", opened_on="old", measured=("old",), since_live=False)


def lines(facts: Facts) -> list[str]:
    return [str(one) for one in advise(facts)]


def test_where_all_is_well_there_is_nothing_to_do() -> None:
    assert lines(WELL) == ["Nothing: all is well."]
    assert advise(WELL)[0].command is None


CASES: dict[str, tuple[Facts, list[str]]] = {
    "data files changed": (
        replace(WELL, changed_sources=("a.jsonl",)),
        ["See what the changed data files would bring: tuneloop data sources"],
    ),
    "data files changed, and what was made of them is refused": (
        replace(
            WELL,
            changed_sources=("a.jsonl",),
            candidate=Candidate(bundle="cand", standing="refused", evaluation="e7"),
        ),
        ["tuneloop evaluation show e7"],
    ),
    "nothing was ever made": (Facts(), ["Make and deploy a first bundle: tuneloop run"]),
    "nobody serves": (replace(WELL, gateway_runs=False, worker_alive=False), ["tuneloop up"]),
    "the server of production is not ready": (
        replace(WELL, live=Served(bundle="new", server="starting", switching_from=("old",))),
        ["Nothing: old answers until"],
    ),
    "the server of production fails": (
        replace(WELL, live=Served(bundle="new", server="failed")),
        ["The model server of new is failed"],
    ),
    "an alert came with the new bundle": (
        replace(WELL, alerts=(ON_NEW,)),
        [
            "tuneloop alert list",
            "Go back to old if the new bundle is to blame: tuneloop rollback --from new",
        ],
    ),
    "an alert on a bundle that was gone back to": (
        replace(WELL, alerts=(ON_NEW,), came_by_rollback=True),
        ["tuneloop alert list"],
    ),
    "an alert of the bundle before": (
        replace(WELL, alerts=(ON_OLD,)),
        ["about a bundle that is no longer in production"],
    ),
    "both bundles alert": (replace(WELL, alerts=(ON_NEW, ON_OLD)), ["tuneloop alert list"]),
    "an alert that the bundle before opened, and the new one too crosses": (
        replace(WELL, alerts=(replace(ON_OLD, measured=("old", "new")),)),
        ["tuneloop alert list"],
    ),
    "an alert that opened on it when it was in production before": (
        replace(WELL, alerts=(replace(ON_NEW, since_live=False),)),
        ["tuneloop alert list"],
    ),
    "an alert about no bundle": (
        replace(WELL, alerts=(OpenAlert(monitor="capture_loss", opened_on=None),)),
        ["tuneloop alert list"],
    ),
    "the way back holds what was erased": (
        replace(
            WELL, alerts=(ON_NEW,), erased=(Erased(bundle="old", role="previous", erasure="x"),)
        ),
        ["tuneloop alert list", "Do not go back to old"],
    ),
    "an erasure reached production": (
        replace(WELL, erased=(Erased(bundle="new", role="production", erasure="x1"),)),
        ["production was made of rows that erasure x1 deleted: retrain without them: tuneloop run"],
    ),
    "an erasure reached production, and a candidate was made since": (
        replace(
            WELL,
            erased=(Erased(bundle="new", role="production", erasure="x1"),),
            candidate=WAITS,
        ),
        ["candidate cand was not: see below", "Look at candidate cand", "tuneloop approve"],
    ),
    "an erasure reached the candidate": (
        replace(
            WELL, erased=(Erased(bundle="cand", role="candidate", erasure="x1"),), candidate=WAITS
        ),
        ['reject it: tuneloop reject candidate -m "erasure x1"'],
    ),
    "a rollout is paused": (
        replace(
            WELL, rollout=LastRollout(id="r1", candidate="cand", status="paused", detail="lunch")
        ),
        ["Rollout r1 is paused (lunch): go on with it: tuneloop rollout resume", "rollout abort"],
    ),
    "a rollout waits for a person": (
        replace(WELL, rollout=LastRollout(id="r1", candidate="cand", status="running", asks=True)),
        ["Rollout r1 waits for a person"],
    ),
    "a rollout goes on by itself": (
        replace(WELL, rollout=LastRollout(id="r1", candidate="cand", status="running")),
        ["Nothing: rollout r1 is under way. See how it goes: tuneloop rollout status"],
    ),
    "a rollout took the candidate back": (
        replace(
            WELL,
            rollout=LastRollout(id="r1", candidate="cand", status="rolled_back", detail="format"),
            candidate=replace(WAITS, standing="taken back"),
            cycle=LastCycle(id="c1", status="stopped", bundle="cand"),
        ),
        ["Rollout r1 took candidate cand back (format)"],
    ),
    "a cycle failed": (
        replace(WELL, cycle=LastCycle(id="c1", status="failed", outcome="No memory.")),
        ["Cycle c1 failed: No memory. Mend the cause, then go on where it was: tuneloop run"],
    ),
    "a cycle was interrupted": (
        replace(WELL, cycle=LastCycle(id="c1", status="running"), worker_alive=False),
        ["Cycle c1 was interrupted: go on where it was: tuneloop run", "No worker is running"],
    ),
    "a cycle is being worked on": (
        replace(WELL, cycle=LastCycle(id="c1", status="running", at_work=True)),
        ["Nothing: cycle c1 is running. See how it goes: tuneloop cycle show latest"],
    ),
    "a cycle is asked for, and nobody takes it": (
        replace(WELL, cycle=LastCycle(id="c1", status="asked"), worker_alive=False),
        ["Cycle c1 is asked for, and no worker is running: do it here: tuneloop run", "No worker"],
    ),
    "a cycle may go on, and nobody takes it": (
        replace(
            WELL,
            cycle=LastCycle(id="c1", status="waiting", bundle="cand"),
            candidate=replace(WAITS, standing="accepted"),
            worker_alive=False,
        ),
        ["What cycle c1 waited for has come: go on with it: tuneloop run", "No worker"],
    ),
    "a cycle stopped before it had a candidate": (
        replace(WELL, cycle=LastCycle(id="c1", status="stopped", outcome="q8_0 diverges.")),
        ["Cycle c1 stopped: q8_0 diverges."],
    ),
    "a cycle stopped as its candidate did not start": (
        replace(
            WELL,
            cycle=LastCycle(id="c1", status="stopped", bundle="cand", outcome="No smoke."),
            candidate=replace(WAITS, standing="accepted"),
        ),
        ["Cycle c1 stopped: No smoke. Mend the cause, then try again: tuneloop run"],
    ),
    "a candidate waits for approval": (
        replace(WELL, candidate=WAITS, new_corrections=50),
        [
            "Look at candidate cand: tuneloop bundle diff production candidate",
            "(deploy: it needs 1 more approval by expert): tuneloop approve candidate",
        ],
    ),
    "the first candidate waits for the sign-off of its evaluation": (
        Facts(candidate=replace(WAITS, kinds=("evaluation",))),
        ["tuneloop evaluation show e7", "tuneloop approve candidate --kind evaluation"],
    ),
    "a candidate that nobody deploys": (
        replace(WELL, candidate=replace(WAITS, standing="accepted"), new_corrections=50),
        ["put it into production: tuneloop deploy candidate"],
    ),
    "a candidate that is to be rolled out": (
        replace(WELL, candidate=replace(WAITS, standing="accepted"), rolls_out=True),
        ["tuneloop rollout start candidate"],
    ),
    "a candidate that was compared with what is gone": (
        replace(WELL, candidate=replace(WAITS, standing="outdated")),
        ["compare it again: tuneloop run"],
    ),
    "a candidate was refused": (
        replace(WELL, candidate=replace(WAITS, standing="refused", reason="it missed a gate")),
        ["refused: it missed a gate. Read its report: tuneloop evaluation show e7"],
    ),
    "a candidate was refused, and there is more to learn from": (
        replace(WELL, candidate=replace(WAITS, standing="refused"), new_corrections=20),
        ["was refused", "Retrain on 20 approved corrections: tuneloop run"],
    ),
    "a candidate was rejected": (
        replace(WELL, candidate=replace(WAITS, standing="rejected")),
        ["Nothing: all is well."],
    ),
    "the only candidate was rejected": (
        Facts(candidate=replace(WAITS, standing="rejected", reason="ann: it swears")),
        ["Candidate cand was rejected (ann: it swears): make another one"],
    ),
    "people differ, others have not looked": (
        replace(WELL, open_reviews=3, disputed_reviews=2),
        [
            "differently (2): tuneloop review list --status disputed",
            "Review what waits (3): tuneloop review",
        ],
    ),
    "there is something to learn": (
        replace(WELL, new_corrections=20),
        ["Retrain on 20 approved corrections: tuneloop run"],
    ),
    "too little to learn": (replace(WELL, new_corrections=19), ["Nothing: all is well."]),
    "nobody keeps the schedule": (
        replace(WELL, worker_alive=False),
        ["No worker is running, so nothing is measured or decided on schedule"],
    ),
    "there is no schedule to keep": (
        replace(WELL, worker_alive=False, scheduled=False),
        ["Nothing: all is well."],
    ),
}


@pytest.mark.parametrize(("facts", "said"), CASES.values(), ids=CASES)
def test_what_is_advised(facts: Facts, said: list[str]) -> None:
    found = lines(facts)
    assert len(found) == len(said), found
    for line, part in zip(found, said, strict=True):
        assert part in line


def crossed(loop: Loop, monitor: str, bundle: Bundle) -> None:
    now = loop.workspace.now()
    window = Window(endpoint="desk", bundle=bundle.id, start=now, end=now)
    measurement = against_limit(
        monitor,
        window,
        intervals.share(50, 100),
        what="answers that people changed",
        limit=Limit(threshold=0.1, unit="share", side="above"),
        minimum=10,
    )
    alerts.apply(
        loop.workspace, model="desk", measurements=[measurement], now=now, bundle=bundle.id
    )


def put_into_production(loop: Loop, name: str) -> Bundle:
    made = bundles.register(
        loop.workspace,
        manifest_of(
            model="desk",
            base={},
            artifacts={},
            dataset={},
            training={"run": name},
            task={},
            serving={},
            evaluation={"id": "", "verdict": "passed"},
            routing={},
        ),
    )
    live = endpoints.find(loop.workspace, "desk")
    endpoints.point(
        loop.workspace,
        model=loop.model,
        bundle=made.id,
        expected=live.bundle if live else None,
        actor="ann",
        reason="test",
    )
    return made


def test_an_alert_knows_which_bundle_it_is_about(
    workspace: Workspace, tmp_path: Path, clock: Any
) -> None:
    """Through the real stores: opened on one bundle, seen on another, and a rollback."""
    loop = make_loop(workspace, tmp_path / "desk", schedule={"golden": "never"})

    def seen() -> Status:
        clock.advance(hours=1)
        return status(workspace, loop.model, gateway_url="http://127.0.0.1:1/v1")

    old = put_into_production(loop, "old")
    clock.advance(hours=1)
    crossed(loop, "edit_rate", old)
    assert not any("rollback" in step for step in seen().next_steps), "there is no way back yet"
    new = put_into_production(loop, "new")
    found = seen()
    assert found.alerts[0].startswith(f"of {old.short}, no longer in production: answers that")
    assert "measure the present one: tuneloop monitor run" in "\n".join(found.next_steps)
    crossed(loop, "novelty", new)
    found = seen()
    assert found.alerts[1].startswith("answers that people changed")
    assert not any("rollback" in step for step in found.next_steps), "the old one alerts as well"

    newest = put_into_production(loop, "newest")
    crossed(loop, "errors", newest)
    clock.advance(hours=1)
    assert not any("rollback" in step for step in seen().next_steps)
    another = put_into_production(loop, "another")
    clock.advance(hours=1)
    last = put_into_production(loop, "last")
    clock.advance(hours=1)
    crossed(loop, "cost", last)
    assert (
        f"Go back to {another.short} if the new bundle is to blame: "
        f"tuneloop rollback --from {last.short}"
    ) in seen().next_steps


def test_nobody_is_sent_back_to_what_was_gone_back_from(
    workspace: Workspace, tmp_path: Path, clock: Any
) -> None:
    """Its alert is resolved by then: it is measured no more."""
    loop = make_loop(workspace, tmp_path / "desk", schedule={"golden": "never"})

    def back(*, drill: bool = False) -> None:
        clock.advance(hours=1)
        endpoints.roll_back(
            workspace, model=loop.model.name, actor="ann", reason="test", drill=drill
        )

    def advised() -> list[str]:
        found = status(workspace, loop.model, gateway_url="http://127.0.0.1:1/v1")
        return [step for step in found.next_steps if "rollback" in step]

    good = put_into_production(loop, "good")
    clock.advance(hours=1)
    bad = put_into_production(loop, "bad")
    back()
    clock.advance(hours=1)
    crossed(loop, "edit_rate", good)
    assert advised() == []
    back(drill=True)
    back(drill=True)
    assert advised() == [], "a drill ends where it began"
    clock.advance(hours=1)
    put_into_production(loop, "next")
    clock.advance(hours=1)
    put_into_production(loop, "bad")
    clock.advance(hours=1)
    crossed(loop, "cost", bad)
    assert len(advised()) == 1, "deployed again, it did not come by the rollback"
