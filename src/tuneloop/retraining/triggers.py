"""Whether to retrain: one decision from everything that is known, with its reason. Pure rules.

nothing in production, or a cycle or rollout under way ──► do not
a person asked for it ──► retrain
no rule fired ──► do not: noise (a figure is over its limit, without evidence), or all is well
the last cycle ended not long ago ──► do not: cooldown (ask, if it failed)
too little that is new to learn from ──► ask for reviews
otherwise ──► retrain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tuneloop.datasets.source_watch import SourcesNow
from tuneloop.modelfile import TriggerSettings
from tuneloop.monitoring.measurement import Measurement
from tuneloop.retraining import new_data
from tuneloop.retraining import trigger_rules as rules
from tuneloop.retraining.trigger_rules import Finding

Action = Literal["retrain", "ask", "do_not"]
Because = Literal[
    "not_deployed",
    "under_way",
    "quiet",
    "noise",
    "cooldown",
    "failed_cycle",
    "nothing_to_learn",
    "evidence",
]

BY_HAND = 'a person: tuneloop cycle start -m "REASON"'
"""What may begin a cycle whatever the rules say."""


@dataclass(frozen=True, kw_only=True)
class PastCycle:
    """The last cycle that came to an end."""

    id: str
    status: str
    """finished, stopped or failed."""
    outcome: str
    finished_at: datetime


@dataclass(frozen=True, kw_only=True)
class Material:
    """What another cycle could learn from that no cycle has had before."""

    approved: int
    """Corrections, approved and not in a cycle that came to a verdict."""
    waiting: int
    """Corrections that nobody has decided on."""
    changed_sources: tuple[str, ...] = ()
    """Data files that bring rows which the last dataset did not have."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Whether the same cases are asked of every bundle."""

    stable: bool
    reason: str
    """What there is, or what is missing."""


@dataclass(frozen=True, kw_only=True)
class TriggerEvidence:
    """Everything that a decision stands on, as of one moment."""

    now: datetime
    level: int
    """Of automation, as declared: 1 to 4."""
    production_since: datetime | None
    """None: nothing is in production."""
    under_way: str | None
    """What is being done already: a cycle, or a rollout."""
    last_cycle: PastCycle | None
    material: Material
    benchmark: Benchmark
    measurements: Mapping[str, Sequence[Measurement]]
    """Monitor → measurements of the bundle in production, the newest first."""
    sources: SourcesNow | None = None
    """The data files as they are now, against the newest dataset that production or the last
    verdict stands on; None: it is not here."""


@dataclass(frozen=True, kw_only=True)
class RetrainDecision:
    """Retrain, ask a person, or do not; and why."""

    at: datetime
    level: int
    """Of automation, at that time."""
    action: Action
    because: Because
    reason: str
    """One or two sentences with every number that decided."""
    would_change: str
    """What would lead to another decision."""
    earliest: datetime | None
    """When that can be, at the earliest; None where no date can be told."""
    findings: tuple[Finding, ...]
    """What each rule found."""
    id: str = ""
    """Of its record; empty before it is stored."""

    @property
    def fired(self) -> tuple[str, ...]:
        """The rules that give a reason to retrain."""
        return tuple(finding.rule for finding in self.findings if finding.state == "fired")


def decide(evidence: TriggerEvidence, settings: TriggerSettings) -> RetrainDecision:
    """The decision on this evidence."""
    findings = _findings(evidence, settings)
    fired = [finding for finding in findings if finding.state == "fired"]
    cooldown = _cooldown(evidence, settings)
    if evidence.production_since is None:
        verdict = _Verdict(
            "do_not", "not_deployed", "nothing is in production", "tuneloop run makes a first one"
        )
    elif evidence.under_way is not None:
        verdict = _Verdict("do_not", "under_way", evidence.under_way, "its end")
    elif not fired:
        verdict = _without_reason(findings, cooldown)
    elif cooldown is not None:
        verdict = _cooling(fired, cooldown)
    elif not _enough(evidence.material, settings):
        verdict = _too_little(fired, evidence.material, settings)
    else:
        verdict = _Verdict("retrain", "evidence", _join(fired), "")
    return RetrainDecision(
        at=evidence.now,
        level=evidence.level,
        action=verdict.action,
        because=verdict.because,
        reason=verdict.reason,
        would_change=verdict.would_change,
        earliest=verdict.earliest,
        findings=tuple(findings),
    )


@dataclass(frozen=True)
class _Verdict:
    action: Action
    because: Because
    reason: str
    would_change: str
    earliest: datetime | None = None


