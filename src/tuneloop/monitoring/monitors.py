"""The monitors: pure rules from a window of traffic to one measurement each.

| monitor | value | over | alert when |
|---|---|---|---|
| `format_compliance` | share in the declared form | whole answers that are text | below |
| `latency_p95` | 95th percentile of the time to the whole answer | whole answers | above |
| `edit_rate` | share that a person changed | whole answers | above |
| `novelty` | share far from the training prompts or with a word new to them | prompts | above |
| `errors` | share that the server failed, or broke off | interactions | above |

Windows below the minimum sample alert nobody. Intervals are 95 %: Wilson's for shares, order
statistics for the percentile; they take interactions for independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop import intervals
from tuneloop.answer_form import declared_form
from tuneloop.intervals import Figure
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring.embedders import Embedder
from tuneloop.monitoring.measurement import (
    Limit,
    Measurement,
    judge,
    measured,
    not_enough_data,
    tell,
)
from tuneloop.monitoring.novelty import NoveltyReference, new_words, words
from tuneloop.monitoring.window import Window
from tuneloop.storage.messages import prompt_of

if TYPE_CHECKING:
    import polars as pl

ERRORS_ABOVE = 0.05
"""A fixed limit until the share is compared with the endpoint's own baseline."""
NOVELTY_SAMPLE_ROWS = 5_000
"""Prompts of a larger window are sampled evenly in time; the interval is that of the sample."""
_EXAMPLES = 5
_NEW_WORDS = 10
_EXAMPLE_CHARACTERS = 200
_CLIENT_LEFT = 499


@dataclass(frozen=True, kw_only=True)
class LatencyBaseline:
    """What latency is compared with."""

    p95_ms: float
    source: str
    """Where it comes from, for the message."""


def format_compliance(
    window: Window, settings: MonitorSettings, *, task: Mapping[str, Any]
) -> Measurement:
    """The share of text answers that fit the task's schema and pattern."""
    fits = declared_form(task)
    answers = _text_answers(window)
    misfits = [row for row in answers if not fits(row["response"] or "")]
    return judge(
        "format_compliance",
        window,
        _share(len(answers) - len(misfits), len(answers)),
        what="answers in the declared form",
        limit=Limit(threshold=settings.format_below, unit="share", side="below"),
        minimum=settings.minimum_samples,
        detail={
            "examples": [
                {"interaction": row["id"], "answer": _shorten(row["response"] or "")}
                for row in misfits[:_EXAMPLES]
            ]
        },
    )


def latency_p95(
    window: Window, settings: MonitorSettings, *, baseline: LatencyBaseline | None
) -> Measurement:
    """The 95th percentile of the time to the whole answer, against the baseline's.

    Without a baseline the value is only told; with enough data it becomes the baseline.
    """
    values = window.answers["latency_ms"].drop_nulls().to_list()
    figure = intervals.quantile(values, 0.95) if values else None
    if baseline is None:
        return _first_latency(window, figure, settings.minimum_samples)
    return judge(
        "latency_p95",
        window,
        figure,
        what=f"p95 latency, baseline {baseline.p95_ms:.0f} ms ({baseline.source})",
        limit=Limit(
            threshold=settings.latency_above_baseline * baseline.p95_ms,
            unit="ms",
            side="above",
        ),
        minimum=settings.minimum_samples,
        detail={"baseline_p95_ms": baseline.p95_ms, "baseline": baseline.source},
    )


def _first_latency(window: Window, figure: Figure | None, minimum: int) -> Measurement:
    if figure is None or figure.n < minimum:
        return not_enough_data("latency_p95", window, figure, minimum=minimum)
    return measured(
        "latency_p95",
        window,
        figure,
        verdict="ok",
        message=f"p95 latency: {tell(figure, 'ms')}; the first window with enough data: "
        "later ones are compared with it",
        detail={"becomes_baseline": True},
    )


