"""Every monitor: what it watches, how often, and when it speaks up.

A window below the minimum sample alerts nobody. Intervals are 95 % and take interactions for
independent. Which monitors run follows from what the task's answers are, and from how many there
are how sure one must be to alert.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tuneloop.errors import ExtensionError, UsageError
from tuneloop.metric_names import EVERY, is_monitor
from tuneloop.modelfile import ModelSettings, MonitorSettings, ScheduleSettings
from tuneloop.monitoring import false_alarms
from tuneloop.monitoring.monitors.answers import Errors, FormatCompliance, Refusals
from tuneloop.monitoring.monitors.drift import AnswerDrift, EmbeddingDrift
from tuneloop.monitoring.monitors.people import Accuracy, EditRate, Escalations, JudgeQuality
from tuneloop.monitoring.monitors.prompts import Novelty
from tuneloop.monitoring.monitors.prose import (
    Groundedness,
    Repetition,
    Truncation,
    share_limit,
)
from tuneloop.monitoring.monitors.requests import Refused, Silence
from tuneloop.monitoring.monitors.tally import Tally
from tuneloop.monitoring.monitors.training_answers import AnswerSimilarity, NewPhrases
from tuneloop.monitoring.monitors.usage import (
    Confidence,
    Cost,
    LatencyP95,
    OutputLength,
    VocabularyDiversity,
)
from tuneloop.monitoring.shift import Baseline, Released
from tuneloop.table import MONITOR_GROUP, Table

Every = Literal["hour", "day", "week"]


def _prose(task: Mapping[str, Any]) -> bool:
    return task.get("kind") == "prose"


def _has_form(task: Mapping[str, Any]) -> bool:
    """Prose without a declared pattern has no form that an answer could miss."""
    return not _prose(task) or task.get("output_pattern") is not None


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """One row of the table."""

    tally: type[Tally]
    about: str
    every: Every
    limit: Callable[[MonitorSettings], str]
    """When it alerts, for people."""
    applies: Callable[[Mapping[str, Any]], bool] = lambda task: True
    """Whether it says something of a bundle with this task, the task part of its manifest."""
    limit_after_release: Callable[[MonitorSettings, Released], str | None] = lambda s, released: (
        None
    )
    """The same where what the bundle was released with decides; None: it does not."""

    @property
    def name(self) -> str:
        """What measurements and alerts call it."""
        return self.tally.name

    def limit_of(self, settings: MonitorSettings, released: Released = lambda metric: None) -> str:
        """When it alerts on a bundle that was released with these figures; where a package fails to
        say, why."""
        try:
            return self.limit_after_release(settings, released) or self.limit(settings)
        except Exception as e:  # noqa: BLE001  a package's code may raise anything
            return failed(self.name, e).message


def _above_release(
    above: Callable[[MonitorSettings], float], at_release: Callable[[Released], Baseline | None]
) -> Callable[[MonitorSettings, Released], str | None]:
    """Of a share that was released above its limit: the limit in force, and why it is that."""

    def told(settings: MonitorSettings, released: Released) -> str | None:
        found = at_release(released)
        limit = share_limit(above(settings), found, settings)
        if found is None or limit == above(settings):
            return None
        return f"above {limit:.1%} (released with {found.value:.1%})"

    return told


_OWN = (
    Monitor(
        tally=Accuracy,
        about="score of the answers that people or a judge scored",
        every="week",
        limit=lambda s: f"below {s.accuracy_below:.0%}",
    ),
    Monitor(
        tally=FormatCompliance,
        about="answers in the declared form",
        every="day",
        limit=lambda s: f"below {s.format_below:.0%}",
        applies=_has_form,
    ),
    Monitor(
        tally=EditRate,
        about="answers that people changed, and how much of them",
        every="week",
        limit=lambda s: f"above {s.edit_rate_above:.0%}",
    ),
    Monitor(
        tally=Confidence,
        about="log-probability of the answers' tokens",
        every="day",
        limit=lambda s: f"{s.confidence_drop:.0%} less probable than the baseline",
    ),
    Monitor(
        tally=LatencyP95,
        about="time to the whole answer, 95th percentile",
        every="day",
        limit=lambda s: f"above {s.latency_above_baseline:g} × baseline",
    ),
    Monitor(
        tally=Novelty,
        about="prompts unlike the training data",
        every="week",
        limit=lambda s: f"above {s.novelty_above:.0%}",
    ),
    Monitor(
        tally=EmbeddingDrift,
        about="prompts that moved away from the training data",
        every="day",
        limit=lambda s: "beyond what is calibrated on its own data",
    ),
    Monitor(
        tally=JudgeQuality,
        about="mean score of the judge",
        every="day",
        limit=lambda s: f"{s.judge_drop:g} below baseline",
    ),
    Monitor(
        tally=OutputLength,
        about="tokens of an answer",
        every="day",
        limit=lambda s: f"{s.relative_shift:.0%} from baseline",
    ),
    Monitor(
        tally=VocabularyDiversity,
        about="how varied the answers' words are",
        every="day",
        limit=lambda s: f"{s.relative_shift:.0%} from baseline",
    ),
    Monitor(
        tally=Refusals,
        about="answers that refuse or abstain",
        every="day",
        limit=lambda s: f"{100 * s.share_shift:g} points from baseline",
    ),
    Monitor(
        tally=Escalations,
        about="answers that were handed to a person",
        every="day",
        limit=lambda s: f"{100 * s.share_shift:g} points above baseline",
    ),
    Monitor(
        tally=Errors,
        about="requests that failed",
        every="day",
        limit=lambda s: f"{100 * s.share_shift:g} points above baseline",
    ),
    Monitor(
        tally=Silence,
        about="requests of the last hours, against the usual at this time of the week",
        every="hour",
        limit=lambda s: f"below {s.silent_below:.0%} of the usual",
    ),
    Monitor(
        tally=Refused,
        about="requests that the gateway refused",
        every="hour",
        limit=lambda s: f"{100 * s.share_shift:g} points above the usual",
    ),
    Monitor(
        tally=Cost,
        about="tokens of a request and its answer",
        every="day",
        limit=lambda s: f"{s.relative_shift:.0%} above baseline",
    ),
    Monitor(
        tally=Truncation,
        about="answers cut off at max_tokens",
        every="day",
        limit=lambda s: f"above {s.truncated_above:.0%}",
        limit_after_release=_above_release(lambda s: s.truncated_above, Truncation.at_release),
        applies=_prose,
    ),
    Monitor(
        tally=Repetition,
        about="answers that say the same words over and over",
        every="day",
        limit=lambda s: f"above {s.loops_above:.0%}",
        limit_after_release=_above_release(lambda s: s.loops_above, Repetition.at_release),
        applies=_prose,
    ),
    Monitor(
        tally=Groundedness,
        about="facts in answers that stand in no message",
        every="day",
        limit=lambda s: f"above {s.ungrounded_above:.0%}",
        limit_after_release=_above_release(lambda s: s.ungrounded_above, Groundedness.at_release),
        applies=_prose,
    ),
    Monitor(
        tally=AnswerDrift,
        about="answers that moved away from the training answers",
        every="day",
        limit=lambda s: "beyond what is calibrated on its own data",
        applies=_prose,
    ),
    Monitor(
        tally=AnswerSimilarity,
        about="answers unlike the training answers of their topic",
        every="day",
        limit=lambda s: f"{100 * s.unlike_answers_above:g} points less alike",
        applies=_prose,
    ),
    Monitor(
        tally=NewPhrases,
        about="answers with a phrase that no training answer has",
        every="day",
        limit=lambda s: f"above {s.new_phrases_above:.0%}",
        applies=_prose,
    ),
)


MONITORS = Table(MONITOR_GROUP, {monitor.name: monitor for monitor in _OWN}, kind=Monitor)
"""A package adds a `Monitor` under the name of its tally."""


def chosen(
    only: Collection[str] | None = None, *, task: Mapping[str, Any] | None = None
) -> dict[str, Monitor | ExtensionError]:
    """The monitors of these names, or all; where one that a package adds cannot be used, why.

    Of all only those that apply to the task, where one is given; a named one runs on any. A team's
    own figures are named too and are not among them: see `metrics.wanted`.

    Raises:
        UsageError: there is none of a name.
        ExtensionError: two packages add the same name.
    """
    known = MONITORS.names()
    named = {name for name in only or () if name != EVERY and not is_monitor(name)}
    if unknown := sorted(named - set(known)):
        raise UsageError(
            f"There is no monitor {', '.join(map(repr, unknown))}.",
            remedy="See them with: tuneloop monitor list",
        )
    usable = {name: _usable(name) for name in known if only is None or name in only}
    if only is not None or task is None:
        return usable
    on_task = {name: _on_task(monitor, task) for name, monitor in usable.items()}
    return {name: monitor for name, monitor in on_task.items() if monitor is not None}


def levels(
    model: ModelSettings,
    task: Mapping[str, Any],
    others: Mapping[str, Monitor | ExtensionError] | None = None,
) -> dict[str, float]:
    """The chance with which one look of each monitor may alert for nothing.

    Those that apply to the task, and `others` that are in no table, share the declared rate,
    whichever of them are run; one that does not apply, and is run by name, is as sure as they are.
    """
    own, more = chosen(), others or {}
    rate, running = model.monitors.false_alarms_per_month, {*chosen(task=task), *more}
    return {
        name: false_alarms.level(
            rate, monitors=len(running), looks=_looks_a_month(monitor, model.schedule)
        )
        for name, monitor in {**own, **more}.items()
    }


def _looks_a_month(monitor: Monitor | ExtensionError, schedule: ScheduleSettings) -> float:
    match every := monitor.every if isinstance(monitor, Monitor) else "day":
        case "hour":
            cadence = schedule.hourly_monitors
        case "day":
            cadence = schedule.daily_monitors
        case "week":
            cadence = schedule.weekly_monitors
    return false_alarms.looks_a_month(every, cadence)


def applies(monitor: Monitor | ExtensionError, task: Mapping[str, Any]) -> bool:
    """Whether it runs by itself on a bundle with this task; one that cannot be used says so."""
    return _on_task(monitor, task) is not None


def _on_task(
    monitor: Monitor | ExtensionError, task: Mapping[str, Any]
) -> Monitor | ExtensionError | None:
    """None where it does not apply; where a package fails to say whether it does, why."""
    if isinstance(monitor, ExtensionError):
        return monitor
    try:
        return monitor if monitor.applies(task) else None
    except Exception as e:  # noqa: BLE001  a package's code may raise anything
        return failed(monitor.name, e)


def due(every: Every, *, task: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Names of the monitors that run hourly, daily or weekly; daily is said why one cannot be used.

    Of those that apply to the task, where one is given.
    """
    return tuple(
        name
        for name, monitor in chosen(task=task).items()
        if every == (monitor.every if isinstance(monitor, Monitor) else "day")
    )


def failed(name: str, error: Exception) -> ExtensionError:
    """What to say of an error in the code of a monitor that a package adds.

    Raises:
        Exception: the error itself, where the monitor is ours.
    """
    for extension in MONITORS.added():
        if extension.name == name:
            return extension.error(f"failed: {type(error).__name__}: {error}")
    raise error


def _usable(name: str) -> Monitor | ExtensionError:
    try:
        monitor = MONITORS.find(name)
        assert monitor is not None
    except ExtensionError as e:
        return e
    if not (isinstance(monitor.tally, type) and issubclass(monitor.tally, Tally)):
        return failed(name, TypeError(f"{monitor.tally!r} is no Tally"))
    return monitor
