"""Captured traffic through the whole of stage 5: spool, tables, measurements, alerts."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from installed_package import install
from monitoring_data import LetterEmbedder
from tuneloop.errors import UsageError
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings, MonitorSettings
from tuneloop.monitoring import alerts, embeddings, stage
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors.table import chosen, due
from tuneloop.monitoring.watched import reference_of
from tuneloop.progress import Silent
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.manifest import Dataset
from tuneloop.storage.spool import Feedback, Interaction, Spool, encode, iso_time, new_id
from tuneloop.table import MONITOR_GROUP
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

TASK = {"output_schema": {"type": "object", "required": ["intent"]}, "output_pattern": None}
MONITOR_NAMES = list(chosen(task=TASK))
PROBE = {"probe": "golden"}
ANSWER = '{"intent": "fault"}'
SUBJECTS = ("battery", "hub", "thermostat", "valve", "invoice", "parcel", "password", "screen")
FAMILIAR = tuple(
    f"{opening} {subject} {problem}"
    for opening in ("hello, my", "please help, the", "the")
    for subject in SUBJECTS
    for problem in ("is broken again", "did not arrive", "shows the wrong number", "is cold")
)


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


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
        manifest_of(
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
            "prompt_tokens": 30,
            "completion_tokens": 8,
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
    # Nobody scored, no log-probabilities came, and two hours of traffic are no usual one.
    unseen = {"accuracy", "judge_quality", "confidence", "silence", "refused"}
    verdicts = {name: m.verdict for name, m in quiet.items()}
    assert verdicts == {
        name: "not_enough_data" if name in unseen else "ok" for name in MONITOR_NAMES
    }
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
        response="I am sorry, but I cannot help you with that; a person will look at it",
        latency_ms=400.0,
        completion_tokens=20,
    )
    loud = _run(workspace, bundle)
    verdicts = {monitor: m.verdict for monitor, m in loud.items()}
    assert verdicts == {
        "accuracy": "not_enough_data",
        "format_compliance": "alert",
        "edit_rate": "alert",
        "confidence": "not_enough_data",
        "latency_p95": "alert",
        "novelty": "alert",
        "embedding_drift": "alert",
        "judge_quality": "not_enough_data",
        "output_length": "alert",
        "vocabulary_diversity": "alert",
        "refusals": "alert",
        "escalations": "ok",
        "errors": "ok",
        "silence": "not_enough_data",
        "refused": "not_enough_data",
        "cost": "alert",
    }
    assert "baseline 0.0 % (its first window" in loud["refusals"].message
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
    assert len(alerts.listing(workspace, "desk")) == 9

    _capture(workspace, bundle, FAMILIAR, at=clock.time - timedelta(hours=1))
    _run(workspace, bundle)
    assert alerts.listing(workspace, "desk") == []


def test_prose_is_watched_against_its_own_answers(
    workspace: Workspace, tmp_path: Path, clock
) -> None:
    folder = tmp_path / "prose"
    folder.mkdir()
    rows = [
        {
            "messages": [{"role": "user", "content": text}],
            "completion": f"Sorry: {text}. We send another one.",
        }
        for text in FAMILIAR
    ]
    for name, part in (("eval.jsonl", rows[::8]), ("train.jsonl", rows)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    manifest = {
        **{part: {} for part in ("base", "artifacts", "training", "serving", "routing")},
        "model": "desk",
        "dataset": {"digest": workspace.artifacts.put(folder, kind="dataset")},
        "task": {"kind": "prose"},
        "evaluation": {"scores": {"no_loops": [1.0, 0.96, 1.0, 96]}},
    }
    bundle = bundles.register(workspace, manifest_of(**manifest))
    at = clock.time - timedelta(hours=2)
    usual = "Sorry: the parcel did not arrive. We send another one."
    _capture(workspace, bundle, FAMILIAR[:48], at=at, response=usual)
    looping = usual + " This answer was written by a machine." * 9
    _capture(workspace, bundle, FAMILIAR[48:], at=at, response=looping, finish_reason="length")
    found = _run(workspace, bundle)
    assert "format_compliance" not in found
    opened = {alert.monitor for alert in alerts.listing(workspace, "desk")}
    assert {"truncation", "repetition", "new_phrases"} <= opened
    assert "not_measured" not in {measurement.verdict for measurement in found.values()}
    assert "this answer was written by a machine" in found["new_phrases"].message.lower()
    assert found["answer_drift"].detail["prompts"]["state"] == "no_drift"


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
    hourly = due("hour")  # which said the same as an hour before
    many = len(MONITOR_NAMES)
    assert len(stage.history(workspace, model="desk")) == 2 * many - len(hourly)
    assert len(stage.history(workspace, model="desk", since=clock.time)) == many - len(hourly)
    assert len(stage.history(workspace, model="desk", limit=3)) == 3
    assert stage.history(workspace, model="other") == []


def test_silence_is_told_within_the_hour_and_stored_when_it_is_news(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    hours = [timedelta(hours=hour, minutes=30) for hour in range(3, 4 * 7 * 24)]
    common = {"endpoint": "desk", "bundle": bundle.id, "status": 200, "tags": "{}"}
    rows = [
        {**common, "id": f"{number:032x}", "time": clock.time - ago}
        for number, ago in enumerate(hours * 10)
    ]
    workspace.traffic.append("interactions", rows)
    only = due("hour")
    assert {name: m.verdict for name, m in _run(workspace, bundle, only=only).items()} == {
        "silence": "alert",
        "refused": "not_enough_data",
    }
    [told] = alerts.listing(workspace, "desk")
    assert (told.monitor, told.seen) == ("silence", 1)
    assert told.message.startswith("0 requests in the last 3 hours, usual at this time of the week")
    clock.advance(hours=1)
    _run(workspace, bundle, only=only)
    assert alerts.find(workspace, told.id).seen == 2
    assert len(stage.history(workspace, model="desk", monitor="silence")) == 1
    _capture(workspace, bundle, FAMILIAR[:1] * 10, at=clock.time - timedelta(minutes=30))
    assert _run(workspace, bundle, only=only)["silence"].verdict == "ok"
    assert alerts.listing(workspace, "desk") == []
    assert len(stage.history(workspace, model="desk", monitor="silence")) == 2


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
    assert second.detail["baseline"][0] == 80.0
    assert "first window" in second.message


def test_a_dataset_that_is_gone_silences_only_novelty(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    gone = bundles.register(workspace, replace(bundle.manifest, dataset=Dataset(digest="0" * 64)))
    _capture(workspace, gone, FAMILIAR[:40], at=clock.time - timedelta(hours=1), edited=20)
    found = _run(workspace, gone)
    assert found["novelty"].verdict == "not_measured"
    assert "is not in" in found["novelty"].message
    assert found["edit_rate"].verdict == "alert"


def test_each_prompt_is_embedded_once_and_late_ones_too(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    embedder = LetterEmbedder()
    _capture(workspace, bundle, FAMILIAR[:40], at=clock.time - timedelta(hours=5))
    first = _run(workspace, bundle, embedder=embedder, only=["novelty"])["novelty"]
    assert embedder.texts_embedded == len(FAMILIAR) + 40
    again = _run(workspace, bundle, embedder=embedder, only=["novelty"])["novelty"]
    assert embedder.texts_embedded == len(FAMILIAR) + 40
    assert again == first
    # Another gateway's capture of the same hour arrives later.
    _capture(workspace, bundle, FAMILIAR[40:50], at=clock.time - timedelta(hours=5))
    _capture(workspace, bundle, FAMILIAR[:3], at=clock.time - timedelta(hours=1), tags=PROBE)
    late = _run(workspace, bundle, embedder=embedder, only=["novelty"])["novelty"]
    assert embedder.texts_embedded == len(FAMILIAR) + 50
    assert late.n == 50
    stored = workspace.traffic.scan("embeddings").collect()
    assert stored["id"].n_unique() == stored.height == 50
    assert {len(vector) for vector in stored["vector"]} == {26}
    found = _run(workspace, bundle, only=["novelty"])["novelty"]  # the default one, beside it
    assert found.detail["embedder"].startswith("wordllama")
    assert found.n == 50


def test_a_killed_embedding_goes_on_where_it_was(
    workspace: Workspace, bundle: Bundle, clock, monkeypatch
) -> None:
    class Dies(LetterEmbedder):
        def embed(self, texts: Sequence[str]):
            if self.texts_embedded >= len(FAMILIAR) + 40:
                raise KeyboardInterrupt
            return super().embed(texts)

    monkeypatch.setattr(embeddings, "COMMIT_ROWS", 20)
    for hour in range(4):
        _capture(workspace, bundle, FAMILIAR[:20], at=clock.time - timedelta(hours=hour + 1))
    dies = Dies()
    reference_of(workspace, bundle.manifest.dataset.digest, dies)
    with pytest.raises(KeyboardInterrupt):
        _run(workspace, bundle, embedder=dies, only=["novelty"])
    assert workspace.traffic.scan("embeddings").collect().height == 40
    whole = LetterEmbedder()
    assert _run(workspace, bundle, embedder=whole, only=["novelty"])["novelty"].n == 80
    assert whole.texts_embedded == 40


def test_only_the_monitors_asked_for_run(workspace: Workspace, bundle: Bundle, clock) -> None:
    _capture(workspace, bundle, FAMILIAR[:40], at=clock.time - timedelta(hours=1))
    assert list(_run(workspace, bundle, only=["errors", "edit_rate"])) == ["edit_rate", "errors"]
    assert workspace.traffic.scan("embeddings").collect().height == 0
    with pytest.raises(UsageError, match="There is no monitor 'drifting'"):
        _run(workspace, bundle, only=["drifting"])


BROKEN_MONITORS = """
from tuneloop.monitoring.measurement import measured
from tuneloop.monitoring.monitors.tally import Tally
from tuneloop.monitoring.monitors.table import Monitor

