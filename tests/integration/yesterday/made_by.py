"""Made `workspace.tar.xz`: a small workspace of the version before the rebuild (commit bcf1913).

It is run with that version's code, from its worktree, never with today's:

    git worktree add ../before bcf1913
    cd ../before
    PYTHONPATH=src:tests python …/tests/integration/yesterday/made_by.py …/workspace.tar.xz

What a team does in a month is played: no model is trained and none is served, every record is
written by that version's own functions and commands. `said.json` beside the model file is what its
commands reported of it at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from tuneloop.retraining.loop import Loop
from typer.testing import CliRunner

from live_desk import SCHEMA, capture, make_loop
from tuneloop.cli.main import app
from tuneloop.deployment import endpoints, rollouts
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan, ShadowStep
from tuneloop.evaluation.plan import plan_evaluation
from tuneloop.evaluation.stage import evaluate
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.registry import aliases, bundle
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.storage import tables
from tuneloop.storage.spool import Interaction, Spool, encode, iso_time, new_id
from tuneloop.testing.upstream import Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

ANSWER = '{"intent": "refund"}'
REPORTS = (
    "history",
    "data list",
    "data show",
    "runs list",
    "runs show latest",
    "evaluation list",
    "evaluation show latest",
    "bundle list",
    "bundle show",
    "bundle show previous",
    "bundle show candidate",
    "bundle diff previous production",
    "rollout list",
    "rollout status",
    "monitor history",
    "alert list --all",
    "review list --status all",
    "review stats",
    "approvals list",
    "people list",
    "key list",
    "cycle list",
    "cycle show latest",
    "triggers explain",
    "audit list --all --limit 500",
    "audit head",
    "audit verify",
)
"""What must be reported word for word by every later version."""


def main(archive: Path) -> None:
    """Make the workspace, and pack it."""
    with tempfile.TemporaryDirectory() as parent:
        desk = Path(parent) / "desk"
        desk.mkdir()
        os.chdir(desk)
        make(desk)
        said = {words: told(words) for words in REPORTS}
        Path("said.json").write_text(json.dumps(said, indent=1))
        # Last: whoever looks at the queue moves what is in the spool.
        leave_in_spool(desk / ".tuneloop" / "spool", said["bundle show"]["id"])
        for name in ("cache", "logs", "work"):
            shutil.rmtree(desk / ".tuneloop" / name, ignore_errors=True)
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            packed.add(desk, "desk")


def make(desk: Path) -> None:
    """The team's month."""
    rows = [{"prompt": f"Question {n}, please?", "completion": ANSWER} for n in range(30)]
    (desk / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (desk / "golden.jsonl").write_text(json.dumps(rows[0]) + "\n")
    workspace = Workspace.open(desk / ".tuneloop")
    loop = make_loop(
        workspace,
        desk,
        task={"output_schema": SCHEMA},
        review={"double_share": 0.4},
        monitors={"minimum_samples": 5},
        evaluation={"suites": [{"name": "golden", "file": "golden.jsonl"}]},
    )
    do("ada", "prepare")
    first, second, third = (made(loop, words) for words in ("", "Be brief.", "Be kind."))
    for new, expected in ((first, None), (second, first)):
        endpoints.point(
            workspace, model=loop.model, bundle=new, expected=expected, actor="ada", reason="gates"
        )
    dataset = loop.dataset().digest
    with workspace.records.begin() as tx:
        tx.execute(
            sa.insert(tables.training_runs).values(
                id="run-1",
                model="desk",
                dataset=dataset,
                base="b",
                config="c",
                status="finished",
                record={"losses": []},
                created_at=workspace.now(),
            )
        )
        aliases.move(
            tx,
            model="desk",
            name="candidate",
            bundle=third,
            expected=None,
            actor="ada",
            reason="made",
            now=workspace.now(),
        )
    evaluated(loop)
    live(loop, second)
    do("ada", "prepare")
    rolled_out(loop, third, second)
    cycle = CycleRecord.start(loop, "the first version")
    cycle.step("prepare", lambda: {"dataset": dataset})
    cycle.close("finished", "Bundle is in production.")
    team()
    change(desk / "tuneloop.yaml", approvals={"deploy": {"roles": ["expert"]}})
    cycle = CycleRecord.start(Loop.open(desk), "waits for an expert")
    cycle.step("prepare", lambda: {"dataset": loop.dataset().digest})
    cycle.step("train", lambda: {"run": "run-1"})
    cycle.wait("An expert must approve it.")
    workspace.records.close()


def made(loop: Loop, system: str) -> str:
    """A bundle with nothing behind it; its id."""
    task = loop.model.task.model_copy(update={"system": system or loop.model.task.system})
    content = bundle.manifest(
        model="desk",
        base={"digest": "b"},
        artifacts={},
        dataset={"digest": loop.dataset().digest, "label": loop.dataset().label},
        training={},
        task=task.model_dump(mode="json"),
        serving={"sampling": {"temperature": 0.0, "max_tokens": 32}},
        evaluation={"id": "e", "verdict": "passed", "gates": "g", "comparisons": {}},
        routing={},
    )
    return bundle.register(loop.workspace, content).id


def evaluated(loop: Loop) -> None:
    """An evaluation of what a server answers."""
    sampling = Sampling(max_tokens=8)
    plan = plan_evaluation(
        model="desk",
        task=loop.model.task,
        settings=loop.model.evaluation,
        sampling=sampling,
        dataset=None,
        folder=loop.model_file.folder,
    )
    with ScriptedUpstream(lambda request: Reply(text=ANSWER)) as server:
        target = OpenAITarget(
            base_url=server.base_url, model="m", identity="new", sampling=sampling
        )
        evaluate(loop.workspace, plan=plan, target=target)


def live(loop: Loop, production: str) -> None:
    """Traffic with corrections, what was measured of it, and what people decided."""
    workspace, now = loop.workspace, datetime.now(UTC)
    ids = capture(loop, 16, bundle=production, at=now, response='{"intent": "human"}')
    edits = [
        {
            "id": new_id(time.time_ns()),
            "time": now,
            "interaction": interaction,
            "endpoint": loop.model.endpoint_name,
            "kind": "edit",
            "value": json.dumps(ANSWER),
        }
        for interaction in ids[:12]
    ]
    workspace.traffic.append("feedback", edits)
    do("ada", "monitor run")
    (alert, *_) = told("alert list")
    do("ada", f"alert ack {alert['id']}")
    items = told("review list")
    do("ines", f"review reject {items[0]['id']}")
    do("ines", "review approve --all")
    second = told("review list --status second")
    assert len(second) > 1, "a second person is due"
    for item in second[1:]:
        do("olu", f"review approve {item['id']}")
    do("ines", "approve production -m tried")
    do("ada", "rollback -m rehearsal")
    do("ada", "rollback -m back")
    do("ada", "triggers check")
    do("ada", f"erase --interaction {ids[-1]}")


def rolled_out(loop: Loop, candidate: str, production: str) -> None:
    """A rollout that somebody ended."""
    rollouts.start(
        loop.workspace,
        model="desk",
        endpoint=loop.model.endpoint_name,
        candidate=candidate,
        production=production,
        plan=RolloutPlan(guards=(Guard(name="errors"),), shadow=ShadowStep(minimum_pairs=10)),
        actor="ada",
    )
    do("ada", "rollout abort -m enough")


def leave_in_spool(folder: Path, production: str) -> None:
    """Requests that the gateway has written down, and nobody has moved yet."""
    spool = Spool(folder)
    for number in range(3):
        at = time.time_ns()
        messages = [{"role": "user", "content": f"Still in the spool, number {number}?"}]
        interaction = Interaction(
            id=new_id(at),
            time=iso_time(at),
            endpoint="desk",
            bundle=production,
            status=200,
            messages=json.dumps(messages),
            request="{}",
            response=ANSWER,
            latency_ms=12.5,
            conversation=f"c{number}",
        )
        spool.append(encode(interaction))
    spool.close()


def team() -> None:
    """Who may do what, and who may ask."""
    do("ada", "key create help-desk --rate 600")
    do("ada", "key create left")
    do("ada", "key revoke left")
    do("ada", "people add ada --role admin --role engineer")
    do("ada", "people add ines --role expert --role curator --this-model")


def change(path: Path, **sections: dict[str, Any]) -> None:
    """Change sections of the model file."""
    settings = yaml.safe_load(path.read_text())
    for name, values in sections.items():
        settings[name] = settings.get(name, {}) | values
    path.write_text(yaml.safe_dump(settings, sort_keys=False))


def do(who: str, words: str) -> str:
    """Run a command as somebody."""
    done = CliRunner().invoke(app, words.split(), env={"TUNELOOP_ACTOR": who})
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.stdout


def told(words: str) -> Any:
    """What a reporting command says with --json."""
    return json.loads(do("ada", f"{words} --json"))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
