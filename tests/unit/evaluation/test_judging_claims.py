"""Claim by claim: what the judge lists is read, pooled, kept, and never guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneloop.evaluation.judging.answers import JudgeAnswers
from tuneloop.evaluation.judging.calibration import calibrate
from tuneloop.evaluation.judging.claims import claims_metric
from tuneloop.evaluation.judging.judge import Claims, Judge, Unjudged
from tuneloop.evaluation.judging.prompt import CLAIMS_DIGEST, Exchange
from tuneloop.evaluation.judging.verdict import NoVerdictError, read_claims
from tuneloop.evaluation.suites import Case
from tuneloop.hashing import short
from tuneloop.modelfile import JudgeSettings
from tuneloop.progress import Silent
from tuneloop.testing.judge import judge_script
from tuneloop.testing.upstream import ScriptedUpstream

QUESTION = {"role": "user", "content": "I have had a cough for two days."}


def listed(*claims: tuple[str, bool]) -> str:
    return json.dumps({"claims": [{"claim": said, "supported": yes} for said, yes in claims]})


def judge(upstream: ScriptedUpstream, known: JudgeAnswers | None = None) -> Judge:
    settings = {"base_url": upstream.base_url, "model": "judge", "concurrency": 1, "retries": 0}
    return Judge(JudgeSettings.model_validate(settings), known=known)


def test_claims_are_read_and_what_is_no_list_of_them_is_not() -> None:
    said = listed(("It rains.", True), ("It snows.", False))
    assert read_claims(f"Here:\n```json\n{said}\n```") == (
        ("It rains.", True),
        ("It snows.", False),
    )
    assert read_claims('{"claims": []}') == ()
    for text, code in (
        ("no claims", "no_object"),
        ('{"claims": "none"}', "bad_value"),
        ('{"claims": [{"claim": "a", "supported": "yes"}]}', "bad_value"),
        (f'{said} or {{"claims": []}}', "ambiguous"),
    ):
        with pytest.raises(NoVerdictError, match=code):
            read_claims(text)
    with pytest.raises(NoVerdictError, match="quoted"):
        read_claims(said, quoted=[f"my own verdict: {said}"])


def test_the_judge_sees_the_prompt_and_the_answer_and_no_reference(tmp_path: Path) -> None:
    said = listed(("She coughs.", True), ("She smokes.", False))
    with ScriptedUpstream(judge_script(lambda _: said)) as upstream:
        asked = judge(upstream, JudgeAnswers(tmp_path / "judge.jsonl"))
        exchange = Exchange(messages=(QUESTION,), answer="She coughs and smokes.")
        found = [asked.claims(exchange), asked.claims(exchange)]
    assert found[0] == found[1]
    assert isinstance(found[0], Claims)
    assert (found[0].number, found[0].unsupported) == (2, ("She smokes.",))
    assert found[0].judge.startswith("judge-2026-01@")
    (request,) = upstream.requests  # the second answer was known
    quoted = request.body["messages"][1]["content"]
    assert QUESTION["content"] in quoted and "She coughs and smokes." in quoted
    assert "reference" not in quoted


def test_the_figure_pools_the_claims_of_all_answers() -> None:
    lists = {
        "many": listed(*((f"claim {i}", True) for i in range(9))),
        "few": listed(("It is made up.", False)),
        "none": listed(),
    }

    def say(quoted: str) -> str:
        return next(said for word, said in lists.items() if f"an answer of {word}" in quoted)

    cases = [Case(id=word, messages=(QUESTION,), expected="no such") for word in lists]
    outside = Case(id="outside", messages=(QUESTION,), out_of_scope=True)
    with ScriptedUpstream(judge_script(say)) as upstream:
        metric = claims_metric(judge(upstream))
        assert metric.prepare is not None and metric.figure is not None
        pairs = [(case, f"an answer of {case.id}") for case in cases]
        metric.prepare([*pairs, (outside, "an answer of many")], Silent())
        assert len(upstream.requests) == 3
    scores = [metric.score(case, answer) for case, answer in pairs]
    counted = [score for score in scores if score is not None]
    figure = metric.figure(counted)
    assert (figure.value, figure.n) == (pytest.approx(0.1), 3)
    assert scores[1] is not None and scores[1].detail == "not supported: It is made up."
    assert metric.score(outside, "an answer of many") is None
    assert metric.remarks is not None
    assert "is not calibrated" in metric.remarks(counted)[0]
    assert metric.objection is not None
    assert "tuneloop judge calibrate --metric unsupported_claims" in metric.objection()


def test_the_figure_is_corrected_by_what_people_said_of_claims() -> None:
    """A judge that misses half of what is made up found a tenth: a fifth is."""

    def say(quoted: str) -> str:
        flagged = quoted.split("an answer ")[1].startswith("0\n")
        return listed(*((f"claim {n}", not flagged) for n in range(2)))

    pairs = [
        (Case(id=str(n), messages=(QUESTION,), expected="no such"), f"an answer {n % 10}\n")
        for n in range(100)
    ]
    labels = [(True, True)] * 100 + [(False, n < 50) for n in range(100)]
    known = calibrate(
        labels, judge=f"judge-2026-01@{short(CLAIMS_DIGEST)}", of="unsupported_claims"
    )
    with ScriptedUpstream(judge_script(say)) as upstream:
        plain, metric = claims_metric(judge(upstream)), claims_metric(judge(upstream), [known])
        figures = []
        for one in (plain, metric):
            assert one.prepare and one.figure
            one.prepare(pairs, Silent())
            scores = [score for case, answer in pairs if (score := one.score(case, answer))]
            figures.append(one.figure(scores))
    assert [round(figure.value, 3) for figure in figures] == [0.1, 0.2]
    assert figures[1].low < 0.2 < figures[1].high
    assert figures[1].high - figures[1].low > figures[0].high - figures[0].low
    assert metric.objection is not None and metric.objection() == ""
    assert metric.discerns is not None and metric.discerns() is not None
    assert metric.source_digest != plain.source_digest, "what corrects is another gate lock"


def test_an_answer_without_a_verdict_counts_as_if_nothing_in_it_were_supported() -> None:
    """As many claims as the others make on average: a twentieth of both."""

    def say(quoted: str) -> str:
        return "?" if "cannot" in quoted else listed(("It is so.", True), ("It is.", True))

    answers = [*(f"an answer {n}" for n in range(19)), "this cannot be judged"]
    pairs = [
        (Case(id=answer, messages=(QUESTION,), expected="no such"), answer) for answer in answers
    ]
    with ScriptedUpstream(judge_script(say)) as upstream:
        metric = claims_metric(judge(upstream))
        assert metric.prepare is not None and metric.figure is not None and metric.remarks
        metric.prepare(pairs, Silent())
    scores = [score for case, answer in pairs if (score := metric.score(case, answer))]
    assert metric.figure(scores).as_list()[::3] == [pytest.approx(0.05), 20]
    assert "no verdict on 1 answers, which count as if" in metric.remarks(scores)[-1]


def test_an_answer_that_is_no_list_is_no_verdict() -> None:
    with ScriptedUpstream(judge_script(lambda _: "all fine")) as upstream:
        found = judge(upstream).claims(Exchange(messages=(QUESTION,), answer="She coughs."))
    assert isinstance(found, Unjudged)
    assert found.code == "no_object"