def monitor(name, added=None, detail=None, measures=True):
    class Broken(Tally):
        parts = ()

        def add(self, batch):
            if isinstance(added, Exception):
                raise added
            return added

        def measure(self, window):
            if measures:
                return measured(
                    name, window, None, verdict="ok", message="well", detail={"of": detail}
                )

    Broken.name = name
    return Monitor(tally=Broken, about=name, every="day", limit=lambda s: 1 / 0)

class Other:
    name = "no-tally"

COUNTING = monitor("counting", added=5)
FAILING = monitor("failing", added=KeyError("no such column"))
FORGETFUL = monitor("forgetful", measures=False)
UNSTORABLE = monitor("unstorable", detail=object())
NO_TALLY = Monitor(tally=Other, about="", every="day", limit=lambda s: "")
"""
BROKEN = {
    "failing": "KeyError: 'no such column'",
    "forgetful": "measured None, expected a Measurement",
    "unstorable": "TypeError",
    "no-tally": "is no Tally",
    "missing": "AttributeError",
}
"""What is said of each."""


def test_a_monitor_of_a_package_that_fails_silences_itself_alone(
    workspace: Workspace, bundle: Bundle, clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it cannot be used, fails at the traffic or measures nothing that can be kept."""
    installed = tmp_path / "installed"
    installed.mkdir()
    added = {name: f"acme:{name.upper().replace('-', '_')}" for name in ("counting", *BROKEN)}
    install(installed, monkeypatch, module=BROKEN_MONITORS, adds={MONITOR_GROUP: added})
    _capture(workspace, bundle, FAMILIAR[:40], at=clock.time - timedelta(hours=1))
    measured = _run(workspace, bundle, only=due("day"))
    assert measured["errors"].verdict == "ok" and measured["errors"].n == 40
    assert measured["counting"].message == "well", "what add returns is nobody's business"
    for name, why in BROKEN.items():
        assert measured[name].verdict == "not_measured"
        assert measured[name].message.startswith("not measured: acme 1.2 adds ")
        assert why in measured[name].message
    limits = [monitor.limit_of(MonitorSettings()) for monitor in chosen(["failing"]).values()]
    assert "ZeroDivisionError" in limits[0]


