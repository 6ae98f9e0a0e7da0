"""What decides a verdict has an identity, and stored evaluations are found again by it.

The digests were written down before the scorers became a table; they may not change.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.plan import EvaluationPlan, make_plan, metrics_of
from tuneloop.evaluation.suites import Case, make_suite
from tuneloop.evaluation.targets import Sampling
from tuneloop.modelfile import EvaluationSettings, TaskSettings

SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": ["billing", "none"]}, "people": {"type": "integer"}},
    "required": ["intent"],
}
TASKS: dict[str, dict[str, Any]] = {
    "text": {"system": "Be kind."},
    "pattern": {"output_pattern": "[a-z]+"},
    "json": {"output_schema": SCHEMA},
    "json that abstains": {
        "output_schema": SCHEMA,
        "abstain": {"field": "intent", "value": "none"},
        "same_values": {"people": {"equal": [["4", 4]], "ignore_case": True}},
    },
}
GATES = {"accuracy": ">= 0.9", "format": ">= 0.95", "error_share": "<= 0.01"}
ON_DEMAND = {**GATES, "exact": ">= 0.1", "normalised_match": ">= 0.1", "token_f1": ">= 0.1"}

ALWAYS = {
    "text": ["accuracy", "format", "exact", "token_f1"],
    "json": [
        "accuracy",
        "format",
        *("json_field.intent", "json_field.intent.precision"),
        *("json_field.intent.recall", "json_field.intent.f1"),
        *("json_field.people", "json_field.people.precision"),
        *("json_field.people.recall", "json_field.people.f1"),
    ],
}
ABSTENTION = ["abstention_recall", "over_abstention", "abstention_precision", "correct"]


def planned(task: str, gates: dict[str, str], *, scorers: tuple[str, ...] = ()) -> EvaluationPlan:
    """A plan on one case, with the metrics that its gates bring along."""
    settings = TaskSettings.model_validate(TASKS[task])
    case = Case(id="1", messages=({"role": "user", "content": "Hello"},), expected='{"intent":"x"}')
    metrics = metrics_of(
        settings,
        EvaluationSettings.model_validate({"gates": gates}),
        ["held-out"],
        scorers=scorers,
        judge=judging.uncalled,
    )
    return make_plan(
        model="desk",
        suites=[make_suite("held-out", "held-out", [case])],
        metrics=metrics,
        conditions=gates,
        sampling=Sampling(),
        system=settings.system,
    )


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("text", ALWAYS["text"]),
        ("pattern", ALWAYS["text"]),
        ("json", ALWAYS["json"]),
        ("json that abstains", [*ALWAYS["json"], *ABSTENTION]),
    ],
)
def test_a_task_has_the_metrics_that_it_always_had_in_their_order(
    task: str, names: list[str]
) -> None:
    assert [metric.name for metric in planned(task, GATES).metrics] == names


@pytest.mark.parametrize(
    ("task", "gates", "digest"),
    [
        ("text", GATES, "c318fae28667bbc4d4d49639f733e4d457a34e40d40cfee18b73996dd4e166a8"),
        ("pattern", GATES, "4e01ca67019130b265c286b7a699047a35b11722f078bf649394552e88c6bfbc"),
        ("json", GATES, "a542d606df3d522f68b210810088e787e368e3d2ce9f951ac812c6a8a7299bd0"),
        (
            "json that abstains",
            GATES,
            "9b9823aaa94438ccd5076be1d9c1a2ccfdb5ddbea0e7916839f3e5a7786a3b68",
        ),
        ("text", ON_DEMAND, "9ddc4581f3c5e41a6f0c13049dd0f822756c60e12079e5a7be47381d5b643f04"),
        (
            "json",
            {**ON_DEMAND, "judge": ">= 0.8"},
            "c7c779c5895d4e47fd84c387fb69d7043c3db593dd4046c74863730e819b3fd6",
        ),
    ],
)
def test_the_gate_lock_is_the_one_of_earlier_releases(
    task: str, gates: dict[str, str], digest: str
) -> None:
    assert planned(task, gates).gate_lock.digest == digest


def test_a_teams_own_function_is_locked_by_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "our_checks.py").write_text(
        "def kind(case, output):\n    return 'please' in output\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        plan = planned("text", {"our_checks:kind": ">= 0.5"}, scorers=("our_checks:kind",))
    finally:
        sys.modules.pop("our_checks", None)
    own = plan.metrics[-1]
    assert (own.name, own.about) == ("our_checks:kind", "the team's own function our_checks:kind")
    assert own.source_digest == "fdf37948a316d5b37d0bf8af10cc594aaa353158864e432543a3d57c51db3a2a"
    assert (
        plan.gate_lock.digest == "d13e29812d6f247b5282ba17253f7d508b7c5aeb5f415b968ed5bf7d09d5e890"
    )
