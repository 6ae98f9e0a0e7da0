"""A gate may stand on the judge, whose figure never stands there without its calibration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.judging.answers import JudgeAnswers
from tuneloop.evaluation.judging.calibration import Calibration, calibrate
from tuneloop.evaluation.judging.judge import Judge
from tuneloop.evaluation.judging.metric import judge_metric
from tuneloop.evaluation.plan import EvaluationPlan, plan_evaluation
from tuneloop.evaluation.record import Evaluation, read_report
from tuneloop.evaluation.stage import evaluate
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.modelfile import EvaluationSettings, JudgeSettings, SuiteSettings, TaskSettings
from tuneloop.testing.judge import judge_script, verdict
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

SAMPLING = Sampling(max_tokens=16)
CASES = 20


def polite(quoted: str) -> str:
    """A judge that likes polite answers."""
    answer = quoted.split("<answer to judge")[1]
    return verdict(5 if "please" in answer else 1, "manners")


class Opinion:
    """A judge whose opinion a test may change."""

    def __init__(self) -> None:
        self.say: Callable[[str], str] = polite

    def __call__(self, request: Received) -> Reply:
        return judge_script(lambda quoted: self.say(quoted))(request)


@pytest.fixture
def opinion() -> Opinion:
    return Opinion()


@pytest.fixture
def server(opinion: Opinion) -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(opinion) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"prompt": f"question {number}"} for number in range(CASES)]
    (tmp_path / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def planned(
    folder: Path,
    server: ScriptedUpstream,
    *,
    gates: dict[str, str] | None = None,
    calibrations: Sequence[Calibration] = (),
    **judge: object,
) -> EvaluationPlan:
    settings = JudgeSettings.model_validate(
        {"base_url": server.base_url, "model": "judge", "retries": 0} | judge
    )
    known = JudgeAnswers(folder / "judge.jsonl")
    return plan_evaluation(
        model="desk",
        task=TaskSettings(),
        settings=EvaluationSettings(
            suites=(SuiteSettings(name="golden", file="golden.jsonl"),),
            gates=gates or {"judge": ">= 0.8"},
        ),
        sampling=SAMPLING,
        dataset=None,
        folder=folder,
        judge=lambda: judge_metric(Judge(settings, known=known), calibrations),
    )


def evaluated(
    workspace: Workspace, plan: EvaluationPlan, reply: Callable[[int], str], name: str = "new"
) -> Evaluation:
    def script(request: Received) -> Reply:
        return Reply(text=reply(int(request.body["messages"][-1]["content"].split()[1])))

    with ScriptedUpstream(script) as upstream:
        target = OpenAITarget(
            base_url=upstream.base_url, model="m", identity=name, sampling=SAMPLING
        )
        return evaluate(workspace, plan=plan, target=target)


def test_a_gate_on_the_judge_passes_and_fails(
    workspace: Workspace, folder: Path, server: ScriptedUpstream
) -> None:
    plan = planned(folder, server)
    good = evaluated(workspace, plan, lambda n: f"{n}, please" if n else "no")
    assert (good.verdict, good.figures["suites"]["golden"]["judge"][::3]) == ("passed", [0.95, 20])
    poor = evaluated(workspace, planned(folder, server), lambda n: f"{n}!", "poor")
    assert poor.verdict == "failed"
    report = read_report(workspace, good).as_json()
    (note,) = [note for note in report["notes"] if note.startswith("judge")]
    assert note.endswith("is not calibrated: how far it agrees with people is not known")
    (about,) = [m["about"] for m in report["plan"]["metrics"] if m["name"] == "judge"]
    assert about == "answers that judge scores 4 or more of 5 by the rubric"


def test_a_gate_on_unsupported_claims_brings_them_along(
    workspace: Workspace, folder: Path, server: ScriptedUpstream, opinion: Opinion
) -> None:
    def claims(quoted: str) -> str:
        made_up = "please" not in quoted.split("<answer to check")[1]
        said = [{"claim": "It asks politely.", "supported": not made_up}]
        return json.dumps({"claims": said})

    opinion.say = claims
    plan = planned(folder, server, gates={"golden.unsupported_claims": "<= 0.05"})
    done = evaluated(workspace, plan, lambda n: f"{n}, please" if n else "no")
    measured = done.figures["suites"]["golden"]["unsupported_claims"]
    assert (done.verdict, measured[::3]) == ("passed", [0.05, 20])
    assert len(server.requests) == CASES, "the rubric was not asked for"


def test_an_evaluation_repeated_does_not_ask_the_judge_again(
    workspace: Workspace, folder: Path, server: ScriptedUpstream
) -> None:
    evaluated(workspace, planned(folder, server), lambda n: f"{n}, please")
    assert len(server.requests) == CASES
    evaluated(workspace, planned(folder, server), lambda n: f"{n}, please")
    assert len(server.requests) == CASES
    evaluated(workspace, planned(folder, server), lambda n: f"{n}, please" if n else "no", "other")
    assert len(server.requests) == CASES + 1, "only the answer that is another one"
    evaluated(workspace, planned(folder, server, rubric="Be rude."), lambda n: f"{n}, please")
    assert len(server.requests) == 2 * CASES + 1


def test_the_calibration_and_the_corrected_share_stand_in_the_report(
    workspace: Workspace, folder: Path, server: ScriptedUpstream
) -> None:
    plan = planned(folder, server)
    version = f"judge-2026-01@{plan.metrics[-1].source_digest[:12]}"
    pairs = [(True, True)] * 45 + [(True, False)] * 5 + [(False, False)] * 40 + [(False, True)] * 10
    known = calibrate(pairs, judge=version)
    plan = planned(folder, server, calibrations=[known])
    done = evaluated(workspace, plan, lambda n: f"{n}, please" if n > 3 else "no")
    (note,) = [n for n in read_report(workspace, done).as_json()["notes"] if n.startswith("judge ")]
    assert known.summary in note
    assert "its 0.800 corrected for its known error: 0.857 (" in note


def test_few_answers_without_a_verdict_are_left_out_and_said_many_are_an_error(
    workspace: Workspace, folder: Path, server: ScriptedUpstream, opinion: Opinion
) -> None:
    opinion.say = lambda quoted: "?" if "question 7\n" in quoted else polite(quoted)
    done = evaluated(workspace, planned(folder, server), lambda n: f"{n}, please")
    assert done.figures["suites"]["golden"]["judge"][::3] == [1.0, 19]
    notes = read_report(workspace, done).as_json()["notes"]
    assert "judge: no verdict on 1 answers, which are left out" in notes
    opinion.say = lambda quoted: "?"
    with pytest.raises(EvaluationError, match="no verdict on 20 of 20 answers"):
        evaluated(workspace, planned(folder, server, rubric="Else."), lambda n: f"{n}, please")


def test_production_is_compared_by_the_judge_on_the_same_cases(
    workspace: Workspace, folder: Path, server: ScriptedUpstream
) -> None:
    rows = [{"prompt": f"question {number}", "completion": f"{number}"} for number in range(CASES)]
    (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = planned(folder, server)

    def polite_one(request: Received) -> Reply:
        return Reply(text=request.body["messages"][-1]["content"].split()[1] + " please")

    def rude_one(request: Received) -> Reply:
        return Reply(text=request.body["messages"][-1]["content"].split()[1] + " now")

    with ScriptedUpstream(rude_one) as mine, ScriptedUpstream(polite_one) as theirs:
        targets = [
            OpenAITarget(base_url=one.base_url, model="m", identity=name, sampling=SAMPLING)
            for one, name in ((mine, "new"), (theirs, "old"))
        ]
        done = evaluate(
            workspace,
            plan=plan,
            target=targets[0],
            references={"production": Subject(target=targets[1])},
        )
    standing = done.figures["comparisons"]["production"]
    assert standing["verdict"] == "worse"
    assert standing["reason"].startswith("judge is worse by -1.000")


def test_a_gate_on_a_judge_that_nobody_declared_is_refused_before_anything_is_asked(
    folder: Path,
) -> None:
    with pytest.raises(EvaluationError, match="names the metric 'judge'"):
        plan_evaluation(
            model="desk",
            task=TaskSettings(),
            settings=EvaluationSettings(
                suites=(SuiteSettings(name="golden", file="golden.jsonl"),),
                gates={"golden.judge": ">= 0.8"},
            ),
            sampling=SAMPLING,
            dataset=None,
            folder=folder,
        )
