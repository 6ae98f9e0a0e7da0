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
from tuneloop.evaluation.judging.prompt import CLAIMS_DIGEST
from tuneloop.evaluation.plan import EvaluationPlan, plan_evaluation
from tuneloop.evaluation.record import Evaluation, read_report
from tuneloop.evaluation.stage import evaluate
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.hashing import short
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


def labels(yes: int, missed: int, wrongly: int, no: int) -> list[tuple[bool, bool]]:
    """Right and passed, right and failed, wrong and passed, wrong and failed."""
    return (
        [(True, True)] * yes
        + [(True, False)] * missed
        + [(False, True)] * wrongly
        + [(False, False)] * no
    )


def trusted(folder: Path, server: ScriptedUpstream, *people: int, **judge: object) -> Calibration:
    """What people say of the judge as it is planned; by default they agree on 100 answers."""
    plan = planned(folder, server, **judge)
    version = f"judge-2026-01@{plan.metrics[-1].source_digest[:12]}"
    return calibrate(labels(*(people or (50, 0, 0, 50))), judge=version)


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
    known = [trusted(folder, server)]
    plan = planned(folder, server, calibrations=known)
    good = evaluated(workspace, plan, lambda n: f"{n}, please" if n else "no")
    assert (good.verdict, good.figures["suites"]["golden"]["judge"][::3]) == ("passed", [0.95, 20])
    again = planned(folder, server, calibrations=known)
    assert evaluated(workspace, again, lambda n: f"{n}!", "poor").verdict == "failed"
    report = read_report(workspace, good).as_json()
    (about,) = [m["about"] for m in report["plan"]["metrics"] if m["name"] == "judge"]
    assert about == (
        "answers that judge scores 4 or more of 5 by the rubric, corrected for what it gets wrong"
    )


def test_no_verdict_stands_on_a_judge_that_people_were_not_compared_with(
    workspace: Workspace, folder: Path, server: ScriptedUpstream
) -> None:
    """However good its figure: what it says may be anything."""
    done = evaluated(workspace, planned(folder, server), lambda n: f"{n}, please")
    assert done.verdict == "refused"
    report = read_report(workspace, done).as_json()
    assert "is not calibrated" in report["gates"][0]["reason"]
    (note,) = [note for note in report["notes"] if note.startswith("judge")]
    assert note.endswith("is not calibrated: how far it agrees with people is not known")
    few = trusted(folder, server, 50, 0, 0, 19)
    done = evaluated(
        workspace, planned(folder, server, calibrations=[few]), lambda n: f"{n}, please"
    )
    assert done.verdict == "refused"
    (gate,) = read_report(workspace, done).as_json()["gates"]
    assert "50 right and 19 wrong answers, and it takes 20 of each" in gate["reason"]


def test_a_gate_is_held_to_the_corrected_share(
    workspace: Workspace, folder: Path, server: ScriptedUpstream
) -> None:
    """A judge that lets half of the wrong answers through passes more than are right."""
    lax = trusted(folder, server, 100, 0, 50, 50)
    plan = planned(folder, server, calibrations=[lax])
    done = evaluated(workspace, plan, lambda n: f"{n}, please" if n > 3 else "no")
    assert done.figures["suites"]["golden"]["judge"][0] == pytest.approx(0.6)
    assert done.verdict == "failed", "it passed 0.8, which the gate asks for"
    assert "its 0.800 corrected" in " ".join(read_report(workspace, done).as_json()["notes"])


def test_what_corrects_is_part_of_the_gate_lock(folder: Path, server: ScriptedUpstream) -> None:
    locks = {
        planned(folder, server, calibrations=calibrations).gate_lock.digest
        for calibrations in (
            [],
            [trusted(folder, server)],
            [trusted(folder, server, 40, 10, 0, 50)],
        )
    }
    assert len(locks) == 3


def test_a_gate_on_unsupported_claims_brings_them_along(
    workspace: Workspace, folder: Path, server: ScriptedUpstream, opinion: Opinion
) -> None:
    def claims(quoted: str) -> str:
        made_up = "please" not in quoted.split("<answer to check")[1]
        said = [{"claim": "It asks politely.", "supported": not made_up}]
        return json.dumps({"claims": said})

    opinion.say = claims
    version = f"judge-2026-01@{short(CLAIMS_DIGEST)}"
    known = calibrate(labels(50, 0, 0, 50), judge=version, of="unsupported_claims")
    for calibrations, verdict_ in (([known], "passed"), ([], "refused")):
        plan = planned(
            folder,
            server,
            gates={"golden.unsupported_claims": "<= 0.05"},
            calibrations=calibrations,
        )
        done = evaluated(workspace, plan, lambda n: f"{n}, please" if n else "no")
        measured = done.figures["suites"]["golden"]["unsupported_claims"]
        assert (done.verdict, measured[::3]) == (verdict_, [pytest.approx(0.05), 20])
    assert len(server.requests) == CASES, "the rubric was not asked for"
    (gate,) = read_report(workspace, done).as_json()["gates"]
    assert "is not calibrated" in gate["reason"] and "unsupported_claims" in gate["reason"]


