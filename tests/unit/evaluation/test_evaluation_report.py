import json
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tuneloop import intervals
from tuneloop.errors import EvaluationError
from tuneloop.evaluation import gates
from tuneloop.evaluation.comparison import compare
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.plan import make_plan
from tuneloop.evaluation.readable_report import Report
from tuneloop.evaluation.repeatability import Repeatability
from tuneloop.evaluation.report import ParityHop, QuantisationRow, make_report
from tuneloop.evaluation.results import measure
from tuneloop.evaluation.suites import make_suite
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import TaskSettings

ATTACK = '</pre><script>alert(1)</script><img src=x onerror="x()">{{ 7*7 }} [bold]\x1b[31m\ud800'


@pytest.fixture
def report(task: TaskSettings, parts) -> Report:
    return make(task, parts, minimum_cases=20)


def make(
    task: TaskSettings,
    parts,
    *,
    minimum_cases: int,
    known: tuple[str, ...] = (),
    lost: tuple[str, ...] = (),
) -> Report:
    right, human = parts.answer_text("refund"), parts.answer_text("human")
    suite = parts.suite(
        [parts.case(f"{i:02}", right, question=f"case {i} {ATTACK}") for i in range(40)]
        + [parts.case(f"o{i:02}", human, out_of_scope=True) for i in range(20)]
    )
    metrics = metrics_for(task)
    plan = make_plan(
        model="desk",
        suites=[suite],
        metrics=metrics,
        conditions={"accuracy": ">= 0.90", "abstention_recall": ">= 0.5"},
        sampling=Sampling(),
        minimum_cases=minimum_cases,
        notes=["a note <b>"],
    )
    good = {case.id: case.expected or "" for case in suite.cases}
    bad: dict[str, str | Answer] = {
        **good,
        "00": ATTACK,
        "01": Answer(error=f"http_500: {ATTACK}"),
        "02": parts.answer_text("delivery"),
        **dict.fromkeys(lost, right),
    }
    mine = measure(parts.answers(suite, bad, "candidate-1"), metrics)
    theirs = measure(parts.answers(suite, good, "production-1"), metrics)
    outcome = gates.apply_gates(
        plan.gate_lock, figures={suite.name: mine.figures}, sizes=plan.sizes()
    )
    return Report(
        make_report(
            evaluation="20260302-aaaa",
            created_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
            plan=plan,
            outcome=outcome,
            results={"candidate": [mine], "production": [theirs]},
            comparisons=[
                compare(
                    mine,
                    theirs,
                    label="production",
                    metrics=metrics,
                    margin=plan.margin,
                    rule=plan.rule,
                    known=known,
                )
            ],
            repeatability=Repeatability(n=12, repeated=11, alone=12, together=11).as_json(),
            quantisations=[
                QuantisationRow(
                    name="q8_0",
                    size_bytes=144_000_000,
                    tokens_per_second=None,
                    figures={"accuracy": intervals.share(9, 10)},
                )
            ],
            parity=[ParityHop(name="merged → f16", passed=False, checked=9, agreed=8, bound=0.05)],
        )
    )


