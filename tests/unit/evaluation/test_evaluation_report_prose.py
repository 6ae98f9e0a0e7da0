"""Two models' prose in a report: effect, interval, won, tied and lost, and the cases themselves."""

import copy
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from tuneloop.evaluation import gates
from tuneloop.evaluation.comparison import compare
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.plan import make_plan
from tuneloop.evaluation.readable_report import Report
from tuneloop.evaluation.report import make_report
from tuneloop.evaluation.report_prose import cut
from tuneloop.evaluation.results import measure
from tuneloop.evaluation.runner import SuiteAnswers
from tuneloop.evaluation.suites import Case, make_suite
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import TaskSettings

NOTE = "The patient takes 20 mg of lisinopril once a day and reports no cough, case {i}."
BETTER = "The patient takes 20 mg of lisinopril daily and reports no cough, case {i}."
POORER = "She is fine and was told to take 40 mg of something [b]every[/b] day, case {i}."


@pytest.fixture(scope="module")
def report() -> Report:
    task = TaskSettings(system="Write the note.", kind="prose")
    metrics = metrics_for(task)
    question = "Doctor: hello. Patient: I take 20 mg of lisinopril once a day, no cough. " * 6
    cases = [
        Case(
            id=f"{i:02}",
            messages=({"role": "user", "content": f"{question} case {i}"},),
            expected=NOTE.format(i=i),
            group=f"talk {i // 2}",
        )
        for i in range(30)
    ]
    suite = make_suite("held-out", "held-out", cases)
    plan = make_plan(
        model="notes",
        suites=[suite],
        metrics=metrics,
        conditions={"chrf": "better than base"},
        sampling=Sampling(),
        minimum_cases=20,
        prose=True,
    )

    def answered(texts: list[str], target: str):
        given = {c.id: Answer(text=t.format(i=c.id)) for c, t in zip(cases, texts, strict=True)}
        return measure(SuiteAnswers(suite=suite, target=target, answers=given), metrics)

    mine = answered([BETTER] * 26 + [POORER] * 4, "tuned")
    base = answered([POORER] * 24 + [BETTER] * 6, "base")
    compared = compare(
        mine,
        base,
        label="base",
        metrics=metrics,
        margin=plan.margin,
        rule=plan.rule,
        main_metrics=plan.main_metrics,
        guards=plan.guards,
    )
    outcome = gates.apply_gates(
        plan.gate_lock,
        figures={suite.name: mine.figures},
        sizes=plan.sizes(),
        comparisons=[compared],
    )
    return Report(
        make_report(
            evaluation="20260302-aaaa",
            created_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
            plan=plan,
            outcome=outcome,
            results={"candidate": [mine], "base": [base]},
            comparisons=[compared],
        )
    )


def in_columns(report: Report, width: int) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    for part in report.as_terminal():
        console.print(part)
    return console.file.getvalue()


def test_every_measure_of_both_is_one_line_of_one_table_in_80_columns(report: Report) -> None:
    lines = in_columns(report, 80).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Against base"))
    head, chrf = lines[start + 1], next(ln for ln in lines[start:] if ln.startswith("chrf"))
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(head.split()) == "metric candidate base difference, 95 % won tied lost"
    main = report.as_json()["comparisons"][0]["metrics"][0]
    assert main["metric"] == "chrf" and chrf.split()[-3:] == ["24", "2", "4"]
    assert f"{main['candidate']:.3f}" in chrf and f"{main['difference']['low']:+.3f}" in chrf
    assert [main["won"], main["tied"], main["lost"], main["clusters"]] == [24, 2, 4, 15]


def test_each_figure_stands_with_its_own_number_of_cases(report: Report) -> None:
    data = copy.deepcopy(report.as_json())
    data["suites"][0]["figures"]["base"]["chrf"]["n"] = 20
    data["quantisations"] = [
        {
            "name": "q8_0",
            "size_bytes": 1_000_000,
            "tokens_per_second": None,
            "figures": {"chrf": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 16}},
        }
    ]
    lines = in_columns(Report(data), 80).splitlines()
    assert next(ln for ln in lines if ln.startswith("chrf")).split()[-1] == "30/20"
    assert next(ln for ln in lines if ln.startswith("answered")).split()[-1] == "30"
    assert next(ln for ln in lines if ln.startswith("q8_0")).split()[-1] == "16"