def test_a_judges_baseline_is_its_own_first_window(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    def judged(judge: str, score: float) -> Measurement:
        _capture(workspace, bundle, FAMILIAR[:40], at=clock.time - timedelta(hours=1))
        stage.collect_traffic(workspace, progress=Silent())
        today = workspace.traffic.scan("interactions", since=clock.time - timedelta(hours=2))
        workspace.traffic.append(
            "feedback",
            [
                {
                    "id": f"{judge}{identity}",
                    "time": clock.time - timedelta(minutes=1),
                    "interaction": identity,
                    "kind": "judgement",
                    "value": json.dumps({"score": score, "judge": judge}),
                }
                for identity in today.collect()["id"]
            ],
        )
        found = _run(workspace, bundle, only=["judge_quality"])["judge_quality"]
        clock.advance(days=2)
        return found

    assert "becomes_baseline" in judged("a", 0.9).detail
    assert "becomes_baseline" in judged("b", 0.5).detail
    assert judged("a", 0.88).verdict == "ok"
    assert judged("b", 0.1).verdict == "alert"
    assert judged("a", 0.3).verdict == "alert"


def test_measurements_of_an_earlier_version_are_still_read(
    workspace: Workspace, bundle: Bundle, clock
) -> None:
    limit = {"threshold": 0.15, "unit": "share", "side": "above"}
    row = {
        "id": "0" * 32,
        "time": clock.time,
        "model": "desk",
        "endpoint": "desk",
        "bundle": bundle.id,
        "monitor": "edit_rate",
        "value": 0.1,
        "n": 40,
        "verdict": "ok",
        "window_start": clock.time - timedelta(days=1),
        "window_end": clock.time,
        "detail": json.dumps({"message": "m", "limit": limit, "seen": {}}),
    }
    workspace.traffic.append("measurements", [row])
    (found,) = stage.history(workspace, model="desk")
    assert found.limit is not None
    assert (found.limit.threshold, found.limit.best, found.message) == (0.15, None, "m")