def as_text(report: Report, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    for part in report.as_terminal():
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_json_has_the_keys_that_readers_rely_on(report: Report) -> None:
    data = report.as_json()
    assert list(data) == [
        "format",
        "evaluation",
        "model",
        "created_at",
        "subjects",
        "verdict",
        "reason",
        "weakened",
        "warnings",
        "gate_lock",
        "gates",
        "plan",
        "decision",
        "operating",
        "suites",
        "comparisons",
        "repeatability",
        "quantisations",
        "parity",
        "baseline",
        "notes",
    ]
    accuracy = data["suites"][0]["figures"]["candidate"]["accuracy"]
    assert accuracy["value"] == 37 / 40 and accuracy["n"] == 40
    assert 0.79 < accuracy["low"] < 0.925 < accuracy["high"] < 0.98
    assert data["verdict"] == "passed"
    assert data["comparisons"][0]["lost"] == 3
    assert data["suites"][0]["worst"][0]["output"].startswith("(no answer: http_500")


def test_a_slice_that_seems_lost_stands_on_the_first_line_and_in_a_table(
    task: TaskSettings, parts
) -> None:
    lost = make(task, parts, minimum_cases=20, lost=("o01", "o02", "o03", "o04", "o05"))
    said = "against production, out_of_scope=yes: 5 of 20 cases lost, 0 won"
    assert as_text(lost).split("\n")[0].startswith(f"PASSED, but look: {said}")
    page = unescape(lost.as_html())
    assert f"But look: {said}" in page and "Lost slices" in page
    (row,) = [one for one in lost.as_json()["comparisons"][0]["subgroups"] if one["verdict"]]
    assert row["name"] == "out_of_scope=yes" and row["verdict"] == "warning"


def test_a_report_from_before_slices_were_compared_is_shown(report: Report) -> None:
    data = report.as_json()
    older = {key: value for key, value in data.items() if key != "warnings"}
    older["comparisons"] = [
        {key: value for key, value in compared.items() if not key.startswith("subgroups")}
        for compared in data["comparisons"]
    ]
    assert "Lost slices" not in as_text(Report(older)) + Report(older).as_html()


def test_a_report_from_before_repeatability_was_measured_is_shown(report: Report) -> None:
    older = {key: value for key, value in report.as_json().items() if key != "repeatability"}
    assert "answers repeated" not in as_text(Report(older)) + Report(older).as_html()


def test_it_comes_back_from_its_folder_as_it_was(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path)
    assert Report.read(tmp_path).as_json() == json.loads(json.dumps(report.as_json()))


def test_the_page_holds_nothing_that_a_model_could_make_run(report: Report) -> None:
    html = report.as_html()
    html.encode("utf-8")
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert {tag for tag, _ in tags.found}.isdisjoint({"script", "img", "link", "iframe", "a"})
    assert not any(name.startswith("on") for _, attrs in tags.found for name in attrs)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in html and "http" + "://" not in html


def test_all_three_forms_tell_the_same_story(report: Report) -> None:
    for text in (as_text(report), unescape(report.as_html())):
        for fact in (
            "0.925",
            ">= 0.9",
            "production",
            "q8_0",
            "8 of 9",
            "11 of 12 answers repeated",
        ):
            assert fact in text
    assert "PASSED" in as_text(report)


def test_a_refusal_for_size_gives_its_reason_wherever_it_is_read(task: TaskSettings, parts) -> None:
    refused = make(task, parts, minimum_cases=50)
    assert refused.verdict == "refused"
    for text in (as_text(refused), unescape(refused.as_html())):
        for fact in ("the 40 cases that it counts are too few", "the 20 cases that it counts"):
            assert fact in text


def test_it_says_what_the_cases_of_a_suite_stand_for(task: TaskSettings, parts) -> None:
    report = make(task, parts, minimum_cases=20).as_json()
    (plain,) = report["suites"]
    assert plain["remark"] == "" and plain["live_samples"] == 0
    right = parts.answer_text("refund")
    drawn = {"origin": "correction", "kind": "sample", "weight": "7.5"}
    suites = [
        make_suite("held-out", "held-out", [replace(parts.case("a", right), provenance=drawn)]),
        make_suite("regressions", "regressions", [parts.case("b", right)]),
    ]
    plan = make_plan(
        model="desk",
        suites=suites,
        metrics=metrics_for(task),
        conditions={"regressions.accuracy": ">= 0.5"},
        sampling=Sampling(),
    )
    answered = {"a": right, "b": right}
    results = [measure(parts.answers(suite, answered, "c"), plan.metrics) for suite in suites]
    outcome = gates.apply_gates(
        plan.gate_lock,
        figures={result.suite.name: result.figures for result in results},
        sizes=plan.sizes(),
    )
    assert outcome.verdict == "passed", "one case is enough for a gate on regressions"
    told = Report(
        make_report(
            evaluation="e",
            created_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
            plan=plan,
            outcome=outcome,
            results={"candidate": results},
        )
    )
    for text in (as_text(told, 80), unescape(told.as_html())):
        words = " ".join(text.split())
        for fact in ("live traffic", "each case counts once", "failed them by construction"):
            assert fact in words


def test_cases_that_the_reference_was_trained_on_are_told(task: TaskSettings, parts) -> None:
    report = make(task, parts, minimum_cases=20, known=("02", "05"))
    compared = report.as_json()["comparisons"][0]
    assert compared["left_out"] == 2
    assert compared["lost"] == 2 and compared["metrics"][0]["difference"]["n"] == 38
    assert report.figures["accuracy"]["n"] == 40, "the candidate was not trained on them"
    for text in (as_text(report), unescape(report.as_html())):
        assert "2 of 60 cases do not count: production was trained on them" in text


def test_the_terminal_shows_outputs_as_they_are_and_no_control_characters(report: Report) -> None:
    text = as_text(report)
    assert "[bold]" in text and "\x1b" not in text
    assert max(map(len, as_text(report, width=80).splitlines())) <= 80


def test_a_report_of_another_format_is_refused() -> None:
    with pytest.raises(EvaluationError, match="report of format 1, got 9"):
        Report({"format": 9})


def test_fields_are_one_table_instead_of_a_list_of_metrics(report: Report) -> None:
    intent = report.as_json()["suites"][0]["fields"]["candidate"]["intent"]
    # Two of 40 gave no JSON, one another intent.
    counts = {name: intent[name] for name in ("expected", "given", "missing", "wrong", "invented")}
    assert counts == {"expected": 40, "given": 38, "missing": 2, "wrong": 1, "invented": 0}
    assert intent["precision"]["n"] == 38 and intent["recall"]["n"] == 40
    assert set(report.as_json()["suites"][0]["fields"]) == {"candidate", "production"}
    narrow = next(line for line in as_text(report, width=80).splitlines() if "intent " in line)
    assert narrow.split() == ["intent", "0.974", "0.925", "0.949", "40", "2", "1", "0"]
    wide = next(line for line in as_text(report, width=140).splitlines() if "intent " in line)
    assert "0.974 (0.865–0.995)" in wide and wide.split()[-4:] == ["40", "2", "1", "0"]
    assert "json_field." not in as_text(report)
    assert "json_field." not in report.as_html().partition("Against production")[0]


def test_a_report_of_earlier_days_shows_its_fields_as_it_did(report: Report) -> None:
    data = json.loads(json.dumps(report.as_json()))
    for suite in data["suites"]:
        del suite["fields"]
    for comparison in data["comparisons"]:
        for one in comparison["metrics"]:
            del one["decides"]
    old = Report(data)
    assert "json_field.intent" in as_text(old) and "json_field.intent" in old.as_html()


def test_fields_in_a_comparison_decide_nothing(task: TaskSettings, parts) -> None:
    cases = [parts.case(str(i), parts.answer_text("refund", urgent=i % 2 == 0)) for i in range(200)]
    suite, metrics = parts.suite(cases), metrics_for(task)
    right = {case.id: case.expected or "" for case in cases}
    # Production is wrong in the intent of 40, the candidate in the urgency of 20 others.
    theirs = right | {str(i): parts.answer_text("delivery", urgent=i % 2 == 0) for i in range(40)}
    mine = right | {str(i): parts.answer_text("refund", urgent=i % 2 == 1) for i in range(100, 120)}
    found = compare(
        measure(parts.answers(suite, mine, "a"), metrics),
        measure(parts.answers(suite, theirs, "b"), metrics),
        label="production",
        metrics=metrics,
        margin=0.02,
        rule=rule_of("balanced", margin=0.02),
    )
    by_name = {one.metric: one for one in found.metrics}
    assert by_name["json_field.urgent.recall"].verdict == "worse"
    assert by_name["json_field.intent"].verdict == "better"
    assert found.verdict == "better"
    assert "json_field.urgent.f1" not in by_name


def test_what_an_answer_of_prose_adds_is_marked_where_it_is_read(parts) -> None:
    prose = TaskSettings(kind="prose")
    suite = parts.suite([parts.case(f"{i}", "It is 20.", question="twenty") for i in range(3)])
    metrics = metrics_for(prose)
    plan = make_plan(
        model="desk",
        suites=[suite],
        metrics=metrics,
        conditions={"ungrounded": "<= 0.05"},
        sampling=Sampling(),
        minimum_cases=1,
    )
    given = {"0": "It is 20.", "1": "It is 20 or <b>30</b>.", "2": "It is 20."}
    mine = measure(parts.answers(suite, given, "candidate-1"), metrics)
    outcome = gates.apply_gates(
        plan.gate_lock, figures={suite.name: mine.figures}, sizes=plan.sizes()
    )
    report = Report(
        make_report(
            evaluation="20260302-aaaa",
            created_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
            plan=plan,
            outcome=outcome,
            results={"candidate": [mine]},
        )
    )
    (worst,) = [case for case in report.as_json()["suites"][0]["worst"] if case["id"] == "1"]
    assert worst["output"] == "It is 20 or <b>30</b>."
    assert worst["marked"] == "It is 20 or <b>⟦30⟧</b>."
    assert "ungrounded: neither in the prompt nor in the reference: '30' (number)" in worst["why"]
    assert "⟦30⟧" in as_text(report)
    assert "It is 20 or <b>⟦30⟧</b>." in unescape(report.as_html())
