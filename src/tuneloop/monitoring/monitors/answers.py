"""Monitors of what was answered: form, refusals, failures."""

from __future__ import annotations

from tuneloop.modelfile import TaskSettings
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit
from tuneloop.monitoring.monitors.tally import Subject, Tally, quote
from tuneloop.monitoring.shift import Margin, assess_shift
from tuneloop.monitoring.sketches import Counts, Examples, Share, Sketch
from tuneloop.monitoring.window import Batch, Window
from tuneloop.refusal import refusal_in
from tuneloop.storage import captured
from tuneloop.storage.spool import CLIENT_LEFT
from tuneloop.task.answer_form import declared_form
from tuneloop.task.label import is_abstention

_FIRST_ERRORS_ABOVE = 0.05
"""The limit of the share of failures while there is no baseline that one could trust."""


class FormatCompliance(Tally):
    """The share of text answers that fit the task's schema and pattern."""

    name = "format_compliance"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._fits = declared_form(subject.task)
        self.fitting, self.misfits = Share(), Examples()

    def add(self, batch: Batch) -> None:
        answers = batch.different_texts
        fit = [self._fits(answer) for answer in answers["response"]]
        misfit = answers.filter([not fits for fits in fit])
        n = batch.texts.height
        self.fitting.add(n - int(misfit["times"].sum()), n)
        first = misfit.sort("id").head(self.misfits.most)
        self.misfits.add(dict(zip(first["id"], map(quote, first["response"]), strict=True)))

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.fitting, self.misfits

    def measure(self, window: Window) -> Measurement:
        return against_limit(
            self.name,
            window,
            self.fitting.figure,
            what="answers in the declared form",
            limit=Limit(threshold=self._settings.format_below, unit="share", side="below"),
            minimum=self._settings.minimum_samples,
            detail={
                "examples": [
                    {"interaction": identity, "answer": answer}
                    for identity, answer in self.misfits.texts.items()
                ]
            },
        )


class Refusals(Tally):
    """The share of text answers that abstain as the task declares, or that refuse."""

    name = "refusals"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._task = TaskSettings(abstain=subject.task.get("abstain"))
        self.refused, self.examples = Share(), Examples()

    def add(self, batch: Batch) -> None:
        answers = batch.different_texts
        refused = answers.filter([self._refuses(answer) for answer in answers["response"]])
        self.refused.add(int(refused["times"].sum()), batch.texts.height)
        first = refused.sort("id").head(self.examples.most)
        self.examples.add(dict(zip(first["id"], map(quote, first["response"]), strict=True)))

    def _refuses(self, answer: str) -> bool:
        return is_abstention(answer, self._task) or refusal_in(answer) is not None

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.refused, self.examples

    def measure(self, window: Window) -> Measurement:
        return assess_shift(
            self.name,
            window,
            self.refused.figure,
            what="answers that refuse or abstain",
            unit="share",
            baseline=self._subject.baseline(self.name),
            margin=Margin(distance=self._settings.share_shift),
            minimum=self._settings.minimum_samples,
            detail={
                "examples": [
                    {"interaction": identity, "answer": answer}
                    for identity, answer in self.examples.texts.items()
                ]
            },
        )


class Errors(Tally):
    """The share of interactions that failed on our side, with each reason counted.

    So did what the model server itself refused (its own 4xx), and a request that its client gave up
    when it was slow already. What the gateway refuses for what the client sent, and a client that
    leaves earlier, is not our failure.
    """

    name = "errors"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._patience_ms = subject.patience_ms
        self.failed, self.left, self.reasons = Share(), Share(), Counts()

    def add(self, batch: Batch) -> None:
        import polars as pl

        rows, left = batch.interactions, pl.col("status") == CLIENT_LEFT
        failed = captured.failed()
        if self._patience_ms is not None:
            failed |= left & (pl.col("latency_ms") > self._patience_ms)
        ours = rows.filter(failed)
        reasons = ours["error"].fill_null("unknown").value_counts()
        self.failed.add(ours.height, rows.height)
        self.left.add(rows.filter(left).height, rows.height)
        self.reasons.add(dict(reasons.iter_rows()))

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.failed, self.left, self.reasons

    def measure(self, window: Window) -> Measurement:
        """Against the baseline; until that is known well, against a fixed limit.

        It may fail from the start, and then what is usual is no excuse; unless a person says so.
        """
        margin = Margin(distance=self._settings.share_shift, side="above")
        baseline = self._subject.baseline(self.name)
        known = None if baseline is None else baseline.pooled(margin, "share")
        what = "requests that failed"
        detail = {
            "reasons": dict(self.reasons.of.most_common()),
            "clients_left": self.left.hits,
            "patience_ms": self._patience_ms,
        }
        if known is None or not (known.settled or known.accepted):
            return against_limit(
                self.name,
                window,
                self.failed.figure,
                what=what,
                limit=Limit(threshold=_FIRST_ERRORS_ABOVE, unit="share", side="above"),
                minimum=self._settings.minimum_samples,
                detail={**detail, "becomes_baseline": known is None},
            )
        return assess_shift(
            self.name,
            window,
            self.failed.figure,
            what=what,
            unit="share",
            baseline=known,
            margin=margin,
            minimum=self._settings.minimum_samples,
            detail=detail,
        )
