"""Captured traffic through the whole of stage 5: spool, tables, measurements, alerts."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring_data import LetterEmbedder
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.monitoring import alerts, stage
from tuneloop.monitoring.measurement import Measurement
from tuneloop.progress import Silent
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.spool import Feedback, Interaction, Spool, encode, iso_time, new_id
from tuneloop.workspace import Workspace

TASK = {"output_schema": {"type": "object", "required": ["intent"]}, "output_pattern": None}
ANSWER = '{"intent": "fault"}'
SUBJECTS = ("battery", "hub", "thermostat", "valve", "invoice", "parcel", "password", "screen")
FAMILIAR = tuple(
    f"{opening} {subject} {problem}"
    for opening in ("hello, my", "please help, the", "the")
    for subject in SUBJECTS
    for problem in ("is broken again", "did not arrive", "shows the wrong number", "is cold")
)


@pytest.fixture
def records_url(either_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_records


def _dataset(workspace: Workspace, folder: Path) -> str:
    folder.mkdir()
    rows = [
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": text}]}
        for text in FAMILIAR
    ]
    random.Random(0).shuffle(rows)
    for name, part in (("eval.jsonl", rows[:10]), ("train.jsonl", rows[10:])):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    return workspace.artifacts.put(folder, kind="dataset")


def _bundle(workspace: Workspace, folder: Path, **evaluation: Any) -> Bundle:
    return bundles.register(
        workspace,
        bundles.manifest(
            model="desk",
            base={},
            artifacts={},
            dataset={"digest": _dataset(workspace, folder)},
            training={},
            task=TASK,
            serving={},
            evaluation=evaluation,
            routing={},
        ),
    )


@pytest.fixture
def bundle(workspace: Workspace, tmp_path: Path) -> Bundle:
    return _bundle(workspace, tmp_path / "dataset", latency_p95_ms=100.0)


def _model_file(**monitors: Any) -> ModelFile:
    settings = ModelSettings(
        name="desk", base="tiny", data=DataSettings(sources=("a.jsonl",)), monitors=monitors
    )
    return ModelFile(path=Path("tuneloop.yaml"), settings=settings, origins={})


def _capture(
    workspace: Workspace,
    bundle: Bundle,
    prompts: Sequence[str],
    *,
    at: datetime,
    edited: int = 0,
    **values: Any,
) -> None:
    """Write interactions (and edits of the first of them) as the gateway does."""
    spool = Spool(workspace.folder("spool"))
    for number, prompt in enumerate(prompts):
        time_ns = int((at + timedelta(seconds=number)).timestamp()) * 10**9
        identity = new_id(time_ns)
        record = {
            "id": identity,
            "time": iso_time(time_ns),
            "endpoint": "desk",
            "bundle": bundle.id,
            "status": 200,
            "messages": json.dumps([{"role": "user", "content": prompt}]),
            "request": "{}",
            "response": ANSWER,
            "latency_ms": 80.0,
            "conversation": "c",
        }
        assert spool.append(encode(Interaction(**record | values))) is None
        if number < edited:
            edit = Feedback(
                id=f"f{identity}",
                time=iso_time(time_ns + 10**9),
                interaction=identity,
                kind="edit",
                value=json.dumps('{"intent": "billing"}'),
            )
            assert spool.append(encode(edit)) is None
    spool.close()


def _run(
    workspace: Workspace, bundle: Bundle, model_file: ModelFile | None = None, **options: Any
) -> dict[str, Measurement]:
    found = stage.run_monitors(
        workspace,
        model_file=model_file or _model_file(window_days=1),
        bundle=bundle,
        endpoint="desk",
        progress=Silent(),
        **options,
    )
    return {measurement.monitor: measurement for measurement in found}


def test_month_two_opens_alerts_and_a_quiet_day_resolves_them(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    _capture(workspace, bundle, FAMILIAR, at=clock.time - timedelta(hours=2), edited=3)
    quiet = _run(workspace, bundle)
    assert {m.verdict for m in quiet.values()} == {"ok"}
    assert alerts.listing(workspace, "desk") == []

    clock.advance(days=2)
    renamed = [text.replace("battery", "Skerry") for text in FAMILIAR if "battery" in text]
    solar = [f"what does the solar export tariff pay in week {n}" for n in range(20)]
    _capture(
        workspace,
        bundle,
        [*renamed, *solar, *FAMILIAR[:48]],
        at=clock.time - timedelta(hours=2),
        edited=32,
        response="a fault, I think",
        latency_ms=400.0,
    )
    loud = _run(workspace, bundle)
    verdicts = {monitor: m.verdict for monitor, m in loud.items()}
    assert verdicts == {
        "format_compliance": "alert",
        "latency_p95": "alert",
        "edit_rate": "alert",
        "novelty": "alert",
        "errors": "ok",
    }
    assert loud["edit_rate"].value == 0.4
    shown = {new["word"] for new in loud["novelty"].detail["new_words"]}
    assert {"skerry", "solar", "tariff"} <= shown
    opened = alerts.listing(workspace, "desk")
    assert {alert.monitor for alert in opened} == {k for k, v in verdicts.items() if v == "alert"}
    assert "solar" in next(alert.message for alert in opened if alert.monitor == "novelty")

    _run(workspace, bundle)
    assert {alert.seen for alert in alerts.listing(workspace, "desk")} == {2}

    clock.advance(days=2)
    _capture(workspace, bundle, FAMILIAR[:5], at=clock.time - timedelta(hours=2))
    few = _run(workspace, bundle)
    assert {m.verdict for m in few.values()} == {"not_enough_data"}
    assert len(alerts.listing(workspace, "desk")) == 4

    _capture(workspace, bundle, FAMILIAR, at=clock.time - timedelta(hours=1))
    _run(workspace, bundle)
    assert alerts.listing(workspace, "desk") == []


def test_history_is_what_was_measured_the_newest_first(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    _capture(workspace, bundle, FAMILIAR, at=clock.time - timedelta(hours=1), edited=50)
    first = _run(workspace, bundle)
    clock.advance(hours=1)
    second = _run(workspace, bundle)
    assert stage.history(workspace, model="desk", monitor="edit_rate") == [
        second["edit_rate"],
        first["edit_rate"],
    ]
    assert len(stage.history(workspace, model="desk")) == 10
    assert len(stage.history(workspace, model="desk", since=clock.time)) == 5
    assert len(stage.history(workspace, model="desk", limit=3)) == 3
    assert stage.history(workspace, model="other") == []


def test_until_looks_at_an_earlier_window(workspace: Workspace, bundle: Bundle, clock) -> None:
    _capture(workspace, bundle, FAMILIAR[:40], at=clock.time - timedelta(days=3))
    assert _run(workspace, bundle)["errors"].n == 0
    then = clock.time - timedelta(days=2, hours=12)
    found = _run(workspace, bundle, until=then)["errors"]
    assert (found.n, found.window_end) == (40, then)


def test_without_an_evaluated_latency_the_first_full_window_is_the_baseline(
    workspace: Workspace, tmp_path: Path, clock
) -> None:
    bundle = _bundle(workspace, tmp_path / "dataset")
    _capture(workspace, bundle, FAMILIAR[:29], at=clock.time - timedelta(hours=2))
    assert _run(workspace, bundle)["latency_p95"].verdict == "not_enough_data"
    _capture(workspace, bundle, FAMILIAR[:10], at=clock.time - timedelta(hours=1))
    first = _run(workspace, bundle)["latency_p95"]
    assert (first.verdict, first.limit) == ("ok", None)
    assert "later ones are compared with it" in first.message
    clock.advance(days=2)
    _capture(workspace, bundle, FAMILIAR[:40], at=clock.time, latency_ms=161.0)
    clock.advance(hours=1)
    second = _run(workspace, bundle)["latency_p95"]
    assert second.verdict == "alert"
    assert second.detail["baseline_p95_ms"] == 80.0
    assert "first window" in second.message


def test_a_dataset_that_is_gone_silences_only_novelty(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    gone = bundles.register(workspace, {**bundle.manifest, "dataset": {"digest": "0" * 64}})
    _capture(workspace, gone, FAMILIAR[:40], at=clock.time - timedelta(hours=1), edited=20)
    found = _run(workspace, gone)
    assert found["novelty"].verdict == "not_measured"
    assert "is not in" in found["novelty"].message
    assert found["edit_rate"].verdict == "alert"


def test_the_reference_is_embedded_once_for_a_dataset_and_an_embedder(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    embedder = LetterEmbedder()
    _capture(workspace, bundle, FAMILIAR[:40], at=clock.time - timedelta(hours=1))
    _run(workspace, bundle, embedder=embedder)
    assert embedder.texts_embedded == len(FAMILIAR) + 40
    _run(workspace, bundle, embedder=embedder)
    assert embedder.texts_embedded == len(FAMILIAR) + 80
    found = _run(workspace, bundle)["novelty"]  # the default one
    assert found.detail["embedder"].startswith("wordllama")
