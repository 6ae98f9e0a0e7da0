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
| `exact`, `token_f1`, `normalised_match` | in-scope cases | see `scorers.text` |
| `judge` | all cases | a language model scores it `judge.passes_from` or more, see `judging` |
| `module:function` | what the function counts | a user's own |

A request that got no answer counts as 0 in every metric that counts its case (for
`over_abstention` that reads "did not abstain"), and in `error_share`; of a JSON answer it is one
without any field. `latency_p50_ms` and `latency_p95_ms` count answered requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from tuneloop import intervals
from tuneloop.evaluation import scorers
from tuneloop.evaluation.scorers import Score, Scorer
from tuneloop.evaluation.suites import Case, Suite
from tuneloop.hashing import canonical_json
from tuneloop.intervals import Figure
from tuneloop.modelfile import SameValues, TaskSettings
from tuneloop.progress import Progress

Counted = Literal["all", "in-scope", "out-of-scope"]

_TEXT_SCORERS: Mapping[str, Scorer] = {
    "exact": scorers.exact,
    "normalised_match": scorers.normalised_match,
    "token_f1": scorers.token_f1,
}
RUN_METRICS: Mapping[str, str] = {
    "error_share": "share of requests that got no answer, over all cases",
    "latency_p50_ms": "median time to the whole answer, over answered requests",
    "latency_p95_ms": "95th percentile of the time to the whole answer, over answered requests",
}
"""Metrics of the run itself, which no scorer computes; lower is better for each."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One named, defined way to judge answers."""

    name: str
    about: str
    """the definition in one line; part of the gate lock"""
    scorer: Scorer
    counts: Counted = "all"
    higher_is_better: bool = True
    needs_answer: bool = False
    """a request that got no answer is left out instead of counting as 0"""
    empty_without_answer: bool = False
    """a request that got no answer is scored as an empty one instead of counting as 0"""
    figure: Callable[[Sequence[Score]], Figure] | None = None
    """of the scores of all counted cases; None: their mean"""
    field: str = ""
    """the field of a JSON answer that it is about, if it is about one"""
    source_digest: str = ""
    """of a user's own function, or of what a judge is told"""
    prepare: Callable[[Sequence[tuple[Case, str]], Progress], None] | None = None
    """called with the answers of a suite before the first of them is scored"""
    remarks: Callable[[Figure], Sequence[str]] | None = None
    """what a reader must know about the metric's figure"""

    def score(self, case: Case, output: str | None) -> Score | None:
        """The score of one answer; None where the case is not counted.

        `output` None means that the request got no answer.
        """
        if self.counts != "all" and case.out_of_scope != (self.counts == "out-of-scope"):
            return None
        if output is not None or self.empty_without_answer:
            return self.scorer(case, output or "")
        return None if self.needs_answer else Score(value=0.0, detail="no answer")


def metrics_for(task: TaskSettings, *, extra: Iterable[str] = ()) -> tuple[Metric, ...]:
    """The metrics of a task; `extra` names text scorers or a user's `module:function`.

    Raises:
        EvaluationError: for a function that cannot be used.
        ModelFileError: for a schema that cannot be used.
    """
    found = [_accuracy(task), _format(task)]
    if task.output_schema is not None:
        found += _json_fields(task)
    else:
        found += [_text(name) for name in ("exact", "token_f1")]
    if task.abstain is not None:
        found += [*_abstention(task), _correct(task)]
    known = {metric.name for metric in found}
    found += [_extra(name) for name in extra if name not in known]
    return tuple(found)


def text_metric_names() -> tuple[str, ...]:
    """Names that `extra` of `metrics_for` knows, besides `module:function`."""
    return tuple(_TEXT_SCORERS)


def unfit_references(suite: Suite, task: TaskSettings) -> Sequence[Case]:
    """Cases whose own reference answer breaks the task's declared form.

    Raises:
        EvaluationError: a reference of a JSON task is not a JSON object at all.
        ModelFileError: the task's schema cannot be used.
    """
    accuracy, form = _accuracy(task), _format(task)
    unfit = []
    for case in suite.cases:
        if case.expected is None:
            continue
        accuracy.scorer(case, case.expected)
        score = form.score(case, case.expected)
        if score is not None and score.value < 1:
            unfit.append(case)
    return unfit