def test_a_rubric_of_the_team_is_a_metric_of_its_own(
    workspace: Workspace, folder: Path, server: ScriptedUpstream, opinion: Opinion
) -> None:
    """Tone is judged by its own words and its own labels, whatever the other rubric says."""
    asked: list[str] = []

    def script(request: Received) -> Reply:
        system = request.body["messages"][0]["content"]
        asked.append(system)
        score = 5 if "Be kind" in system else 1
        return judge_script(lambda quoted: verdict(score))(request)

    def plan(gates: dict[str, str], *calibrations: Calibration) -> EvaluationPlan:
        settings = JudgeSettings(base_url=kind.base_url, model="judge", retries=0)
        tone = settings.model_copy(update={"rubric": "Be kind."})
        return plan_evaluation(
            model="desk",
            task=TaskSettings(),
            settings=EvaluationSettings(
                suites=(SuiteSettings(name="golden", file="golden.jsonl"),), gates=gates
            ),
            sampling=SAMPLING,
            dataset=None,
            folder=folder,
            judge=lambda: judge_metric(
                Judge(settings), calibrations, rubrics={"tone": Judge(tone)}
            ),
        )

    with ScriptedUpstream(script) as kind:
        gates = {"golden.judge.tone": ">= 0.8"}
        tone = plan(gates).metrics[-1]
        known = calibrate(
            labels(50, 0, 0, 50), judge=f"judge-2026-01@{tone.source_digest[:12]}", of=tone.name
        )
        done = evaluated(workspace, plan(gates, known), lambda n: str(n))
        assert (tone.name, done.verdict) == ("judge.tone", "passed")
        assert done.figures["suites"]["golden"]["judge.tone"][::3] == [1.0, CASES]
        assert all("Be kind." in system for system in asked), "the other rubric was not asked for"
        other = evaluated(workspace, plan({"golden.judge": ">= 0.8"}, known), str, "other")
        assert other.verdict == "refused"
        (gate,) = read_report(workspace, other).as_json()["gates"]
        assert "is not calibrated" in gate["reason"], "labels of tone say nothing of the rest"
        with pytest.raises(EvaluationError, match="the judge has no rubric 'ton'") as refused:
            plan({"golden.judge.ton": ">= 0.8"})
        assert "judge.tone" in refused.value.remedy


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
    known = trusted(folder, server, 45, 5, 10, 40)
    plan = planned(folder, server, calibrations=[known])
    done = evaluated(workspace, plan, lambda n: f"{n}, please" if n > 3 else "no")
    (note,) = [n for n in read_report(workspace, done).as_json()["notes"] if n.startswith("judge ")]
    assert known.summary in note
    assert "its 0.800 corrected for its known error: 0.857 (" in note


def test_few_answers_without_a_verdict_count_as_not_right_many_are_an_error(
    workspace: Workspace, folder: Path, server: ScriptedUpstream, opinion: Opinion
) -> None:
    opinion.say = lambda quoted: "?" if "question 7\n" in quoted else polite(quoted)
    done = evaluated(workspace, planned(folder, server), lambda n: f"{n}, please")
    assert done.figures["suites"]["golden"]["judge"][::3] == [0.95, 20]
    notes = " ".join(read_report(workspace, done).as_json()["notes"])
    assert "judge: no verdict on 1 answers, which count as not right" in notes
    known = planned(folder, server, calibrations=[trusted(folder, server, 45, 5, 0, 50)])
    done = evaluated(workspace, known, lambda n: f"{n}, please", "known")
    # Its 19 of 19 are all right, the other one is not: no correction takes that back.
    assert done.figures["suites"]["golden"]["judge"][::3] == [0.95, 20]
    opinion.say = lambda quoted: "?"
    with pytest.raises(EvaluationError, match="no verdict on 20 of 20 answers"):
        evaluated(workspace, planned(folder, server, rubric="Else."), lambda n: f"{n}, please")


@pytest.mark.parametrize("calibrated", [True, False])
def test_production_is_compared_by_a_judge_that_people_were_compared_with(
    workspace: Workspace, folder: Path, server: ScriptedUpstream, calibrated: bool
) -> None:
    """Of another one it is shown how they differ, and it decides nothing."""
    rows = [{"prompt": f"question {number}", "completion": f"{number}"} for number in range(CASES)]
    (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    known = [trusted(folder, server)] if calibrated else []
    plan = planned(folder, server, calibrations=known)

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
    (compared,) = read_report(workspace, done).as_json()["comparisons"]
    (by_judge,) = [one for one in compared["metrics"] if one["metric"] == "judge"]
    assert by_judge["difference"]["value"] == -1.0
    if calibrated:
        assert standing["verdict"] == "worse"
        assert standing["reason"].startswith("judge is worse by -1.000")
    else:
        assert standing["verdict"] != "worse"
        assert "which decides nothing: judge judge-2026-01@" in by_judge["reason"]


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
