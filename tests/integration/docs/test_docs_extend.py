"""The package that the how-to on extending writes is installed as it stands there, and used."""

from __future__ import annotations

import json
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from installed_package import install
from monitoring_data import interaction, measure
from tiny_desk import ROOT
from tuneloop.cli import main as cli
from tuneloop.deployment.export.forms.form import Making
from tuneloop.deployment.export.forms.table import form_of
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings
from tuneloop.monitoring.monitors import table as monitors
from tuneloop.progress import Silent
from tuneloop.readers import BadRow, RawRow, read_rows
from tuneloop.table import GROUPS
from tuneloop.training import trackers

PAGE = (ROOT / "docs" / "how-to" / "extend.md").read_text("utf-8")


def blocks(language: str) -> str:
    return "\n\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """The folder that the package is installed in, on the path."""
    project = tomllib.loads(blocks("toml"))["project"]
    folder = tmp_path / "site"
    folder.mkdir()
    assert set(project["entry-points"]) == set(GROUPS)
    with pytest.MonkeyPatch.context() as patched:
        install(
            folder,
            patched,
            package=project["name"],
            version=project["version"],
            module=blocks("python"),
            adds=project["entry-points"],
        )
        yield folder


def test_its_reader_reads(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "data.pairs").write_text("Where is it? => delivery\nnothing\n")
    good, bad = read_rows(tmp_path / "data.pairs", max_row_bytes=1_000)
    assert isinstance(good, RawRow) and isinstance(bad, BadRow)
    assert good.value == {"prompt": "Where is it?", "completion": "delivery"}
    assert (bad.line, bad.reason) == (2, "no_arrow")


def test_its_scorer_scores(installed: Path) -> None:
    few = metrics_for(TaskSettings(), extra=["words.few"])[-1]
    case = Case(id="1", messages=({"role": "user", "content": "Hi"},), expected="Hello")
    values = [few.score(case, output) for output in ("Hello", "Hello " * 20)]
    assert [score.value for score in values if score] == [1.0, 0.0]


def test_its_tracker_is_told(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tracker,) = trackers.chosen(["lines"])
    state = type("State", (), {"global_step": 7})
    tracker.callback().on_log(None, state, None, {"loss": 0.5})
    assert (tmp_path / "losses.txt").read_text() == "7 {'loss': 0.5}\n"


def test_its_form_is_made(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "safetensors").mkdir()
    (tmp_path / "safetensors" / "config.json").write_text("{}")
    form = form_of("archive")
    making = Making(
        source=tmp_path / "safetensors",
        target=tmp_path / form.file,
        model="desk",
        progress=Silent(),
    )
    assert form.make(making) == form.tools["archive"]()
    with zipfile.ZipFile(tmp_path / "archive") as packed:
        assert packed.namelist() == ["config.json"]


def test_its_monitor_alerts(installed: Path) -> None:
    monitor = monitors.chosen(["questions"])["questions"]
    assert isinstance(monitor, monitors.Monitor)
    assert "questions" in monitors.due("day")
    rows = [interaction(response="Which one?")] * 20 + [interaction(response="Yes.")] * 20
    assert measure(monitor.tally, rows).verdict == "alert"


def test_doctor_lists_what_works_and_what_does_not(installed: Path) -> None:
    described = installed / "broken-0.1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n")
    (described / "entry_points.txt").write_text(
        "[tuneloop.scorers]\nrude = broken_module:RUDE\n[tuneloop.forms]\nq8_0 = broken_module:Q\n"
    )
    said = CliRunner().invoke(cli.app, ["doctor", "--json"])
    found = {row["name"]: row for row in json.loads(said.stdout)}
    assert found["scorers: words"]["state"] == "ok"
    assert found["scorers: words"]["detail"] == "acme-tuneloop 1.2"
    assert found["scorers: rude"]["state"] == "warning"
    assert "broken 0.1" in found["scorers: rude"]["detail"]
    assert found["forms: q8_0"]["state"] == "warning"
    assert "tuneloop's own" in found["forms: q8_0"]["detail"]
