"""The metrics of a task: what each is called, which cases it counts, and its exact definition.

| metric | counts | 1 means |
|---|---|---|
| `accuracy` | in-scope cases | JSON task: each field right, no other field; else normalised match |
| `format` | all cases | schema and pattern hold; a task with neither: the answer is not empty |
| `json_field.NAME` | in-scope cases whose reference or answer has the field | both agree in it |
| `json_field.NAME.precision` | those whose answer has it | both agree in it |
| `json_field.NAME.recall` | those whose reference has it | both agree in it |
| `json_field.NAME.f1` | those of `json_field.NAME` | no mean: see `intervals.f1` |
| `abstention_recall` | out-of-scope cases | the model abstained |
| `over_abstention` | in-scope cases | the model abstained (lower is better) |
| `abstention_precision` | cases where it abstained | the case was out of scope |
| `correct` | all cases | in scope: accurate; out of scope: abstained |
| `balanced_accuracy`, `macro_f1` | cases with a label | every class is right, see `classes` |
| `exact`, `token_f1`, `normalised_match` | in-scope cases | see `scorers.text` |
| `chrf`, `rouge_l`, `bleu`, `similarity` | in-scope cases | the reference, see `prose.likeness` |
| `answered` | in-scope cases | not empty, and no refusal but where the reference refuses |
| `no_loops` | all cases | the answer does not turn in circles, see `prose.repetition` |
| `in_language` | all cases | in the language of the reference, else of the question |
| `length_fit` | in-scope cases | a third to three times the reference's words, see `prose.length` |
| `length_ratio` | in-scope cases | as long as the reference; a median of ratios from 0 up |
| `distinct_2` | cases with two words | no pair of words stands twice |
| `copied` | cases with five words | all of it stands in the prompt (lower is better) |
| `ungrounded` | facts in in-scope answers of prose | none in prompt or reference (less is better) |
| `outside_prompt` | the same | none stands in the prompt (lower is better) |
| `sentence_ratio` | in-scope cases | sentences as long as the reference's; a median |
| `same_register` | those where both show it | formal or familiar as the reference is |
| `phrases` | cases of prose that declare phrases | all that must be said is, and nothing else |
| `refused_harmful` | cases tagged `harmful: yes` | the answer refuses: `scorers.safety` |
| `answered_harmless` | cases tagged `harmful: no` | it answers, and does not refuse |
| `over_refusal` | cases tagged `harmful: no` | the answer refuses (lower is better) |
| `right` | questions of suites of kind general | the answer says the reference |
| `in_task_form` | the same | it has the task's form (lower is better) |
| `judge` | all cases | a language model scores it `judge.passes_from` or more, see `judging` |
| `judge.RUBRIC` | all cases | the same by a rubric file of the team's own (`judge.rubrics`) |
| `unsupported_claims` | claims in in-scope answers | the judge finds no support (lower is better) |
| `module:function` | what the function counts | a user's own |
| `FAMILY`, `FAMILY.something` | what the package says | of an installed package |

Prose (`task.kind`) has those from `chrf` to `same_register`. It has no `accuracy`, `correct`,
`exact` or `token_f1`, for no match with a reference tells whether it is right, and `format` only
where it declares a pattern. Other tasks have those of prose on demand.

A request that got no answer counts as 0 in every metric that counts its case (for
`over_abstention` that reads "did not abstain"), and in `error_share`; of a JSON answer it is one
without any field; `length_ratio` and what stands below it leave it out. `latency_p50_ms` and
`latency_p95_ms` count answered requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from tuneloop.evaluation.scorers import table
from tuneloop.evaluation.scorers.accuracy import accuracy, form
from tuneloop.evaluation.scorers.base import Metric, Wanted
from tuneloop.evaluation.suites import GENERAL, Case, Suite
from tuneloop.modelfile import TaskSettings

__all__ = ["RUN_METRICS", "Metric", "metrics_for", "unfit_references"]

RUN_METRICS: Mapping[str, str] = {
    "error_share": "share of requests that got no answer, over all cases",
    "truncated_share": "share of answers that ended at the token limit, over answered requests",
    "latency_p50_ms": "median time to the whole answer, over answered requests",
    "latency_p95_ms": "95th percentile of the time to the whole answer, over answered requests",
}
"""Metrics of the run itself, which no scorer computes; lower is better for each."""
QUANTILES: Mapping[str, float] = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95}
"""Those of them that are quantiles of the answers' times."""
SHARES_OF_RUN = ("error_share", "truncated_share")
"""Those of them that are shares of the cases."""


def metrics_for(
    task: TaskSettings,
    *,
    extra: Iterable[str] = (),
    judge: Callable[[], Metric] | None = None,
) -> tuple[Metric, ...]:
    """The metrics of a task; `extra` names further ones, see `scorers.table`.

    `judge` makes the metric of that name.

    Raises:
        EvaluationError: for a function that cannot be used, a scorer that there is not, or a judge
            that is not there.
        ExtensionError: a package that adds scorers cannot be used.
        ModelFileError: for a schema that cannot be used.
    """
    always = table.of_task(task)
    known = {metric.name for metric in always}
    further = (Wanted(name=name, task=task, judge=judge) for name in extra if name not in known)
    return (*always, *map(table.on_demand, further))


def unfit_references(suite: Suite, task: TaskSettings) -> Sequence[Case]:
    """Cases whose own reference answer breaks the task's declared form.

    Raises:
        EvaluationError: a reference of a JSON task is not a JSON object at all.
        ModelFileError: the task's schema cannot be used.
    """
    if suite.kind == GENERAL:  # whose answers are not the task's
        return []
    right, fits = accuracy(task), form(task)
    unfit = []
    for case in suite.cases:
        if case.expected is None:
            continue
        right.scorer(case, case.expected)
        score = fits.score(case, case.expected)
        if score is not None and score.value < 1:
            unfit.append(case)
    return unfit
