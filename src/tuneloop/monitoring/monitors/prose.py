"""Monitors of answers in prose: cut off, turning in circles, telling what nobody told them.

What takes long to find is looked for in a random sample of the window's answers, the same one
whichever process or order they come in; every measurement says how many it was drawn from.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit
from tuneloop.monitoring.monitors.tally import Subject, Tally, quote
from tuneloop.monitoring.shift import Baseline, Released
from tuneloop.monitoring.sketches import Examples, Sample, Share, Sketch
from tuneloop.monitoring.window import Batch, Window
from tuneloop.prose import groundedness
from tuneloop.prose.repetition import distinct_n, loop_in
from tuneloop.storage.messages import every_text

if TYPE_CHECKING:
    import polars as pl

SAMPLE_ROWS = 5_000
"""Answers of a larger window are a random sample; the interval is that of the sample."""
EXAMPLES = 5
_SPANS = 5
_BEFORE_SPAN = 80
_CUT_OFF = "length"
"""The finish reason that the OpenAI API gives to an answer cut off at its limit."""


class Truncation(Tally):
    """The share of whole answers that were cut off at the limit of their tokens.

    The server says so by its finish reason. Of one that gives none, an answer of exactly
    `endpoint.max_tokens` tokens was cut off: one more would have been another client's limit.
    """

    name = "truncation"

    @staticmethod
    def at_release(released: Released) -> Baseline | None:
        """The same share of its release evaluation."""
        return released("truncated_share")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._released = self.at_release(subject.released)
        self.cut_off, self.without_reason, self.examples = Share(), Share(), Examples()

    def add(self, batch: Batch) -> None:
        import polars as pl

        answers, reason = batch.answers, pl.col("finish_reason")
        full = pl.lit(False)
        if self._subject.max_tokens is not None:
            full = pl.col("completion_tokens") == self._subject.max_tokens
        cut_off = answers.filter((reason == _CUT_OFF) | (reason.is_null() & full))
        self.cut_off.add(cut_off.height, answers.height)
        self.without_reason.add(answers["finish_reason"].null_count(), answers.height)
        first = cut_off.sort("id").head(self.examples.most)
        ends = [_end(response or "") for response in first["response"]]
        self.examples.add(dict(zip(first["id"], ends, strict=True)))

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.cut_off, self.without_reason, self.examples

    def measure(self, window: Window) -> Measurement:
        return not_above(
            self.name,
            window,
            self.cut_off.figure,
            what="answers cut off at max_tokens",
            above=self._settings.truncated_above,
            released=self._released,
            settings=self._settings,
            detail={
                "max_tokens": self._subject.max_tokens,
                "without_finish_reason": self.without_reason.hits,
                "examples": [
                    {"interaction": identity, "answer": end}
                    for identity, end in self.examples.texts.items()
                ],
            },
        )


class SampledAnswers(Tally):
    """A tally whose measure is taken of a sample of the window's answers in text."""

    columns: ClassVar[tuple[str, ...]] = ("id", "response")
    """What it keeps of each; see `Batch.answered`."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.answers = Sample(SAMPLE_ROWS)

    def add(self, batch: Batch) -> None:
        self.answers.add(batch.answered.select(self.columns))

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.answers,)

    def measure(self, window: Window) -> Measurement:
        return self.of_sample(window, self.answers.rows)

    @abstractmethod
    def of_sample(self, window: Window, rows: pl.DataFrame | None) -> Measurement:
        """The measurement of the sampled answers, in the order of their ids; None: no answer."""


class Repetition(SampledAnswers):
    """The share of text answers that loop; see `prose.repetition`.

    The mean share of different pairs of words in an answer (distinct-2) is told beside it.
    """

    name = "repetition"

    @staticmethod
    def at_release(released: Released) -> Baseline | None:
        """The same share of its release evaluation."""
        return _missing(released("no_loops"))

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._released = self.at_release(subject.released)

    def of_sample(self, window: Window, rows: pl.DataFrame | None) -> Measurement:
        answers = [] if rows is None else list(rows.select("id", "response").iter_rows())
        loops = [
            {
                "interaction": identity,
                "answer": quote(answer),
                "repeats": quote(" ".join(loop.words)),
                "times": loop.times,
            }
            for identity, answer in answers
            if (loop := loop_in(answer)) is not None
        ]
        varied = [share for _, answer in answers if (share := distinct_n(answer)) is not None]
        return not_above(
            self.name,
            window,
            intervals.share(len(loops), len(answers)) if answers else None,
            what="answers that say the same words over and over",
            above=self._settings.loops_above,
            released=self._released,
            settings=self._settings,
            detail={
                "distinct_2": _mean(varied),
                "examples": loops[:EXAMPLES],
                "sampled_from": self.answers.seen,
            },
        )


class Groundedness(SampledAnswers):
    """The share of checkable parts of answers that the model was not told; no judge is asked.

    Numbers, dates, names and the like of an answer are looked up in all messages that it answers,
    and in the task's system text. Parts of one answer stand or fall together, so the interval is
    that of answers rather than of parts; answers without any such part say nothing.
    """

    name = "groundedness"
    columns = ("id", "messages", "response")

    @staticmethod
    def at_release(released: Released) -> Baseline | None:
        """The same share of its release evaluation."""
        return released("outside_prompt")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._released = self.at_release(subject.released)
        self._system = str(subject.task.get("system") or "")

    def of_sample(self, window: Window, rows: pl.DataFrame | None) -> Measurement:
        answers = [] if rows is None else list(rows.select(self.columns).iter_rows())
        counted: list[tuple[int, int]] = []
        examples: list[dict[str, Any]] = []
        for identity, messages, answer in answers:
            parts = groundedness.checkable(answer)
            if not parts:
                continue
            sources = [self._system, *every_text(messages)]
            loose = groundedness.ungrounded(answer, sources)
            counted.append((len(loose), len(parts)))
            if loose and len(examples) < EXAMPLES:
                examples.append(
                    {
                        "interaction": identity,
                        "answer": _around(answer, loose[0].start, loose[0].end),
                        "ungrounded": [quote(span.text) for span in loose[:_SPANS]],
                    }
                )
        return not_above(
            self.name,
            window,
            intervals.pooled_share(*zip(*counted, strict=True)) if counted else None,
            what="numbers, dates, names and the like in answers that stand in no message",
            above=self._settings.ungrounded_above,
            released=self._released,
            settings=self._settings,
            detail={
                "checkable": sum(parts for _, parts in counted),
                "ungrounded": sum(loose for loose, _ in counted),
                "answers": len(answers),
                "examples": examples,
                "sampled_from": self.answers.seen,
            },
        )


def not_above(
    monitor: str,
    window: Window,
    figure: Figure | None,
    *,
    what: str,
    above: float,
    released: Baseline | None,
    settings: MonitorSettings,
    detail: Mapping[str, Any],
) -> Measurement:
    """The verdict on a share that shall stay below a limit.

    The limit is that of `share_limit`.
    """
    threshold, note = share_limit(above, released, settings), ""
    if released is not None and threshold != above:
        note = f" ({100 * released.value:.1f} % when it was released)"
    return against_limit(
        monitor,
        window,
        figure,
        what=f"{what}{note}",
        limit=Limit(threshold=threshold, unit="share", side="above"),
        minimum=settings.minimum_samples,
        detail={**detail, "released": released and [released.value, released.low, released.high]},
    )


def share_limit(above: float, released: Baseline | None, settings: MonitorSettings) -> float:
    """The limit in force of a share that shall not be above one.

    Where the release evaluation measured more than the limit, people released it all the same:
    then it is `share_shift` more than that.
    """
    if released is None or released.value <= above:
        return above
    return min(1.0, released.value + settings.share_shift)


def _missing(share: Baseline | None) -> Baseline | None:
    """What is missing from a share to all of it."""
    if share is None:
        return None
    return Baseline(
        value=1 - share.value, low=1 - share.high, high=1 - share.low, source=share.source
    )


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _around(text: str, start: int, end: int) -> str:
    """The text from a little before a part of it, so that a long answer shows the part."""
    begin = max(0, start - _BEFORE_SPAN)
    shown = text[begin:]
    return quote(f"…{shown}" if begin else shown)


def _end(text: str) -> str:
    """The end of a long text: where it was cut off."""
    turned = quote(text[::-1])
    return turned[::-1]
