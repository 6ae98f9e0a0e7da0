"""What the worker does on a schedule: one line a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tuneloop.errors import BusyError
from tuneloop.metric_names import EVERY as EVERY_METRIC
from tuneloop.modelfile import ScheduleSettings
from tuneloop.monitoring import alerts
from tuneloop.monitoring.monitors import table
from tuneloop.monitoring.monitors.table import Every
from tuneloop.online_evaluation import golden, judging, measuring, sampling
from tuneloop.project import Project
from tuneloop.retraining import cycles, decisions, levels, new_data, trigger_inputs
from tuneloop.retraining.cycle_end import WORKER
from tuneloop.worker.schedule import NEVER


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something that is done for a model again and again.

    A job that was killed is done again, so it must be one that may be: what it did is found in the
    stores and not done a second time, or does no harm there.
    """

    name: str
    cadence: Callable[[ScheduleSettings], str]
    run: Callable[[Project], str]
    """Does it; says what came of it, in one line for the log."""
    on_deployment: bool = False
    """Also as soon as another bundle is in production."""


def _monitor(every: Every, project: Project) -> str:
    due = table.due(every, task=measuring.watched_task(project))
    if every == "day":
        due = (*due, EVERY_METRIC)
    measurements = measuring.measure(project, only=due)
    crossed = [
        measurement.monitor for measurement in measurements if measurement.verdict == "alert"
    ]
    return f"{len(measurements)} measurements, beyond their limits: {', '.join(crossed) or 'none'}"


def _ask_golden(project: Project) -> str:
    measured = golden.run_golden(project, project.workspace.now())
    return "no golden suite" if measured is None else measured.message


def _judge(project: Project) -> str:
    run = judging.judge_traffic(project, project.workspace.now())
    return "no judge is declared" if run is None else run.standing


def _sample(project: Project) -> str:
    sample = sampling.queue_sample(project, project.workspace.now())
    return f"{sample.new} answers of {sample.week} were put into the review queue"


def _decide(project: Project) -> str:
    decision = decisions.decide(project)
    if not levels.starts_cycle(decision, project.model):
        return f"{decision.action}: {decision.reason}"
    try:
        cycle = cycles.ask(project, reason=decision.reason, actor=WORKER)
    except BusyError as e:
        return f"no other cycle: {e.message}"
    return f"cycle {cycle.id}: {decision.reason}"


def _look_at_sources(project: Project) -> str:
    """Tell of files that do not fit, and decide at once where enough is new."""
    now = project.workspace.now()
    sources = trigger_inputs.sources_now(project, now)
    if sources is None:
        return "no dataset version to hold the sources against"
    measurement = new_data.measured(sources, now)
    last = next(
        (
            alert
            for alert in alerts.listing(project.workspace, project.model.name)
            if alert.monitor == new_data.RULE
        ),
        None,
    )
    # The same files are said once, not at every look.
    if last is None or last.message != measurement.message:
        alerts.apply(
            project.workspace, model=project.model.name, measurements=[measurement], now=now
        )
    found = new_data.finding(sources, project.model.triggers)
    if found.state == "fired" and project.model.schedule.triggers != NEVER:
        return _decide(project)
    return found.message


# In this order where several are due: triggers look at what was measured just before.
JOBS: tuple[Job, ...] = (
    Job(name="golden", cadence=lambda s: s.golden, run=_ask_golden, on_deployment=True),
    Job(name="judge", cadence=lambda s: s.judge, run=_judge),
    Job(name="sample", cadence=lambda s: s.sample, run=_sample),
    Job(name="hourly monitors", cadence=lambda s: s.hourly_monitors, run=partial(_monitor, "hour")),
    Job(name="daily monitors", cadence=lambda s: s.daily_monitors, run=partial(_monitor, "day")),
    Job(name="weekly monitors", cadence=lambda s: s.weekly_monitors, run=partial(_monitor, "week")),
    Job(name="sources", cadence=lambda s: s.sources, run=_look_at_sources),
    Job(name="triggers", cadence=lambda s: s.triggers, run=_decide),
)
