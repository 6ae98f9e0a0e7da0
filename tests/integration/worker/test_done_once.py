"""What is done once is not done twice: the work of cycles that change one setting, counted.

The tests tell one story on one workspace. The model is tiny and every step real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tiny_desk import DROPPED, GATES, make_desk, written
from tuneloop import serving
from tuneloop.cli.main import app
from tuneloop.hashing import digest_file
from tuneloop.loop import Loop
from tuneloop.registry.bundle import listing
from tuneloop.retraining.cycle_end import CycleResult
from tuneloop.storage import tables

pytestmark = pytest.mark.timeout(300)

WORK = (
    "Training",
    "Merging",
    "Converting",
    "Quantising",
    "Parity",
    "Measuring",
    "Storing the exp",
    "Asking 12",
)
"""How the steps begin that repeat nothing where nothing of theirs has changed."""
SUITE = {"suites": [{"name": "golden", "file": "golden.jsonl"}]}
BOTH_FORMS = ('export.quantisations=["q8_0","q4_k_m"]', 'export.parity={"q4_k_m":3}')


@dataclass
class Heard:
    """A progress that remembers what it is told."""

    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def step(self, text: str, *, keeps: str = "") -> None:
        """Keep."""
        self.steps.append(text)

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Keep."""
        self.notes.append(text)

    @property
    def work(self) -> list[str]:
        """The steps that make something, without what changes from run to run."""
        return [step.split(" on ")[0] for step in self.steps if step.startswith(WORK)]

    def said(self, what: str) -> list[str]:
        """The notes with these words."""
        return [note for note in self.notes if what in note]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("TUNELOOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield make_desk(tmp_path_factory.mktemp("desk"))


def run(
    desk: Path, *changes: str, evaluation: Mapping[str, Any] | None = None, **options: Any
) -> tuple[CycleResult, Heard]:
    """A cycle with other settings for once; those of the evaluation stand in the file."""
    heard = Heard()
    with written(desk, "evaluation", **(evaluation or {})):
        loop = Loop.open(desk, overrides=changes, progress=heard)
        try:
            return loop.run(**options), heard
        finally:
            loop.close()


def servers_started(desk: Path) -> int:
    """Lines of model servers that came up, over all logs."""
    logs = (desk.parent / ".tuneloop/logs").glob("server-*.log")
    return sum(log.read_text().count("tuneloop: serving") for log in logs)


def test_a_first_run_does_each_step_once(desk: Path) -> None:
    done, heard = run(desk)
    assert done.deployed, done.outcome
    assert heard.work == [
        "Training",
        "Merging the trained weights into the base",
        "Converting to GGUF f16",
        "Quantising to Q8_0",
        "Parity: asking the trained and the merged weights",
        "Parity: asking q8_0, served",
        "Storing the export",
        "Converting the untuned base to GGUF f16, to compare with",
        "Quantising the untuned base to Q8_0, to compare with",
        "Asking 12 cases again, alone and 1 at once",
    ]


def test_how_well_the_answers_repeat_is_in_the_bundle_and_its_report(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.parent)
    shown = CliRunner().invoke(app, ["bundle", "show"]).stdout
    assert "of 12 answers repeated" in " ".join(shown.split())
    manifest = json.loads(CliRunner().invoke(app, ["bundle", "show", "--json"]).stdout)["manifest"]
    found = manifest["evaluation"]["repeatability"]
    assert found["n"] == 12 and found["low"] <= found["value"] <= found["high"]
    report = json.loads(CliRunner().invoke(app, ["evaluation", "show", "latest", "--json"]).stdout)
    assert report["repeatability"] == found
    # One slot, one question at a time, and nothing in the cache that would decide.
    assert found["repeated"] == 12


def test_a_changed_gate_makes_and_asks_nothing_again(desk: Path) -> None:
    before = servers_started(desk)
    changed = {"gates": {**GATES, "error_share": "<= 0.2"}, "margin": 0.25}
    done, heard = run(desk, evaluation=changed, reason="another gate")
    assert done.deployed, done.outcome
    assert heard.work == []
    assert servers_started(desk) == before + 1, "the smoke test's alone"
    for reused in (
        "did exactly this already",
        "holds these weights merged",
        "was shown before",
        "answers repeat was measured before",
    ):
        assert len(heard.said(reused)) == 1, reused
    assert len(heard.said("untuned base as q8_0 is there already")) == 1
    assert len(heard.said("45 of them were answered in an earlier run")) == 3, "all three"
    gates = [one["gates"] for one in _evaluations(desk)]
    assert len(gates) == 2 and gates[0] != gates[1], "scored anew, under the new gates"


def test_a_gate_on_latency_counts_only_what_was_asked_alone(desk: Path) -> None:
    """On a machine with two cores, the candidate was asked beside the base until now."""
    with closing(Loop.open(desk)) as loop:
        beside = serving.two_fit(loop.model)
    gates = {"accuracy": DROPPED, "format": DROPPED, "latency_p95_ms": "<= 60000"}
    _, heard = run(desk, evaluation={"gates": gates}, reason="a gate on latency")
    others = ["production", "base"] if beside else ["candidate", "production", "base"]
    assert len(heard.said("45 of them were answered in an earlier run")) == len(others)
    assert "Asking the candidate 45 cases of suite 'held-out'" in heard.steps, (
        "and nobody meanwhile"
    )
    changed = {"gates": gates, "margin": 0.2}
    _, heard = run(desk, evaluation=changed, reason="another margin")
    assert len(heard.said("45 of them were answered in an earlier run")) == 3, "alone by now"


def test_a_changed_suite_is_asked_what_is_new_in_it(desk: Path) -> None:
    row = {"prompt": "Sing of lighthouses!", "completion": '{"intent": "out_of_scope"}'}
    (desk.parent / "golden.jsonl").write_text(json.dumps(row) + "\n")
    done, heard = run(desk, evaluation=SUITE)
    assert done.deployed, done.outcome
    # A version of the rows says which suites no row gives away; whether the training on it is
    # another is the training's business. What is made of equal weights is not made again.
    assert set(heard.work) <= {"Training"}
    assert "Asking the candidate 1 cases of suite 'golden'" in heard.steps
    assert len(heard.said("45 of them were answered in an earlier run")) == 3


def test_monitors_and_reasons_decide_nothing(desk: Path) -> None:
    changed = ("monitors.minimum_samples=12",)
    done, heard = run(desk, *changed, evaluation=SUITE, reason="another monitor")
    assert done.outcome.startswith("Nothing new")
    assert heard.work == []


def test_another_quantisation_is_made_from_what_is_there(desk: Path) -> None:
    done, heard = run(desk, *BOTH_FORMS, "export.serve=q4_k_m")
    assert done.deployed, done.outcome
    # The f16 is made again: it was not asked for, so it was not kept. Its reference is the merged
    # weights, which are asked for the new file's sake, without the adapter. The q8_0 does not
    # serve: it is made when somebody asks for it.
    assert heard.work == [
        "Converting to GGUF f16",
        "Quantising to Q4_K_M",
        "Parity: asking the merged weights",
        "Parity: asking q4_k_m, served",
        "Storing the export",
        "Quantising the untuned base to Q4_K_M, to compare with",
        "Asking 12 cases again, alone and 1 at once",
    ]
    assert heard.said("safetensors: made by an earlier export of these weights")
    assert heard.said("Parity of adapter → merged was shown before")


def test_going_back_to_the_first_finds_everything(desk: Path) -> None:
    before = servers_started(desk)
    gates = {**GATES, "error_share": "<= 0.3"}
    done, heard = run(desk, *BOTH_FORMS, evaluation={"gates": gates})
    assert done.deployed, done.outcome
    assert heard.work == []
    assert len(heard.said("answered in an earlier run")) == 3
    assert servers_started(desk) == before + 1


def test_another_form_is_made_and_measured_when_it_is_asked_for(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle says what it did not make; the file is the one that a cycle with it served."""
    monkeypatch.chdir(desk.parent)
    report = json.loads(CliRunner().invoke(app, ["evaluation", "show", "latest", "--json"]).stdout)
    assert [row["name"] for row in report["quantisations"]] == ["q8_0"]
    assert "not made, and so not measured: q4_k_m" in " ".join(report["notes"])
    made = CliRunner().invoke(
        app,
        ["export", "production", "-o", str(tmp_path), "--json"]
        + [word for change in BOTH_FORMS for word in ("--set", change)],
    )
    (form,) = json.loads(made.stdout)
    assert form["form"] == "q4_k_m"
    assert form["parity"]["checked"] == 8, "shown when it served"
    assert set(form["row"]["figures"]) >= {"correct", "accuracy"}
    file = tmp_path / "model-q4_k_m.gguf"
    assert form["path"] == str(file) and form["digests"] == {file.name: digest_file(file)}
    with closing(Loop.open(desk)) as loop:
        bundles = listing(loop.workspace, model=loop.model.name)
    served = {b.manifest.serving.quantisation: b.manifest.serving.digest for b in bundles}
    assert form["digests"][file.name] == served["q4_k_m"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    shown = CliRunner().invoke(app, ["export", "production", "--form", "q8_0", "-o", str(tmp_path)])
    assert "q8_0" in shown.stdout and "passed" in shown.stdout, shown.output
    refused = CliRunner().invoke(
        app, ["export", "production", "--set", 'export.quantisations=["q8_0"]']
    )
    assert "lists no form beside q8_0" in str(refused.exception)


def test_forced_trains_and_asks_again_and_makes_no_equal_file_again(desk: Path) -> None:
    done, heard = run(desk, force=True)
    assert done.deployed, done.outcome
    assert heard.work == ["Training", "Asking 12 cases again, alone and 1 at once"]
    assert len(heard.said("45 of them were answered")) == 2, (
        "production and base, not the candidate"
    )


def _evaluations(desk: Path) -> list[dict[str, Any]]:
    loop = Loop.open(desk)
    with loop.workspace.records.begin() as tx:
        found = [dict(row) for row in tx.execute(sa.select(tables.evaluations)).mappings()]
    loop.close()
    return found
