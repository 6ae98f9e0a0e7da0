"""What a candidate is held to less than production was is told wherever somebody looks.

Production was evaluated on 240 rows and a golden suite; then the file asks for less, and rows go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tiny_desk import write
from tuneloop.candidates import contents, held_out, preparing
from tuneloop.candidates.planning import plan_for
from tuneloop.cli.main import app
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment import endpoints
from tuneloop.errors import GateError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.suites import Messages
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.setup import check, weakened
from tuneloop.setup.finding import Finding
from tuneloop.testing.manifest import manifest_of

INTENTS = ("refund", "delivery", "human")
GATES = {"accuracy": ">= 0.90", "format": ">= 0.95", "golden.accuracy": ">= 0.90"}
LOWER = {"condition": ">= 0.80", "reason": "labels overlap since May"}
SAID = (
    "weaker than production's: accuracy >= 0.80 (was >= 0.90): labels overlap since May",
    "weaker than production's: golden.accuracy is not asked (was >= 0.90): no reason is given",
)
GONE = "cases of suite held-out are gone: no reason is given"


def row(number: int) -> dict[str, str]:
    answer = json.dumps({"intent": INTENTS[number % 3]})
    return {"prompt": f"{number * 7919} of {chr(97 + number % 23) * 5}?", "completion": answer}


@dataclass(kw_only=True)
class Knows:
    """A model that has learnt every row by heart."""

    identity: str
    sampling: Sampling
    answers: Mapping[str, str]

    def complete(self, messages: Messages) -> Answer:
        return Answer(text=self.answers[messages[-1]["content"]], finish_reason="stop")


@dataclass(kw_only=True)
class Desk:
    """A model folder."""

    folder: Path
    notes: list[str] = field(default_factory=list)

    def step(self, text: str, *, keeps: str = "") -> None:
        """No step is looked at."""

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Nor how far it is."""

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def project(self) -> Project:
        """By the file as it is now."""
        return Project.open(self.folder, actor="ann", progress=self)

    def rows(self, numbers: range) -> None:
        lines = (json.dumps(row(number)) + "\n" for number in numbers)
        (self.folder / "rows.jsonl").write_text("".join(lines))

    def made(self) -> tuple[DatasetVersion, list[str]]:
        """A dataset version, and what `prepare` warned of."""
        before, project = len(self.notes), self.project()
        version = preparing.prepare(project)
        project.close()
        return version, [note for note in self.notes[before:] if "weaker than" in note]

    def evaluated(self, version: DatasetVersion, identity: str) -> Bundle:
        """A candidate that passes its gates, as a cycle registers it."""
        project = self.project()
        plan = plan_for(project, version)
        answers = {str(row(n)["prompt"]): row(n)["completion"] for n in range(400)}
        target = Knows(identity=identity, sampling=plan.sampling, answers=answers)
        done = evaluation.evaluate(
            project.workspace,
            plan=plan,
            target=target,
            weakened=weakened.of_plan(project, plan),
            notes=weakened.added_gates(project),
        )
        assert done.verdict == "passed", evaluations.read_report(project.workspace, done).reason
        manifest = manifest_of(
            model="desk",
            artifacts={"dataset": version.digest, "evaluation": str(done.artifact)},
            dataset={"digest": version.digest, "label": version.label},
            task=contents.task_part(project),
            serving={"sampling": {"temperature": 0.0}, "backend": identity, "parallel_requests": 1},
            evaluation=contents._evaluation_part(project, done).as_json(),
        )
        bundle = bundles.register(project.workspace, manifest)
        with project.workspace.records.begin() as tx:
            aliases.move(
                tx,
                model="desk",
                name="candidate",
                bundle=bundle.id,
                expected=aliases.read(tx, "desk").get("candidate"),
                actor="ann",
                reason="evaluated",
                now=project.workspace.now(),
            )
        project.close()
        return bundle

    def live(self, bundle: Bundle, expected: Bundle | None = None) -> None:
        project = self.project()
        endpoints.point(
            project.workspace,
            model=project.model,
            bundle=bundle.id,
            expected=expected.id if expected else None,
            actor="ann",
            reason="it is as good",
        )
        project.close()

    def checked(self) -> list[Finding]:
        project = self.project()
        found = [one for one in check.look_over(project) if one.what in ("weaker", "gate")]
        project.close()
        return found

    def said(self, *words: str) -> str:
        """What a command says, on one line."""
        done = CliRunner().invoke(app, [*words, "-f", str(self.folder / "tuneloop.yaml")])
        assert done.exit_code == 0, (words, done.output, done.exception)
        return " ".join(done.output.split())

    def told(self, *words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--json", "-f", str(self.folder / "tuneloop.yaml")])
        assert done.exit_code == 0, (words, done.output, done.exception)
        return json.loads(done.stdout)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With a bundle in production that was held to `GATES`."""
    monkeypatch.delenv("TUNELOOP_WORKSPACE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = Desk(folder=tmp_path)
    made.rows(range(240))
    golden = (json.dumps(row(number)) + "\n" for number in range(300, 305))
    (tmp_path / "golden.jsonl").write_text("".join(golden))
    content = {
        "name": "desk",
        "base": "b",
        "task": {"output_schema": {"type": "object", "properties": {"intent": {}}}},
        "data": {"sources": ["rows.jsonl"], "holdout_share": 0.25},
        "evaluation": {
            "gates": GATES,
            "minimum_cases": 10,
            "suites": [{"name": "golden", "file": "golden.jsonl"}],
            "reasons": {"minimum_cases": "there are few rows"},
        },
        "approvals": {"deploy": {"roles": ["expert"]}},
    }
    (tmp_path / "tuneloop.yaml").write_text(yaml.safe_dump(content))
    version, warned = made.made()
    assert warned == [
        "warning: weaker than the default: minimum_cases 10 (default 50): there are few rows"
    ]
    made.live(made.evaluated(version, "first"))
    return made


def test_lowered_gates_are_told_before_the_training_and_for_as_long_as_the_bundle_is_live(
    desk: Desk,
) -> None:
    production = desk.told("status")["live"]["bundle"]
    write(desk.folder / "tuneloop.yaml", "evaluation", gates={"accuracy": LOWER})
    version, warned = desk.made()
    assert warned[:2] == [f"warning: {said}" for said in SAID]
    verdicts = {one.found.removesuffix("."): one.verdict for one in desk.checked()}
    assert verdicts[SAID[0]] == "ok" and verdicts[SAID[1]] == "warning"

    lowered = desk.evaluated(version, "second")
    # An approver sees it first, before anything else.
    shown = desk.said("bundle", "show", "candidate")
    assert shown.index(SAID[0]) < shown.index(SAID[1]) < shown.index("gates")
    report = desk.said("evaluation", "show", "latest")
    assert report.index(SAID[0]) < report.index("2 gates passed")
    assert SAID[0] in desk.said("approvals", "list")
    assert SAID[1] in desk.told("status")["candidate_weakened"]
    decided = desk.said("reject", "candidate", "-m", "no")
    assert decided.index(SAID[0]) < decided.index("rejected bundle")
    project = desk.project()
    page = evaluations.read_report(
        project.workspace, evaluations.named(project.workspace, "desk")
    ).as_html()
    assert page.index("labels overlap since May") < page.index("2 gates passed")
    desk.live(lowered, project.bundle(production))

    assert list(SAID) == desk.told("status")["live"]["weakened"][:2]
    assert SAID[0] in desk.said("status") and SAID[0] in desk.said("history")
    newest, first = desk.told("history")
    assert newest["weakened"][:2] == list(SAID) and len(first["weakened"]) == 1
    moved = next(e for e in desk.told("audit", "list") if e["action"] == "endpoint.move")
    assert moved["detail"]["weakened"][:2] == list(SAID)
    rejected = next(e for e in desk.told("audit", "list") if e["action"] == "approval.rejected")
    assert rejected["detail"]["seen"]["weakened"][:2] == list(SAID)
    project.close()


def test_rows_that_are_gone_are_told_before_the_training_and_in_the_report(desk: Desk) -> None:
    project = desk.project()
    held_out = versions.read_examples(
        project.workspace, versions.load(project.workspace, "desk"), "eval"
    )
    project.close()
    asked = {example.question for example in held_out}
    left = [number for number in range(240) if row(number)["prompt"] not in asked]
    lines = {n: json.dumps(row(n)) + "\n" for n in range(240)}
    kept = [*left, *(n for n in range(240) if n not in left)][: 240 - 24]
    (desk.folder / "rows.jsonl").write_text("".join(lines[n] for n in sorted(kept)))
    said = f"weaker than production's: 24 of the {len(asked)} {GONE}"
    (found,) = [one for one in desk.checked() if "gone" in one.found]
    assert found.found == f"{said}." and found.verdict == "warning"
    assert found.remedy == "Say why: evaluation.reasons.held-out."
    version, warned = desk.made()
    assert warned[0] == f"warning: {said}"
    desk.evaluated(version, "second")
    assert said in desk.said("evaluation", "show", "latest")
    assert said in desk.told("status")["candidate_weakened"]
    reasons = {"minimum_cases": "few", "held-out": "the customer left"}
    write(desk.folder / "tuneloop.yaml", "evaluation", reasons=reasons, suites=[], gates={})
    _, warned = desk.made()
    assert warned[1] == f"warning: {said.replace('no reason is given', 'the customer left')}"
    assert "suite golden was dropped, and 5 of its 5 cases: no reason is given" in warned[2]


def test_another_system_text_or_answer_makes_no_case_another_one(desk: Desk) -> None:
    write(desk.folder / "tuneloop.yaml", "task", system="Sort it.")
    other = [{**row(n), "completion": json.dumps({"intent": "human"})} for n in range(240)]
    (desk.folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in other))
    _, warned = desk.made()
    assert not [said for said in warned if "gone" in said]


def test_a_default_gate_that_the_file_does_not_mention_holds_and_is_said(desk: Desk) -> None:
    write(desk.folder / "tuneloop.yaml", "evaluation", gates={"format": ">= 0.95"})
    said = "accuracy >= 0.90 is a default gate, of which the model file says nothing; drop it with"
    assert any(said in one.found and one.verdict == "ok" for one in desk.checked())
    version, _ = desk.made()
    assert any(note.startswith(said) for note in desk.notes)
    desk.evaluated(version, "second")
    report = desk.told("evaluation", "show", "latest")
    assert {gate["metric"] for gate in report["gates"]} == {"accuracy", "format"}
    assert any(note.startswith(said) for note in report["notes"])


def test_a_default_likeness_that_says_nothing_here_is_left_out_and_told(desk: Desk) -> None:
    """A model file of prose from before gates were added would refuse every candidate now."""
    replies = ({"prompt": f"{n}?", "completion": f"Thank you, we call. {n % 3}"} for n in range(80))
    rows = "".join(json.dumps(one) + "\n" for one in replies)
    (desk.folder / "rows.jsonl").write_text(rows)
    content = yaml.safe_load((desk.folder / "tuneloop.yaml").read_text())
    content["task"] = {"kind": "prose"}
    content["evaluation"] = {"gates": {"answered": ">= 0.9"}, "allow_small_suite": True}
    (desk.folder / "tuneloop.yaml").write_text(yaml.safe_dump(content))
    version, warned = desk.made()
    (said,) = [one for one in warned if "chrf is not asked (default better than base)" in one]
    assert "it says nothing on this data" in said
    project = desk.project()
    held_out.check(project, version)
    project.close()
    content["evaluation"]["gates"]["chrf"] = "better than base"
    (desk.folder / "tuneloop.yaml").write_text(yaml.safe_dump(content))
    project = desk.project()
    with pytest.raises(GateError, match=r"no verdict can stand on held-out\.chrf"):
        held_out.check(project, version)
    project.close()
