"""Whoever asks is gone from everything that can change, and told what cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tuneloop import review
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment import endpoints
from tuneloop.errors import NotAllowedError, UsageError
from tuneloop.gateway.routing import conversation_of
from tuneloop.lineage import erasure
from tuneloop.lineage.erasure_record import Erasure
from tuneloop.loop import Loop
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.monitoring import series
from tuneloop.monitoring.measurement import Measurement
from tuneloop.project import Project
from tuneloop.registry import audit, people
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.manifest import Manifest
from tuneloop.status.screen import status
from tuneloop.storage import spool, tables
from tuneloop.storage.spool import Interaction, Spool, SpoolLimits
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

SECRET = "Wolpertinger"
"""In everything that alice wrote and nowhere else."""
PROMPT = f"My {SECRET} order never came, what now?"
ANSWER = '{"intent": "lost"}'


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


@pytest.fixture
def desk(workspace: Workspace, tmp_path: Path) -> Loop:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{word} {n} {word[::-1]} please"},
                {"role": "assistant", "content": f"answer {word}"},
            ]
        }
        for n, word in enumerate(f"{a}{b}" for a in ("kettle", "lamp", "sofa") for b in "abcdefghi")
    ]
    write(tmp_path / "rows.jsonl", rows)
    settings = ModelSettings(name="router", base="b", data=DataSettings(sources=("*.jsonl",)))
    file = ModelFile(path=tmp_path / "tuneloop.yaml", settings=settings, origins={})
    return Loop(Project(workspace=workspace, model_file=file, actor="ann"))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def capture(workspace: Workspace, name: str, user: str, prompt: str) -> None:
    """An interaction with everything that hangs on it."""
    common = {"time": workspace.now(), "endpoint": "router", "bundle": "b" * 64}
    workspace.traffic.append(
        "interactions",
        [
            {
                **common,
                "id": name,
                "status": 200,
                "messages": json.dumps([{"role": "user", "content": prompt}]),
                "response": f"I heard: {prompt}",
                "conversation": conversation_of("session", user.encode()),
                "user": user,
            }
        ],
    )
    workspace.traffic.append(
        "shadows", [{**common, "id": f"s-{name}", "interaction": name, "response": prompt}]
    )
    workspace.traffic.append(
        "embeddings", [{**common, "id": name, "embedder": "e", "vector": [0.5, 0.25]}]
    )
    edit = {"id": f"f-{name}", "interaction": name, "kind": "edit", "value": json.dumps(ANSWER)}
    workspace.traffic.append("feedback", [{"time": workspace.now(), **edit}])


def quote(workspace: Workspace, *interactions: str) -> None:
    """A measurement as monitors store it, and the alert that it opened, with examples."""
    examples = [
        {"interaction": one, "prompt": PROMPT if one.startswith("a") else "fine"}
        for one in interactions
    ]
    now = workspace.now()
    measurement = Measurement(
        monitor="embedding_drift",
        window_start=now,
        window_end=now,
        value=0.5,
        low=None,
        high=None,
        n=3,
        verdict="alert",
        message="moved",
        # Drift quotes below each topic, novelty beside its figures.
        detail={"examples": examples, "grown": [{"share": 0.5, "examples": examples}]},
    )
    bundle = Bundle(id="b" * 64, model="router", manifest=Manifest(), created_at=now)
    series.store(workspace, [measurement], bundle=bundle, endpoint="router", now=now)
    with workspace.records.begin() as tx:
        tx.execute(
            sa.insert(tables.alert_events).values(
                alert="x",
                event="opened",
                actor="monitoring",
                message="novel",
                examples=[one["prompt"] for one in examples],
                at=workspace.now(),
            )
        )


def serve(loop: Loop, dataset: DatasetVersion) -> str:
    """A bundle that was trained on a version and is in production."""
    workspace = loop.workspace
    with workspace.records.begin() as tx:
        tx.execute(
            sa.insert(tables.training_runs).values(
                id="run-1",
                model="router",
                dataset=dataset.digest,
                base="b" * 64,
                config="c" * 64,
                status="finished",
                record={},
                created_at=workspace.now(),
            )
        )
    content = manifest_of(
        model="router",
        base={},
        artifacts={"dataset": dataset.digest},
        dataset={},
        training={"run": "run-1"},
        task={},
        serving={},
        evaluation={"id": "e1", "verdict": "passed"},
        routing={},
    )
    bundle = bundles.register(workspace, content).id
    endpoints.point(
        workspace, model=loop.model, bundle=bundle, expected=None, actor="erik", reason="r"
    )
    return bundle


@pytest.fixture
def trained(desk: Loop) -> Loop:
    """Alice's correction was approved and is in a dataset version; bob's waits."""
    workspace = desk.workspace
    capture(workspace, "a1", "alice", PROMPT)
    capture(workspace, "b1", "bob", "Where is my parcel?")
    quote(workspace, "a1", "b1")
    review.collect(workspace, model="router", endpoint="router")
    (item,) = [one for one in review.listing(workspace, "router") if one.interaction == "a1"]
    review.decide(
        workspace, model="router", item=item.id, decision="approved", reviewer="ines", final=ANSWER
    )
    desk.prepare()
    return desk


def erase(loop: Loop, by: Any = "user", value: str = "alice", **options: Any) -> Erasure:
    return erasure.erase(loop.workspace, by, value, actor="ada", **options)


def ids(workspace: Workspace, table: Any) -> list[str]:
    found: list[str] = workspace.traffic.scan(table).collect()["id"].to_list()
    return sorted(found)


def files_with(text: str, *folders: Path) -> list[Path]:
    wanted = text.encode()
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and wanted in path.read_bytes()
    ]


def test_everything_of_one_person_goes_and_nothing_of_others(trained: Loop) -> None:
    done = erase(trained)
    workspace = trained.workspace
    assert (done.interactions, done.shadows, done.feedback, done.embeddings) == (1, 1, 1, 1)
    assert (done.review_items, done.quotations, len(done.approved_rows)) == (1, 2, 1)
    for table in ("interactions", "shadows", "feedback", "embeddings"):
        assert all("b1" in one for one in ids(workspace, table)) and ids(workspace, table)
    assert [one.interaction for one in review.listing(workspace, "router", status=None)] == ["b1"]
    assert review.judgements(workspace, "router") == []
    (measurement,) = series.history(workspace, model="router")
    seen = measurement.detail
    for examples in (seen["examples"], seen["grown"][0]["examples"]):
        assert [one["interaction"] for one in examples] == ["b1"]
    assert seen["grown"][0]["share"] == measurement.value == 0.5
    with workspace.records.begin() as tx:
        assert tx.execute(sa.select(tables.alert_events.c.examples)).scalar() == ["fine"]
    again = erase(trained)
    assert (again.interactions, again.review_items, again.datasets) == (0, 0, ())


@pytest.mark.parametrize("either_new_records", ["sqlite"], indirect=True)
def test_the_bytes_are_gone(trained: Loop) -> None:
    root = trained.workspace.root
    changing = [path for path in root.iterdir() if path.name not in ("artifacts", "cache")]
    folders = [path for path in changing if path.is_dir()]
    trained.workspace.records.free("review_items")  # what is written back is found in one file
    assert SECRET.encode() in (root / "records.sqlite").read_bytes()
    assert files_with(SECRET, *folders)
    erase(trained)
    assert files_with(SECRET, *folders) == []
    assert [p for p in root.glob("records.sqlite*") if SECRET.encode() in p.read_bytes()] == []
    assert files_with("alice", *folders) == []


def test_answers_that_would_be_used_again_are_asked_again(trained: Loop) -> None:
    """They may quote a person: what a model said, and what a judge said of it."""
    root = trained.workspace.root
    kept = ("work/answers/e1", "work/answers/references/c1", "work/answers/quantisations/c1")
    for folder in (*kept, "cache/judge"):
        (root / folder).mkdir(parents=True)
        (root / folder / "answers.jsonl").write_text(f'{{"text": "Dear {SECRET}"}}')
    erase(trained, dry_run=True)
    assert len(files_with(SECRET, root / "cache/judge", root / "work/answers")) == 4
    erase(trained)
    assert files_with(SECRET, root / "cache/judge", root / "work") == []


def test_a_dry_run_says_the_same_and_changes_nothing(trained: Loop) -> None:
    before = len(audit.listing(trained.workspace, None))
    told = erase(trained, dry_run=True)
    assert len(audit.listing(trained.workspace, None)) == before
    done = erase(trained)
    assert replace(done, id=told.id, dry_run=True) == told


def test_what_it_reached_is_listed_with_what_to_do(trained: Loop) -> None:
    version = trained.dataset()
    bundle = serve(trained, version)
    done = erase(trained)
    (row,) = done.approved_rows
    assert (row.model, row.kind) == ("router", "correction")
    (reached,) = done.datasets
    assert (reached.digest, reached.train + reached.held_out) == (version.digest, 1)
    assert done.reached.runs == ("run-1",)
    (held,) = done.reached.bundles
    assert (held.id, held.aliases, held.endpoints) == (bundle, ("production",), ("router",))
    assert any(version.label in sentence for sentence in done.remains)
    assert any("tuneloop run" in step for step in done.to_do)
    assert any(bundle[:12] in step and "router" in step for step in done.to_do)
    found = status(trained.workspace, trained.model, gateway_url="http://127.0.0.1:1/v1")
    assert any(
        f"{bundle[:12]} in production was made of rows that erasure {done.id} deleted" in step
        and "tuneloop run" in step
        for step in found.next_steps
    )


def test_no_later_version_holds_it_even_when_it_is_imported_again(
    trained: Loop, tmp_path: Path
) -> None:
    (old,) = [
        row
        for side in ("train", "eval")
        for row in versions.read_examples(trained.workspace, trained.dataset(), side)  # type: ignore[arg-type]
        if SECRET in row.question
    ]
    erase(trained)
    chat = [{"role": "user", "content": PROMPT.upper()}, {"role": "assistant", "content": "other"}]
    write(tmp_path / "leak.jsonl", [old.as_row(), {"messages": chat}])
    made = trained.prepare()
    assert made.report["left_out"]["erased"] == 2
    assert made.report["rows_in"] == 29
    folder = trained.workspace.artifacts.get(made.digest)
    assert files_with(SECRET, folder) == [] and files_with(old.input_key, folder) == []


def test_others_may_say_the_same_later(trained: Loop) -> None:
    """Approved anew by somebody: these are another person's words."""
    erase(trained)
    workspace = trained.workspace
    capture(workspace, "c1", "carla", PROMPT)
    review.collect(workspace, model="router", endpoint="router")
    (item,) = [one for one in review.listing(workspace, "router") if one.interaction == "c1"]
    review.decide(workspace, model="router", item=item.id, decision="approved", reviewer="ines")
    made = trained.prepare()
    assert "erased" not in made.report["left_out"]
    assert files_with(SECRET, workspace.artifacts.get(made.digest))


