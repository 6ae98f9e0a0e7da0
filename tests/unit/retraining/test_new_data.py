"""New rows in the sources as a reason for a cycle: with numbers, once, and for nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuneloop.cli.main import app
from tuneloop.datasets import versions
from tuneloop.datasets.arrivals import Arrival, Misfit
from tuneloop.datasets.source_watch import SourcesNow, SourceState
from tuneloop.modelfile import TriggerSettings
from tuneloop.monitoring import alerts
from tuneloop.project import Project
from tuneloop.retraining import cycles, decisions, new_data
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.status.changed_sources import changed_sources
from tuneloop.worker.jobs import JOBS
from tuneloop.workspace import Workspace
from watched_desk import make_desk, release, row, write

RULES = TriggerSettings()


def keys(count: int, start: int = 0) -> tuple[str, ...]:
    return tuple(f"key {number}" for number in range(start, start + count))


def now(*sources: SourceState, rows: int = 812) -> SourcesNow:
    return SourcesNow(against="2026-10-31-3f2a", rows=rows, sources=sources)


NOVEMBER = SourceState(
    name="orders-2026-11.jsonl",
    state="new",
    arrival=Arrival(
        rows=420,
        answers=420,
        usable=388,
        new=keys(388),
        misfits=(
            Misfit(reason="output_breaks_schema", rows=12, lines=(17, 30), detail="…"),
            Misfit(reason="too_short", rows=20, lines=(3,), detail="…"),
        ),
    ),
)


def test_enough_new_rows_are_a_reason_with_every_number() -> None:
    found = new_data.finding(now(NOVEMBER), RULES)
    assert (found.rule, found.state, found.needs) == ("new_data", "fired", "")
    assert found.message == (
        "new data: orders-2026-11.jsonl is new: 420 rows, 388 usable, 12 do not fit the schema "
        "(first line 17), 20 left out: too short (first line 3); 388 new; 388 of 1,200 rows would "
        "be new, 50 make a cycle worth its time"
    )


@pytest.mark.parametrize(
    ("new", "rows", "needed"), [(49, 100, 50), (50, 100, 0), (99, 2_000, 100), (100, 2_000, 0)]
)
def test_too_few_are_none_and_it_says_how_many_are_missing(
    new: int, rows: int, needed: int
) -> None:
    found = new_data.finding(
        now(
            SourceState(
                name="a",
                state="changed",
                arrival=Arrival(rows=new, answers=new, usable=new, new=keys(new)),
            ),
            rows=rows,
        ),
        RULES,
    )
    assert found.state == ("quiet" if needed else "fired")
    assert not needed or found.needs == f"{needed - new} more new rows in data.sources"


def test_what_is_no_reason() -> None:
    unfit = replace(
        NOVEMBER,
        arrival=Arrival(
            rows=90,
            answers=90,
            usable=40,
            new=keys(40),
            misfits=(Misfit(reason="unknown_form", rows=50, lines=(1,), detail="…"),),
        ),
    )
    known = replace(NOVEMBER, arrival=Arrival(rows=90, answers=90, usable=90))
    written = SourceState(name="b.jsonl", state="being written")
    lost = SourceState(name="c.jsonl", state="gone", rows_before=70)
    found = new_data.finding(now(unfit, known, written), RULES)
    assert found.state == "quiet"
    assert "is new and does not fit: 90 rows, 40 usable, 50 in no known form" in found.message
    assert "nothing new" in found.message and "b.jsonl is being written" in found.message
    assert new_data.finding(now(lost), RULES).state == "quiet"
    assert "c.jsonl is gone (70 rows)" in new_data.finding(now(lost), RULES).message
    away = SourceState(name="s3://b/c.jsonl", state="not reached", problem="no answer")
    assert new_data.finding(now(away), RULES).state == "unknown"
    assert new_data.finding(now(), RULES).message == (
        "new data: nothing in the sources changed since 2026-10-31-3f2a"
    )
    assert new_data.finding(None, RULES).state == "unknown"


def test_only_files_that_fit_are_something_to_learn_from() -> None:
    unfit = replace(NOVEMBER, name="x", arrival=Arrival(error="it is cut off"))
    assert new_data.material(now(NOVEMBER, unfit)) == ("orders-2026-11.jsonl",)
    assert [one.name for one in new_data.unfit(now(NOVEMBER, unfit))] == ["x"]


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> Project:
    return make_desk(workspace, tmp_path / "desk")


def look(project: Project) -> str:
    (job,) = [job for job in JOBS if job.name == "sources"]
    return job.run(project)


def at_level(project: Project, level: int) -> Project:
    automation = project.model.automation.model_copy(update={"level": level})
    settings = project.model.model_copy(update={"automation": automation})
    return project.with_model_file(replace(project.model_file, settings=settings))


def data(project: Project, name: str) -> Path:
    return project.model_file.folder / "data" / name


def test_the_look_proposes_a_cycle_and_starts_one_where_it_may(
    project: Project, clock: Any
) -> None:
    assert look(project) == f"new data: nothing in the sources changed since {label(project)}"
    assert decisions.listing(project.workspace, "desk") == []
    write(data(project, "november.jsonl"), [row(n) for n in range(200, 300)])
    said = look(project)
    assert said.startswith("retrain: new data: data/november.jsonl is new: 100 rows, 100 usable")
    assert cycles.listing(project.workspace, "desk") == [], "level 1 starts nothing"
    (proposed,) = decisions.listing(project.workspace, "desk")
    assert (proposed.action, proposed.fired) == ("retrain", ("new_data",))
    assert look(project) == said and len(decisions.listing(project.workspace, "desk")) == 1
    assert look(at_level(project, 3)).startswith("cycle ")
    assert look(at_level(project, 3)).startswith("do_not: cycle "), "one is asked for"
    (cycle,) = cycles.listing(project.workspace, "desk")
    assert cycle.reason.startswith("new data: data/november.jsonl is new: 100 rows")


def label(project: Project) -> str:
    return versions.load(project.workspace, "desk").label


def test_what_a_version_in_production_holds_is_no_reason_any_more(
    project: Project, clock: Any
) -> None:
    write(data(project, "november.jsonl"), [row(n) for n in range(200, 300)])
    assert decisions.decide(project).fired == ("new_data",)
    assert changed_sources(project) == ("data/november.jsonl",)
    clock.advance(hours=1)
    release(project, versions.prepare(project.workspace, project.model_file))
    assert decisions.decide(project).fired == ()
    assert changed_sources(project) == ()


def test_the_cooldown_holds_for_new_data_too(project: Project, clock: Any) -> None:
    cycles.ask(project, reason="by hand", actor="ann")
    CycleRecord.start(project, "by hand").close("finished", "no better")
    write(data(project, "november.jsonl"), [row(n) for n in range(200, 300)])
    settings = project.model.triggers.model_copy(update={"cooldown_days_without_benchmark": 9})
    model = project.model.model_copy(update={"triggers": settings})
    project = project.with_model_file(replace(project.model_file, settings=model))
    found = decisions.decide(project)
    assert (found.action, found.because) == ("do_not", "cooldown")
    assert "What speaks for retraining: new data: data/november.jsonl is new" in found.reason
    clock.advance(days=9)
    assert decisions.decide(project).action == "retrain"


def test_a_file_of_another_kind_alerts_once_until_it_is_mended(
    project: Project, clock: Any
) -> None:
    path = write(data(project, "november.jsonl"), [{"q": "where", "code": 1}] * 60)
    for _ in range(3):
        assert "is new and does not fit" in look(project)
        clock.advance(hours=1)
    (alert,) = alerts.listing(project.workspace, "desk")
    assert (alert.monitor, alert.seen) == ("new_data", 1)
    assert "60 in no known form (first line 1)" in alert.message
    assert "tuneloop data sources" in alert.message
    assert decisions.listing(project.workspace, "desk") == []
    write(path, [row(n) for n in range(200, 300)])
    look(project)
    assert alerts.listing(project.workspace, "desk") == []


def test_without_triggers_on_schedule_a_look_decides_nothing(project: Project) -> None:
    schedule = project.model.schedule.model_copy(update={"triggers": "never"})
    model = project.model.model_copy(update={"schedule": schedule})
    project = project.with_model_file(replace(project.model_file, settings=model))
    write(data(project, "november.jsonl"), [row(n) for n in range(200, 300)])
    assert look(project).startswith("new data: data/november.jsonl is new")
    assert decisions.listing(project.workspace, "desk") == []


def test_the_command_shows_sources_with_reasons_and_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "desk"
    workspace = Workspace.open(folder / ".tuneloop")
    project = make_desk(workspace, folder)
    content = [row(n) for n in range(200, 300)]
    content[16] = row(216, "refnd")
    write(data(project, "november.jsonl"), content)
    write(data(project, "other.jsonl"), [{"q": "where", "code": 1}] * 60)
    write(data(project, "december.jsonl"), content, settled=False)
    os.utime(data(project, "december.jsonl"))
    project.close()
    monkeypatch.chdir(folder)
    shown = CliRunner().invoke(app, ["data", "sources"]).stdout
    assert "data/november.jsonl  new" in shown and "data/october.jsonl   same" in shown
    assert "• data/november.jsonl: 1 do not fit the schema (line 17): intent: 'refnd'" in shown
    assert "• data/other.jsonl: does not fit (60 rows)" in shown
    assert "99 new rows; 50 make a cycle worth its time." in shown
    told = json.loads(CliRunner().invoke(app, ["data", "sources", "--json"]).stdout)
    assert (told["new_rows"], told["rows_needed"]) == (99, 50)
    states = {one["name"]: one["state"] for one in told["sources"]}
    assert states["data/december.jsonl"] == "being written"
    (november,) = [one["now"] for one in told["sources"] if one["name"].endswith("november.jsonl")]
    assert (november["new"], november["fit"]) == (99, "fits")
    assert november["misfits"][0]["lines"] == [17]
