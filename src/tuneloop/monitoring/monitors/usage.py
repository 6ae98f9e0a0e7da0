"""Monitors of how answers come: time, tokens, log-probabilities, and how varied their words are."""

from __future__ import annotations

import math

from tuneloop.monitoring.measurement import Measurement, measured
from tuneloop.monitoring.monitors.tally import Subject, Tally
from tuneloop.monitoring.shift import Margin, assess_shift, latency_margin
from tuneloop.monitoring.sketches import LogHistogram, Mean, Share, Sketch, Vocabulary
from tuneloop.monitoring.window import Batch, Window


class LatencyP95(Tally):
    """The 95th percentile of the time to the whole answer, against the baseline's."""

    name = "latency_p95"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.latencies = LogHistogram()

    def add(self, batch: Batch) -> None:
        self.latencies.add(batch.answers["latency_ms"].drop_nulls().to_numpy())

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.latencies,)

    def measure(self, window: Window) -> Measurement:
        return assess_shift(
            self.name,
            window,
            self.latencies.quantile(0.95),
            what="p95 latency",
            unit="ms",
            baseline=self._subject.baseline(self.name),
            margin=latency_margin(self._settings),
            minimum=self._settings.minimum_samples,
        )


class Confidence(Tally):
    """The mean over answers of the mean natural-log probability of their tokens.

    A share of a logarithm means little: from -0.01 to -0.02 is 100 %, and hardly a change. The drop
    is that of the typical (geometric mean) token probability exp(value): 10 % less is
    ln 0.9 = -0.105 nats, wherever the baseline is.
    """

    name = "confidence"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.logprobs, self.known = Mean(), Share()

    def add(self, batch: Batch) -> None:
        values = batch.answers["mean_logprob"].drop_nulls().to_numpy()
        self.logprobs.add(values)
        self.known.add(len(values), batch.answers.height)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.logprobs, self.known

    def measure(self, window: Window) -> Measurement:
        if not self.known.hits and self.known.n >= self._settings.minimum_samples:
            message = (
                f"not enough data: none of {self.known.n} answers has log-probabilities; the model "
                "server gives none, or endpoint.logprobs_share is 0"
            )
            return measured(self.name, window, None, verdict="not_enough_data", message=message)
        return assess_shift(
            self.name,
            window,
            self.logprobs.figure,
            what="mean log-probability of the answers' tokens",
            unit="nats",
            baseline=self._subject.baseline(self.name),
            margin=Margin(distance=-math.log(1 - self._settings.confidence_drop), side="below"),
            minimum=self._settings.minimum_samples,
            detail={"typical_token_probability": round(math.exp(self.logprobs.mean), 4)},
        )


class OutputLength(Tally):
    """Mean tokens of whole answers."""

    name = "output_length"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.tokens, self.spread = Mean(), LogHistogram()

    def add(self, batch: Batch) -> None:
        import numpy as np

        tokens = batch.answers["completion_tokens"].drop_nulls().to_numpy().astype(np.float64)
        self.tokens.add(tokens)
        self.spread.add(tokens)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.tokens, self.spread

    def measure(self, window: Window) -> Measurement:
        quantiles = {q: self.spread.quantile(q / 100) for q in (5, 50, 95)}
        return assess_shift(
            self.name,
            window,
            self.tokens.figure,
            what="mean length of answers",
            unit="tokens",
            baseline=self._subject.baseline(self.name),
            margin=Margin(distance=self._settings.relative_shift, relative=True),
            minimum=self._settings.minimum_samples,
            detail={f"p{q}": round(figure.value, 1) for q, figure in quantiles.items() if figure},
        )


class VocabularyDiversity(Tally):
    """How varied the words of text answers are, keys of JSON included; see `Vocabulary`."""

    name = "vocabulary_diversity"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.words = Vocabulary()

    def add(self, batch: Batch) -> None:
        self.words.add(batch.texts)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.words,)

    def measure(self, window: Window) -> Measurement:
        return assess_shift(
            self.name,
            window,
            self.words.figure,
            what="answers are as varied as if they drew evenly from so many words",
            unit="words",
            baseline=self._subject.baseline(self.name),
            margin=Margin(distance=self._settings.relative_shift, relative=True),
            minimum=self._settings.minimum_samples,
        )


class Cost(Tally):
    """Mean tokens, in and out, of an answered request."""

    name = "cost"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.prompt, self.completion, self.both = Mean(), Mean(), Mean()

    def add(self, batch: Batch) -> None:
        import numpy as np

        tokens = batch.answers.select("prompt_tokens", "completion_tokens").drop_nulls()
        counted = tokens.to_numpy().astype(np.float64)  # (n, 2)
        self.prompt.add(counted[:, 0])
        self.completion.add(counted[:, 1])
        self.both.add(counted.sum(axis=1))

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.prompt, self.completion, self.both

    def measure(self, window: Window) -> Measurement:
        return assess_shift(
            self.name,
            window,
            self.both.figure,
            what="mean tokens of a request and its answer",
            unit="tokens",
            baseline=self._subject.baseline(self.name),
            margin=Margin(distance=self._settings.relative_shift, relative=True, side="above"),
            minimum=self._settings.minimum_samples,
            detail={
                "prompt_tokens": round(self.prompt.mean * self.prompt.n),
                "completion_tokens": round(self.completion.mean * self.completion.n),
            },
        )