@dataclass(frozen=True)
class _Cooldown:
    last: PastCycle
    until: datetime
    reason: str


def _findings(evidence: TriggerEvidence, settings: TriggerSettings) -> list[Finding]:
    material = evidence.material
    findings = [
        *rules.of_measurements(evidence.measurements, settings, now=evidence.now),
        rules.corrections(
            approved=material.approved,
            waiting=material.waiting,
            minimum=settings.minimum_corrections,
        ),
        new_data.finding(evidence.sources, settings),
    ]
    if evidence.production_since is not None:
        last = evidence.last_cycle
        since = evidence.production_since
        since = since if last is None else max(since, last.finished_at)
        findings.append(rules.refresh(since=since, now=evidence.now, days=settings.refresh_days))
    return findings


def _cooldown(evidence: TriggerEvidence, settings: TriggerSettings) -> _Cooldown | None:
    """What keeps another cycle from beginning so soon; None: one may begin."""
    last = evidence.last_cycle
    if last is None:
        return None
    stable = evidence.benchmark.stable
    days = settings.cooldown_days if stable else settings.cooldown_days_without_benchmark
    until = last.finished_at + timedelta(days=days)
    if evidence.now >= until:
        return None
    why = (
        f"{days:g} days pass between two cycles"
        if stable
        else "weekly retraining without a stable benchmark chases noise "
        f"({evidence.benchmark.reason})"
    )
    ended = f"cycle {last.id} ended on {last.finished_at:%Y-%m-%d}"
    return _Cooldown(last, until, f"{why}: {ended}, cooldown until {until:%Y-%m-%d}")


def _without_reason(findings: Sequence[Finding], cooldown: _Cooldown | None) -> _Verdict:
    suspected = [finding for finding in findings if finding.state == "suspected"]
    if not suspected:
        return _Verdict(
            "do_not",
            "quiet",
            f"nothing asks for it: {_join(findings)}",
            "a figure that is wholly beyond its limit and stays there, enough approved "
            "corrections, enough new rows in data.sources, or the regular refresh",
            _earliest([finding for finding in findings if finding.rule == "refresh"], cooldown),
        )
    return _Verdict(
        "do_not",
        "noise",
        f"this is noise, as far as the figures tell: {_join(suspected)}",
        "; ".join(f"{finding.rule}: {finding.needs}" for finding in suspected),
        _earliest(suspected, cooldown),
    )


def _earliest(findings: Sequence[Finding], cooldown: _Cooldown | None) -> datetime | None:
    """When the first of them can fire and no cooldown is in the way."""
    first = min(
        (finding.earliest for finding in findings if finding.earliest is not None), default=None
    )
    if first is None or cooldown is None:
        return first
    return max(first, cooldown.until)


def _cooling(fired: Sequence[Finding], cooldown: _Cooldown) -> _Verdict:
    last = cooldown.last
    if last.status == "failed":
        return _Verdict(
            "ask",
            "failed_cycle",
            f"cycle {last.id} failed: {last.outcome}. What speaks for retraining: {_join(fired)}",
            "tuneloop run goes on with it once the cause is mended; else it is tried again",
            cooldown.until,
        )
    return _Verdict(
        "do_not",
        "cooldown",
        f"{cooldown.reason}. What speaks for retraining: {_join(fired)}",
        f"the end of the cooldown, or {BY_HAND}",
        cooldown.until,
    )


def _enough(material: Material, settings: TriggerSettings) -> bool:
    return material.approved >= settings.minimum_corrections or bool(material.changed_sources)


def _too_little(
    fired: Sequence[Finding], material: Material, settings: TriggerSettings
) -> _Verdict:
    """A refresh alone can wait for rows; whatever else fired should not wait for reviewers."""
    minimum = settings.minimum_corrections
    lack = (
        f"only {material.approved} of {minimum} approved corrections to learn from"
        if material.approved
        else "nothing to learn from yet"
    )
    pressing = [finding for finding in fired if finding.rule != "refresh"]
    return _Verdict(
        "ask" if pressing else "do_not",
        "nothing_to_learn",
        f"{lack}: {material.waiting} items wait for review. What speaks for it: {_join(fired)}",
        f"{minimum - material.approved} more approved corrections (tuneloop review), new rows in "
        f"data.sources, or {BY_HAND}",
    )


def _join(findings: Sequence[Finding]) -> str:
    return "; ".join(finding.message for finding in findings)
