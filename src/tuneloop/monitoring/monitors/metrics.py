"""Monitors of a team's own figures: feedback of the kind `metric`, a name and a number.

What is declared (`monitors.metrics`) is always watched, what is reported besides too, up to
`MOST_UNDECLARED` names of a window.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from tuneloop.metric_names import EVERY, PREFIX, is_monitor
from tuneloop.modelfile import MetricSettings, ModelSettings, MonitorSettings
from tuneloop.monitoring import series
from tuneloop.monitoring.false_alarms import DAYS_A_MONTH
from tuneloop.monitoring.measurement import Measurement, Unit
from tuneloop.monitoring.monitors.table import Monitor
from tuneloop.monitoring.monitors.tally import Subject, Tally
from tuneloop.monitoring.shift import Margin, assess_shift
from tuneloop.monitoring.sketches import Mean, Share, Sketch
from tuneloop.monitoring.window import Batch, Window
from tuneloop.storage import captured
from tuneloop.storage.traffic import Traffic
from tuneloop.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_UNDECLARED = 20
"""A client that makes up a name for every answer must not make a monitor of each."""
_Side = Literal["above", "below", "either"]
_BAD_SIDE: Mapping[str | None, _Side] = {"lower": "above", "higher": "below", None: "either"}
_SIDE_TOLD = {"lower": "above", "higher": "below", None: "from"}


class Metric(Tally):
    """The mean of a figure over the answers that it was reported on; the last report counts.

    Where every report is 0, 1, true or false it is a share, with Wilson's interval, else a mean
    with Student's. What must not move is as much as `relative_shift` of the baseline; of a share
    that much of the rarer outcome, and at most `share_shift`.
    """

    rule: ClassVar[MetricSettings] = MetricSettings()

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._feedback = subject.feedback(self.name)
        self.values, self.yes, self.reported = Mean(), Share(), Share()

    def add(self, batch: Batch) -> None:
        answers = self._feedback.sampled(batch.answers)
        values = _numbers(self._feedback.on(answers)["value"])
        self.values.add(values)
        self.yes.add(int((values == 1).sum()), int(((values == 0) | (values == 1)).sum()))
        self.reported.add(len(values), answers.height)

    @classmethod
    def wait_days(cls, settings: MonitorSettings) -> float | None:
        declared = cls.rule.after_days
        return settings.feedback_days if declared is None else declared

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.values, self.yes, self.reported

    def measure(self, window: Window) -> Measurement:
        is_share = self.yes.n == self.values.n
        figure = self.yes.figure if is_share else self.values.figure
        unit: Unit = "share" if is_share else "number"
        among = f", reported on {self.reported.hits} of {self.reported.n} answers"
        if is_share and 0 < self.yes.hits == self.yes.n < self.reported.n:
            among += " and never 0: where it did not happen, report that too"
        return assess_shift(
            self.name,
            window,
            figure,
            what=f"{self.name.removeprefix(PREFIX)}{among}",
            unit=unit,
            baseline=self._subject.baseline(self.name),
            margin=self._margin(is_share),
            minimum=self._settings.minimum_samples,
            detail={
                "kind": "share" if is_share else "mean",
                "answers": self.reported.n,
                "sampled_share": self._feedback.share,
            },
        )

    def _margin(self, is_share: bool) -> Margin:
        side, distance = _BAD_SIDE[self.rule.better], self._settings.relative_shift
        if is_share:
            return _OfTheRarer(distance=distance, side=side, most=self._settings.share_shift)
        return Margin(distance=distance, relative=True, side=side)


@dataclass(frozen=True, kw_only=True)
class _OfTheRarer(Margin):
    """Of a share: so much of the rarer outcome of the baseline, and at most `most`."""

    most: float

    def width(self, baseline: float) -> float:
        return min(self.most, self.distance * max(0.0, min(baseline, 1 - baseline)))


def monitor_of(name: str, told: MetricSettings) -> Monitor:
    """The monitor of a figure; `name` without the prefix."""
    monitor, side = f"{PREFIX}{name}", _SIDE_TOLD[told.better]

    class Own(Metric):
        name = monitor
        rule = told
        waits_for = (monitor,)

    return Monitor(
        tally=Own,
        about=f"your figure {name}",
        every="day",
        limit=lambda s: f"{s.relative_shift:.0%} or {100 * s.share_shift:g} points {side} baseline",
    )


def known(settings: MonitorSettings, measured: Iterable[str]) -> dict[str, Monitor]:
    """Those that are declared, and those among the names of monitors that measured something."""
    others = {name.removeprefix(PREFIX) for name in measured if is_monitor(name)}
    return _monitors(settings, settings.metrics.keys() | others)


def counted(workspace: Workspace, model: ModelSettings) -> dict[str, Monitor]:
    """Those that share the declared rate of false alarms, which is that of a month: what is
    declared, and of what else was measured in the last month as many as a run measures.

    Raises:
        StoreError: the measurements cannot be read.
    """
    since = workspace.now() - timedelta(days=DAYS_A_MONTH)
    lately = series.newest(workspace, model=model.name, since=since)
    undeclared = [
        (measurement.time, name)
        for name, measurement in lately.items()
        if is_monitor(name) and name.removeprefix(PREFIX) not in model.monitors.metrics
    ]
    last = sorted(undeclared, reverse=True)[:MOST_UNDECLARED]
    return known(model.monitors, [name for _, name in last])


def wanted(
    only: Collection[str] | None, settings: MonitorSettings, traffic: Traffic, window: Window
) -> dict[str, Monitor]:
    """Those that a run measures: the named ones, or all; see `reported`.

    Raises:
        StoreError: the traffic cannot be read.
    """
    named = {name.removeprefix(PREFIX) for name in only or () if is_monitor(name)}
    if only is None or EVERY in only:
        named |= settings.metrics.keys()
        named |= set(reported(traffic, window, declared=settings.metrics.keys()))
    return _monitors(settings, named)


def reported(traffic: Traffic, window: Window, *, declared: Collection[str] = ()) -> list[str]:
    """Names that were reported on the window's interactions and not declared, the commonest first.

    Raises:
        StoreError: the tables cannot be read.
    """
    import polars as pl

    own = ~pl.col("kind").is_in([f"{PREFIX}{name}" for name in declared])
    said = captured.metrics(traffic, since=window.start, until=window.said_until).filter(own)
    if said.head(1).collect().is_empty():
        return []
    # A figure may be told of answers that are older than the window: see `monitoring.late`.
    before = replace(window, start=window.start - (window.end - window.start))
    answers = before.interactions(traffic).select("id")
    counted = (
        said.join(answers, left_on="interaction", right_on="id", how="semi")
        .group_by("kind")
        .agg(pl.len())
        .sort("len", "kind", descending=[True, False])
        .head(MOST_UNDECLARED)
        .collect(engine="streaming")
    )
    return [kind.removeprefix(PREFIX) for kind in counted["kind"] if is_monitor(kind)]


def _monitors(settings: MonitorSettings, names: Iterable[str]) -> dict[str, Monitor]:
    rules: Mapping[str, MetricSettings] = settings.metrics
    return {
        f"{PREFIX}{name}": monitor_of(name, rules.get(name, MetricSettings()))
        for name in sorted(names)
    }


def _numbers(values: Iterable[str]) -> npt.NDArray[np.float64]:
    """The numbers in JSON texts, true and false among them (n,); others are left out."""
    import numpy as np

    parsed = [json.loads(value) for value in values]
    return np.array([float(one) for one in parsed if isinstance(one, int | float)])
