"""What a monitor sums up while the window's traffic passes by, and what it knows beforehand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring.answers_by_topic import AnswersByTopic
from tuneloop.monitoring.drift.reference import DriftReference
from tuneloop.monitoring.feedback import FeedbackSample
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.novelty import NoveltyReference
from tuneloop.monitoring.phrases import OwnPhrases
from tuneloop.monitoring.requests import Requests
from tuneloop.monitoring.shift import Baseline
from tuneloop.monitoring.sketches import Sketch
from tuneloop.monitoring.window import Batch, Window

if TYPE_CHECKING:
    from tuneloop.embedders import Vectors

_QUOTED_CHARACTERS = 200


class Subject(Protocol):
    """The bundle that is watched, as far as a monitor needs to know it; all is looked up late."""

    @property
    def task(self) -> Mapping[str, Any]:
        """The task part of its manifest."""

    @property
    def settings(self) -> MonitorSettings:
        """Limits and minimum sample."""

    @property
    def max_tokens(self) -> int | None:
        """Where its answers are cut off, in tokens; None: not known."""

    @property
    def patience_ms(self) -> float | None:
        """A client that left after a longer wait was failed; None: nothing says how long it is."""

    def released(self, metric: str) -> Baseline | None:
        """What its release evaluation measured by this metric, in the main suite."""

    def baseline(self, monitor: str, **matching: object) -> Baseline | None:
        """What a person called normal, else its release evaluation, else its first windows.

        `matching`: values that the window's detail must have, such as who judged.
        """

    def accepted_baseline(self, monitor: str) -> Baseline | None:
        """What a person called normal of a monitor that has a baseline of its own otherwise."""

    def sample_weights(self) -> Mapping[str, float]:
        """Interaction → answers that it stands for, of the weekly samples that people look at."""

    def requests(self) -> Requests:
        """What came to its endpoint, whichever bundle answered, hour by hour."""

    def feedback(self, *kinds: str) -> FeedbackSample:
        """What came back about the window's answers."""

    def heard(self, *kinds: str) -> bool:
        """Whether any feedback of these kinds ever came about answers of its endpoint."""

    def novelty_reference(self) -> NoveltyReference:
        """Its training prompts; raises a `TuneloopError` where there are none to compare with."""

    def drift_reference(self) -> DriftReference:
        """Its prompts' topics and calibrated thresholds; raises a `TuneloopError` without any."""

    def answer_drift_reference(self) -> DriftReference:
        """The same of its training answers."""

    def answers_by_topic(self) -> AnswersByTopic:
        """Its training answers by the topics of their prompts; raises as the others do."""

    def own_phrases(self) -> OwnPhrases:
        """What its training answers say; raises as the others do."""

    def answers_at_release(self) -> Sequence[tuple[str, str]]:
        """Prompts and its answers in its release evaluation; none where they are not kept."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, d) of texts by the embedder of the references."""


class Tally(ABC):
    """One monitor's sum over a window: batches and other tallies go in, a measurement comes out."""

    name: ClassVar[str]
    reads_vectors: ClassVar[bool] = False
    """Whether it looks at the prompts' embeddings."""
    reads_window: ClassVar[bool] = True
    """Whether it takes in the window's interactions."""
    waits_for: ClassVar[tuple[str, ...]] = ()
    """Kinds of feedback that come late: it looks at answers that people had the time to speak of,
    see `monitoring.late`."""

    def __init__(self, subject: Subject) -> None:
        """Nothing is taken in yet.

        Raises:
            TuneloopError: what the monitor compares with cannot be had.
        """
        self._subject = subject
        self._settings = subject.settings

    @classmethod
    def wait_days(cls, settings: MonitorSettings) -> float | None:
        """How long it waits for what it waits for; None: as long as people took lately."""
        return settings.feedback_days

    @abstractmethod
    def add(self, batch: Batch) -> None:
        """Take in some interactions."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Sketch, ...]:
        """What it sums up, always in the same order."""

    def merge(self, other: Self) -> None:
        """Take in what another tally of the same monitor and subject saw."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            mine.merge(theirs)

    @abstractmethod
    def measure(self, window: Window) -> Measurement:
        """The measurement of all that was taken in."""


def quote(text: str) -> str:
    """The text, or the beginning of a long one."""
    return text if len(text) <= _QUOTED_CHARACTERS else text[: _QUOTED_CHARACTERS - 1] + "…"