def test_what_the_rows_come_to_is_said_in_words(report: Report) -> None:
    shown = " ".join(in_columns(report, 80).split())
    assert "better: chrf" in shown and "n = 30 cases in 15 groups" in shown
    assert "chrf decides; being worse in answered" in shown


def test_the_cases_that_differ_most_stand_side_by_side(report: Report) -> None:
    shown = " ".join(in_columns(report, 80).split())
    lost, won = shown.index("Base is ahead by chrf in 4"), shown.index("The candidate is ahead")
    assert lost < won
    for told in (
        "expected The patient takes 20 mg",
        "told to take 40 mg of something [b]every[/b]",
    ):
        assert told in shown[lost:won]


def test_the_page_has_the_same_and_escapes_it(report: Report) -> None:
    page = report.as_html()
    assert "<th>tied</th>" in page and "4 cases that base does better by chrf" in page
    assert "15 groups of cases" in page and "McNemar" not in page


LONG = (
    "We are glad that you ask, since many people want to know before they come here, and our desk "
    "gives the same answer to each of them: you take the bike, you ride wherever you like, you "
    "bring it back in the evening with its lock and its lamp, and then you pay what stands on the "
    "little board beside the door, which all of them found fair for such a fine day out."
)
PRICE = "Dear {name}, a city bike for three days costs {price} €. You pay at the desk."


def test_a_price_that_the_reference_has_otherwise_is_among_the_first_to_be_seen() -> None:
    """However like the reference the answer is, and though most of its facts are right."""
    metrics = metrics_for(TaskSettings(system="", kind="prose"))
    names = ("Ana", "Marko", "Leyla", "Omar", "Kim", "Tom", "Wren", "Ines")
    asked = dict.fromkeys(names, "What does it cost for three days?")
    asked["Kim"] = "Does it really cost 39 € for three days?"
    cases = [
        Case(
            id=name,
            messages=({"role": "user", "content": f"{question} Regards, {name}"},),
            expected=PRICE.format(name=name, price=29),
        )
        for name, question in asked.items()
    ]
    said = {case.id: case.expected or "" for case in cases}
    said |= {"Leyla": LONG, "Omar": PRICE.format(name="Omar", price=39)}
    said |= {
        "Kim": PRICE.format(name="Kim", price=39),
        "Tom": "Tom, three days are 29,00 € at all.",
    }
    suite = make_suite("held-out", "held-out", cases)
    plan = make_plan(
        model="replies",
        suites=[suite],
        metrics=metrics,
        conditions={"ungrounded": "<= 0.05"},
        sampling=Sampling(),
        minimum_cases=1,
        prose=True,
    )
    given = {case: Answer(text=text) for case, text in said.items()}
    mine = measure(SuiteAnswers(suite=suite, target="tuned", answers=given), metrics)
    assert mine.cases["Omar"].scores["ungrounded"].value == pytest.approx(1 / 3)
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
    worst = report.as_json()["suites"][0]["worst"]
    assert [case["id"] for case in worst] == ["Omar", "Leyla", "Kim"]
    facts = {case["id"]: case["facts"] for case in worst}
    assert facts["Omar"] == facts["Kim"] == {"lacking": ["29 €"], "added": ["39 €"]}
    assert "29 €" in facts["Leyla"]["lacking"] and not facts["Leyla"]["added"]
    lines = in_columns(report, 80).splitlines()
    shown = next(line for line in lines if line.startswith("  facts"))
    assert " ".join(shown.split()) == "facts - 29 €, + 39 €"
    assert "- 29 €, + 39 €" in report.as_html()


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("short", 20, "short"),
        ("two  lines\nof it", 20, "two lines of it"),
        ("these words do not fit in here", 20, "these words do not …"),
        ("答案很长没有空格所以在这里断开了", 12, "答案很长没有空格所以 …"),
    ],
)
def test_a_long_text_is_cut_between_words(text: str, size: int, shown: str) -> None:
    assert cut(text, size) == shown and len(cut(text, size)) <= size