@pytest.mark.parametrize("session", ["alice", conversation_of("session", b"alice")])
def test_a_conversation_by_its_session_or_as_it_is_stored(trained: Loop, session: str) -> None:
    done = erase(trained, "conversation", session)
    assert (done.interactions, done.review_items) == (1, 1)
    assert ids(trained.workspace, "interactions") == ["b1"]


def test_one_interaction_whose_traffic_has_gone_by_retention(trained: Loop) -> None:
    trained.workspace.traffic.delete("interactions", ["a1"])
    done = erase(trained, "interaction", "a1")
    assert (done.interactions, done.feedback, done.review_items) == (0, 1, 1)
    assert len(done.datasets) == 1


def test_feedback_that_a_person_gave_on_others_answers(trained: Loop) -> None:
    value = {"interaction": "b1", "kind": "rating", "value": "1", "user": "alice"}
    trained.workspace.traffic.append(
        "feedback", [{"id": "f-by-alice", "time": trained.workspace.now(), **value}]
    )
    assert erase(trained).feedback == 2
    assert ids(trained.workspace, "feedback") == ["f-b1"]


def test_what_a_living_gateway_is_writing_goes_too(desk: Loop) -> None:
    folder = desk.workspace.folder("spool")
    writer = Spool(folder, limits=SpoolLimits(segment_seconds=0.3))
    record = Interaction(
        id="a9",
        time="2026-03-02T09:00:00.000Z",
        endpoint="router",
        bundle="b" * 64,
        status=200,
        messages=json.dumps([{"role": "user", "content": PROMPT}]),
        request="{}",
        latency_ms=1.0,
        conversation="c",
        user="alice",
    )
    assert writer.append(spool.encode(record)) is None
    try:
        done = erase(desk)
    finally:
        writer.close()
    assert done.interactions == 1
    assert files_with(SECRET, folder, desk.workspace.root / "traffic") == []


def test_it_is_audited_without_saying_who(trained: Loop) -> None:
    done = erase(trained)
    event = audit.listing(trained.workspace, "")[0]
    assert (event.actor, event.action) == ("ada", "personal_data.erase")
    assert event.detail["erasure"] == done.id and event.detail["approved_rows"] == 1
    assert event.detail["datasets"] == [done.datasets[0].digest]
    told = json.dumps([vars(one) for one in audit.listing(trained.workspace, None)], default=str)
    assert "alice" not in told and SECRET not in told


def test_only_an_administrator_may(trained: Loop) -> None:
    people.add(trained.workspace, "ada", ["admin"], actor="ada")
    with pytest.raises(NotAllowedError, match="may not erase personal data"):
        erasure.erase(trained.workspace, "user", "alice", actor="ines")
    assert ids(trained.workspace, "interactions") == ["a1", "b1"]
    assert erase(trained).interactions == 1
    with pytest.raises(UsageError):
        erase(trained, value="")