def _accuracy(task: TaskSettings) -> Metric:
    if task.output_schema is not None:
        return Metric(
            name="accuracy",
            about="in-scope cases whose answer has every reference field right and no other field"
            + _told(task.same_values),
            scorer=partial(scorers.json_all_fields, equal=scorers.by_rules(task.same_values)),
            counts="in-scope",
        )
    return Metric(
        name="accuracy",
        about="in-scope cases whose answer equals the reference, case and punctuation aside",
        scorer=scorers.normalised_match,
        counts="in-scope",
    )


def _format(task: TaskSettings) -> Metric:
    words = []
    if task.output_schema is not None:
        words.append("fits the JSON Schema")
    if task.output_pattern is not None:
        words.append("matches the pattern from end to end")
    about = " and ".join(words) or "is not empty (the task declares no form)"
    return Metric(name="format", about=f"cases whose answer {about}", scorer=scorers.in_form(task))


def _json_fields(task: TaskSettings) -> Iterator[Metric]:
    """Four metrics a field; a field that is called `other.recall` keeps its name to itself."""
    names = [*(task.output_schema or {}).get("properties", {})]
    taken = {f"json_field.{name}" for name in names}
    for name in names:
        first, *derived = _json_field(name, task)
        yield first
        yield from (metric for metric in derived if metric.name not in taken)


def _json_field(name: str, task: TaskSettings) -> list[Metric]:
    agree = scorers.json_field(name, equal=scorers.by_rules(task.same_values))
    told = _told({name: task.same_values[name]} if name in task.same_values else {})
    field = Metric(
        name=f"json_field.{name}",
        about=f"in-scope cases whose reference or answer has {name} and where both agree in it"
        f"{told}",
        scorer=agree,
        counts="in-scope",
        empty_without_answer=True,
        field=name,
    )
    return [
        field,
        replace(
            field,
            name=f"{field.name}.precision",
            about=f"in-scope answers with {name} that agree with the reference in it{told}",
            scorer=scorers.where_not("missing", agree),
        ),
        replace(
            field,
            name=f"{field.name}.recall",
            about=f"in-scope references with {name} that the answer agrees with in it{told}",
            scorer=scorers.where_not("invented", agree),
        ),
        replace(
            field,
            name=f"{field.name}.f1",
            about=f"the harmonic mean of precision and recall of {name}{told}",
            figure=_f1,
        ),
    ]


def _f1(scores: Sequence[Score]) -> Figure:
    faults = Counter(score.fault for score in scores)
    return intervals.f1(
        right=faults[None],
        wrong=faults["wrong"],
        missing=faults["missing"],
        invented=faults["invented"],
    )


def _told(rules: Mapping[str, SameValues]) -> str:
    """The rules as a part of a metric's definition; nothing where none is declared."""
    if not rules:
        return ""
    written = {name: rule.model_dump(exclude_defaults=True) for name, rule in rules.items()}
    return f"; values that mean the same: {canonical_json(written)}"


def _abstention(task: TaskSettings) -> list[Metric]:
    return [
        Metric(
            name="abstention_recall",
            about="out-of-scope cases that were answered by an abstention",
            scorer=scorers.abstained(task),
            counts="out-of-scope",
        ),
        Metric(
            name="over_abstention",
            about="in-scope cases that were answered by an abstention",
            scorer=scorers.abstained(task),
            counts="in-scope",
            higher_is_better=False,
        ),
        Metric(
            name="abstention_precision",
            about="abstentions that met an out-of-scope case",
            scorer=scorers.abstention_right(task),
            needs_answer=True,
        ),
    ]


def _correct(task: TaskSettings) -> Metric:
    accuracy = _accuracy(task)
    abstained = scorers.abstained(task)

    def score(case: Case, output: str) -> Score | None:
        return (abstained if case.out_of_scope else accuracy.scorer)(case, output)

    return Metric(
        name="correct",
        about="all cases: accurate in scope, an abstention out of scope" + _told(task.same_values),
        scorer=score,
    )


def _text(name: str) -> Metric:
    return Metric(
        name=name,
        about=f"{name} against the reference, in-scope cases",
        scorer=_TEXT_SCORERS[name],
        counts="in-scope",
    )


def _extra(name: str) -> Metric:
    if name in _TEXT_SCORERS:
        return _text(name)
    scorer, digest = scorers.own_function(name)
    return Metric(
        name=name, about=f"the team's own function {name}", scorer=scorer, source_digest=digest
    )
