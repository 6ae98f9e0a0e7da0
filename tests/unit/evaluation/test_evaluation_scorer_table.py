"""Scorers that a package adds: asked for by name, locked by its version, never measured unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from installed_package import install
from tuneloop.errors import EvaluationError, ExtensionError
from tuneloop.evaluation import names
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.plan import EvaluationPlan, make_plan
from tuneloop.evaluation.planned_metrics import metrics_of
from tuneloop.evaluation.suites import Case, make_suite
from tuneloop.evaluation.targets import Sampling
from tuneloop.modelfile import EvaluationSettings, TaskSettings
from tuneloop.table import SCORER_GROUP

MODULE = """
from tuneloop.evaluation.scorers.base import Family, Metric

def brief(case, output):
    return len(output) <= len(case.expected)

def rude(case, output):
    return 1 / 0

def metric(wanted):
    return Metric(
        name=wanted.name,
        about="answers that are no longer than the reference",
        scorer=rude if wanted.name == "length.rude" else brief,
        counts="in-scope",
    )

FAMILY = Family(name="length", about="how long answers are", metric=metric)
"""
CASE = Case(id="7", messages=({"role": "user", "content": "Hello"},), expected="Hello.")


def add_length(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    version: str = "1.2",
    module: str = MODULE,
) -> None:
    adds = {SCORER_GROUP: {"length": "acme:FAMILY"}}
    folder.mkdir(exist_ok=True)
    install(folder, monkeypatch, version=version, module=module, adds=adds)


def planned(gates: dict[str, str]) -> EvaluationPlan:
    settings = EvaluationSettings.model_validate({"gates": gates})
    return make_plan(
        model="desk",
        suites=[make_suite("held-out", "held-out", [CASE])],
        metrics=metrics_of(TaskSettings(), settings, ["held-out"]),
        conditions=gates,
        sampling=Sampling(),
    )


def test_a_gate_brings_a_packages_scorer_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_length(tmp_path, monkeypatch)
    plan = planned({"length": ">= 0.5", "held-out.length.brief": ">= 0.5"})
    assert [metric.name for metric in plan.metrics][-2:] == ["length", "length.brief"]
    scores = [plan.metrics[-1].score(CASE, output) for output in ("Hello.", "Hello there.")]
    assert [score.value for score in scores if score] == [1.0, 0.0]


def test_what_is_installed_changes_no_evaluation_that_does_not_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned({"accuracy": ">= 0.5"}).gate_lock.digest
    add_length(tmp_path, monkeypatch)
    assert planned({"accuracy": ">= 0.5"}).gate_lock.digest == before


def test_another_version_of_the_package_is_another_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for version in ("1.2", "1.3"):
        with monkeypatch.context() as patched:
            add_length(tmp_path / version, patched, version=version)
            digests.append(planned({"length": ">= 0.5"}).gate_lock.digest)
    assert digests[0] != digests[1]


def test_its_faults_are_told_by_the_metric_and_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_length(tmp_path, monkeypatch)
    rude = planned({"length.rude": ">= 0.5"}).metrics[-1]
    with pytest.raises(EvaluationError, match=r"length\.rude of acme 1\.2 failed on case 7: Zero"):
        rude.score(CASE, "Hello.")


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        ("import nowhere_at_all", "cannot be loaded: ModuleNotFoundError"),
        (MODULE.replace("name=wanted.name", "name='other'"), "expected a Metric named 'length'"),
        (MODULE.replace("def metric(wanted):", "def metric(wanted):\n    1 / 0"), "cannot make"),
        (MODULE.replace(", metric=metric)", ")"), "has no metric 'length'"),
    ],
)
def test_a_broken_package_is_named_where_the_model_file_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, problem: str
) -> None:
    add_length(tmp_path, monkeypatch, module=module)
    settings = EvaluationSettings.model_validate({"gates": {"length": ">= 0.5"}})
    found = names.problems(TaskSettings(), settings, folder=tmp_path, columns=None, judge=None)
    assert [told.at for told in found] == [("evaluation", "gates", "length")]
    assert "acme 1.2" in found[0].message and problem in found[0].message
    with pytest.raises(ExtensionError):
        planned({"length": ">= 0.5"})


def test_a_scorer_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(EvaluationError) as caught:
        metrics_for(TaskSettings(), extra=["tokn_f1"])
    assert "token_f1" in caught.value.remedy and "module:function" in caught.value.remedy
