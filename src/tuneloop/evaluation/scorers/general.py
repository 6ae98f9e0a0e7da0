"""What a model still knows that the task does not ask: short questions with one right answer.

Tuning on a narrow task may cost what the base could do besides (catastrophic forgetting, McCloskey
and Cohen 1989; of fine-tuned language models Luo et al. 2023). The questions are put without the
task's system text and form, so that it is not the task that is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuneloop.evaluation.scorers.base import Family, Metric, Score, Scorer, Wanted, passed
from tuneloop.evaluation.scorers.structured import in_form
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings
from tuneloop.prose.phrases import says

NAME, IN_FORM = "right", "in_task_form"


def right(case: Case, output: str) -> Score:
    """1 where the answer says the reference, in forgiving form and by whole words."""
    return passed(says(output, case.expected or ""), f"does not say {case.expected!r}")


def in_task_form(task: TaskSettings) -> Scorer:
    """1 where an answer is what the task's answers are, if only in part: a model that was tuned to
    write JSON and is not kept to it writes broken JSON, too."""
    fits, wants_json = in_form(task), task.output_schema is not None
    values = frozenset(_values(task.output_schema or {}))

    def score(case: Case, output: str) -> Score:
        text = output.strip()
        fit = fits(case, output)
        formed = (wants_json and text[:1] in ("{", "[")) or text.strip(" .\"'").lower() in values
        return Score(value=float(formed or (fit is not None and fit.value == 1)))

    return score


def _values(schema: Mapping[str, Any]) -> Iterator[str]:
    """The texts that a schema lets a field have."""
    fields = schema.get("properties")
    for field in fields.values() if isinstance(fields, Mapping) else ():
        if isinstance(field, Mapping):
            named = [*(field.get("enum") or ()), field.get("const")]
            yield from (value.lower() for value in named if isinstance(value, str))


def metrics_of(task: TaskSettings) -> Sequence[Metric]:
    """What is measured of answers to general questions.

    A task with a form of its own may be answered whatever is asked; then nobody can tell what the
    model knows, and the second metric says so.
    """
    if task.output_schema is None and task.output_pattern is None:
        return (_RIGHT,)
    of_task = Metric(
        name=IN_FORM,
        about="general questions that are answered as the task's are: in its form, in JSON where "
        "that is its form, or by one of its values",
        scorer=in_task_form(task),
        higher_is_better=False,
        needs_answer=True,
        general=True,
    )
    return (_RIGHT, of_task)


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
