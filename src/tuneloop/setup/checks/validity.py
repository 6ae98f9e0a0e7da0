"""Measures of likeness: can each tell a row's own answer from other rows', or only seem to?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tuneloop.evaluation.gates import condition_of
from tuneloop.evaluation.planned_metrics import metric_in, suite_names
from tuneloop.evaluation.scorers.prose import LIKENESS
from tuneloop.evaluation.validity import VALID_FROM, Validity, measures_by, of_rows
from tuneloop.setup.finding import Finding, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task.kind import is_prose


def measures(look: Look) -> Iterator[Finding]:
    """Each measure's AUC over the rows; a gate on one that stays below what is asked is refused."""
    if not is_prose(look.model.task):
        return
    found = of_rows(
        [(row.question, row.completion) for row in look.rows.examples if not row.calls_tools],
        measures_by(look.model.monitors.embedder),
    )
    useful = {name: of for name, of in found.items() if of.valid}
    useless = {name: of for name, of in found.items() if not of.valid}
    if useful:
        yield ok(
            "measures",
            f"{_told(useful)}: the chance that a row's own answer is more like its question than "
            f"another row's (AUC; at least {VALID_FROM:g} for sure).",
        )
    if not useless:
        return
    said = f"{_told(useless)}: does not surely tell a row's own answer from another's (AUC)."
    if gates := _gates_on(useless, look):
        # The rows that are drawn for the verdict are others: near the limit nothing is certain.
        certain = any(_is_below(useless[metric]) for metric in gates.values())
        yield (error if certain else warning)(
            "measures",
            f"{said} No verdict stands on it: the gate {' and '.join(gates)} "
            f"{'is' if certain else 'may be'} refused.",
            f"Stand it on {' or '.join(useful)} instead."
            if useful
            else "Stand it on what people or a judge say: evaluation.gates with judge.",
        )
    else:
        yield ok("measures", f"{said} No gate stands on it.")


def bounds(look: Look) -> Iterator[Finding]:
    """No bound of likeness can be named beforehand: right answers have many wordings."""
    if not is_prose(look.model.task):
        return
    conditions = look.model.evaluation.gates_in_force
    for key, metric in _gates_on(LIKENESS, look).items():
        gate = condition_of(key, conditions[key])
        if not gate.is_relative:
            yield warning(
                "gate",
                f"The gate {key} asks for {gate.condition}, and nobody knows beforehand how like "
                f"its references a right answer is by {metric}.",
                f"Compare instead, evaluation.gates: {{{key}: better than base}}, or keep the "
                "bound where earlier evaluations of this model gave it.",
            )


def _told(found: Mapping[str, Validity]) -> str:
    return ", ".join(
        f"{name} {of.auc.value:.2f} ({of.auc.low:.2f}–{of.auc.high:.2f})"
        if of.auc is not None
        else f"{name} without a figure, as {of.reason}"
        for name, of in found.items()
    )


def _is_below(measure: Validity) -> bool:
    return measure.auc is not None and measure.auc.high < VALID_FROM


def _gates_on(measures: Mapping[str, object], look: Look) -> Mapping[str, str]:
    """The declared gates on them, as the model file names them → the measure."""
    evaluation = look.model.evaluation
    suites = suite_names(evaluation)
    named = {
        key: metric_in(key, suites) for key in evaluation.without_added(measures).gates_in_force
    }
    return {key: metric for key, metric in named.items() if metric in measures}