def edit_rate(window: Window, settings: MonitorSettings) -> Measurement:
    """The share of answers that a person changed, of all answers, looked at or not."""
    answers = window.answers
    return judge(
        "edit_rate",
        window,
        _share(int(answers["edited"].sum()), answers.height),
        what="answers that people changed",
        limit=Limit(threshold=settings.edit_rate_above, unit="share", side="above"),
        minimum=settings.minimum_samples,
    )


def errors(window: Window, settings: MonitorSettings) -> Measurement:
    """The share of interactions that failed on our side, with each reason counted.

    A request that the client got wrong (4xx) or gave up (499) is not our failure.
    """
    import polars as pl

    rows = window.interactions
    failed = rows.filter(
        (pl.col("status") >= 500) | ((pl.col("status") == 200) & pl.col("error").is_not_null())
    )
    reasons = failed["error"].fill_null("unknown").value_counts(sort=True)
    return judge(
        "errors",
        window,
        _share(failed.height, rows.height),
        what="requests that failed",
        limit=Limit(threshold=ERRORS_ABOVE, unit="share", side="above"),
        minimum=settings.minimum_samples,
        detail={
            "reasons": dict(reasons.iter_rows()),
            "clients_left": rows.filter(pl.col("status") == _CLIENT_LEFT).height,
        },
    )


def novelty(
    window: Window, settings: MonitorSettings, *, reference: NoveltyReference, embedder: Embedder
) -> Measurement:
    """The share of prompts far from all training prompts, or with a word new beyond chance."""
    rows = _sample(window.interactions, NOVELTY_SAMPLE_ROWS)
    prompts = [
        (identity, prompt)
        for identity, messages in zip(rows["id"], rows["messages"], strict=True)
        if (prompt := prompt_of(messages)).strip()
    ]
    texts = [prompt for _, prompt in prompts]
    similarities = [float(s) for s in reference.similarities(embedder.embed(texts))]
    found = new_words(texts, reference)
    fresh = {new.word for new in found}
    far = [similarity < reference.threshold for similarity in similarities]
    has_new = [not fresh.isdisjoint(words(text)) for text in texts]
    novel = [a or b for a, b in zip(far, has_new, strict=True)]
    listed = ", ".join(new.word for new in found[:3])
    return judge(
        "novelty",
        window,
        _share(sum(novel), len(novel)),
        what=f"prompts unlike the training data{f' (new words: {listed})' if listed else ''}",
        limit=Limit(threshold=settings.novelty_above, unit="share", side="above"),
        minimum=settings.minimum_samples,
        detail={
            "far": sum(far),
            "with_new_words": sum(has_new),
            "new_words": [vars(new) for new in found[:_NEW_WORDS]],
            "examples": _most_novel(prompts, similarities, novel),
            "similarity_threshold": reference.threshold,
            "training_prompts": reference.rows,
            "calibration_rows": reference.calibration_rows,
            "embedder": reference.embedder,
            "without_prompt": rows.height - len(prompts),
            "sampled_from": window.interactions.height,
        },
    )


def _most_novel(
    prompts: Sequence[tuple[str, str]], similarities: Sequence[float], novel: Sequence[bool]
) -> list[dict[str, Any]]:
    """Up to five different novel prompts, the least similar first."""
    shown: dict[str, dict[str, Any]] = {}
    for at in sorted(range(len(prompts)), key=lambda i: similarities[i]):
        identity, prompt = prompts[at]
        if novel[at] and prompt not in shown:
            shown[prompt] = {
                "interaction": identity,
                "prompt": _shorten(prompt),
                "similarity": round(float(similarities[at]), 3),
            }
        if len(shown) == _EXAMPLES:
            break
    return list(shown.values())


def _text_answers(window: Window) -> list[dict[str, Any]]:
    """Whole answers that are text: a call of a tool has another form."""
    import polars as pl

    rows = window.answers.filter(pl.col("tool_calls").is_null())
    return rows.select("id", "response").to_dicts()


def _sample(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most `most` rows at even distances; ids sort by time."""
    return rows if rows.height <= most else rows.gather_every(-(-rows.height // most))


def _share(successes: int, n: int) -> Figure | None:
    return intervals.share(successes, n) if n else None


def _shorten(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"
