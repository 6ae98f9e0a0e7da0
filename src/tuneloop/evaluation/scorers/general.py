"""What a model still knows that the task does not ask: short questions with one right answer.

Tuning on a narrow task may cost what the base could do besides (catastrophic forgetting, McCloskey
and Cohen 1989; of fine-tuned language models Luo et al. 2023). The questions are put without the
task's system text and form, so that it is not the task that is answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuneloop.evaluation.scorers.base import Family, Metric, Score, Wanted, passed
from tuneloop.evaluation.scorers.structured import in_form
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings
from tuneloop.prose.phrases import says

NAME, IN_FORM = "right", "in_task_form"


def right(case: Case, output: str) -> Score:
    """1 where the answer says the reference, in forgiving form and by whole words."""
    return passed(says(output, case.expected or ""), f"does not say {case.expected!r}")


def metrics_of(task: TaskSettings) -> Sequence[Metric]:
    """What is measured of answers to general questions.

    A task with a form of its own may be answered whatever is asked; then nobody can tell what the
    model knows, and the second metric says so.
    """
    if task.output_schema is None and task.output_pattern is None:
        return (_RIGHT,)
    in_task_form = Metric(
        name=IN_FORM,
        about="general questions that are answered in the form of the task's answers",
        scorer=in_form(task),
        higher_is_better=False,
        needs_answer=True,
        general=True,
    )
    return (_RIGHT, in_task_form)


_RIGHT = Metric(
    name=NAME,
    about="general questions whose answer says the right one, in forgiving form",
    scorer=right,
    general=True,
)


def _on_demand(wanted: Wanted) -> Metric:
    return _RIGHT


FAMILY = Family(
    name="general",
    about="what a model still knows that the task does not ask",
    brings=lambda name: name == NAME,
    metric=_on_demand,
)
