"""What decides a verdict has an identity, and stored evaluations are found again by it.

The digests were written down before the scorers became a table; they may not change. Those of free
text, and of `exact`, `normalised_match` and `token_f1`, changed once, with what these metrics mean
(docs/decisions/0022-sameness.md): a changed definition is another gate. All changed once when the
decision got a declared error rate (0040-decision.md): the same bar asks for more than it did.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.plan import EvaluationPlan, make_plan
from tuneloop.evaluation.planned_metrics import metrics_of
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
        ("text", GATES, "5424123374ee620ccf03fe8a6cf9e0836a2747ee219a44871ed7f6f512c8f6cf"),
        ("pattern", GATES, "a55bbf0cf2a94f4476ee2209c5c8f56477fc52cf759e75c8fffdf69818c564ee"),
        ("json", GATES, "720ff155b4cf00a22ce60ca2cad93adf3e4e005d0bec3ba9c6998d058164d347"),
        (
            "json that abstains",
            GATES,
            "6f85e216ff1538876edddc338e6c20bb51627eb34c9ab069521db2a75b148993",
        ),
        ("text", ON_DEMAND, "2c8c1b88b49ba4d977170732dc47b277448530114f15a85dd2464cd2e2bd9a6f"),
        (
            "json",
            {**ON_DEMAND, "judge": ">= 0.8"},
            "78c7ae8c6e0c4cecac36e3761eb0f772268c94e3e224bd682dcebbbf82078935",
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
        plan.gate_lock.digest == "5764d531cf7ffb126690bca65c40ec8e0f053832a655895e492237f2a37361fc"
    )
