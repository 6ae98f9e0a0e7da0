"""What decides a verdict has an identity, and stored evaluations are found again by it.

The digests were written down before the scorers became a table; they may not change. Those of free
text, and of `exact`, `normalised_match` and `token_f1`, changed once, with what these metrics mean
(docs/decisions/0022-sameness.md): a changed definition is another gate.
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
        ("text", GATES, "2940279041d56319b29573518a676d17677223a96e6d79759c9aac22097675e3"),
        ("pattern", GATES, "c926536b59870a75e16d7e6ebc74f2c8af94a2a7b67d9c3b090630cbbf709909"),
        ("json", GATES, "a542d606df3d522f68b210810088e787e368e3d2ce9f951ac812c6a8a7299bd0"),
        (
            "json that abstains",
            GATES,
            "9b9823aaa94438ccd5076be1d9c1a2ccfdb5ddbea0e7916839f3e5a7786a3b68",
        ),
        ("text", ON_DEMAND, "7aaf00a0aa7fda43f0eb23146decf89cdf63c0610169c3bd09279ea931ae0094"),
        (
            "json",
            {**ON_DEMAND, "judge": ">= 0.8"},
            "1c09eca23bea66d426453ab0a84c8b4409cb819f09bf25e4c46f9faad870c842",
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
        plan.gate_lock.digest == "7d422d016c6753f65e5aef817a54504f8a6f7c34b9cacca86e53bbda1a1a2c67"
    )
