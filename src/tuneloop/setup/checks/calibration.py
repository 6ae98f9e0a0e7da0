"""Calibration: may a verdict stand on what the judge says?"""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.evaluation.judging.metric import NAME, is_judged
from tuneloop.evaluation.planned_metrics import metric_in, suite_names
from tuneloop.evaluation.scorers import accuracy
from tuneloop.setup import judged
from tuneloop.setup.finding import Finding, error, ok
from tuneloop.setup.look import Look
from tuneloop.task.kind import is_prose


def calibration(look: Look) -> Iterator[Finding]:
    """Each gate on a judge's word has the labels of people that it takes."""
    if look.model.judge is None:  # which is said by others
        return
    settings, prose = look.model.evaluation, is_prose(look.model.task)
    for key in settings.gates_in_force:
        metric = metric_in(key, suite_names(settings))
        if metric == accuracy.NAME and prose:
            metric = NAME
        if not is_judged(metric):
            continue
        known = judged.newest(look.project, metric)
        if known is None or known.objection:
            yield error(
                "calibration",
                f"The gate {key} is refused: {judged.objection(look.project, metric)}.",
                "Until then let it stand on what needs no judge.",
            )
        else:
            yield ok("calibration", f"The gate {key} stands on a judge that is {known.summary}.")
