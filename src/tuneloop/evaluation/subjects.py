"""What a candidate is compared with, and how that is asked: as it would be served itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.suites import GENERAL, WATCHED, Suite, as_served
from tuneloop.evaluation.targets import Answer, ChatTarget, FormedTarget


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Somebody who is asked the cases of an evaluation."""

    target: ChatTarget
    """with its own sampling"""
    system: str | None = None
    """its own system text; None: it is asked with the task's, as the candidate is"""
    known: Mapping[str, Answer] = field(default_factory=dict)
    """answers that it gave elsewhere with the same sampling: prompt digest → answer"""
    conditions: str = ""
    """what else decides its answers, such as its server's version: they are kept apart by it"""
    main_suite_only: bool = False
    """of the others it is asked those that watch the tuning: `suites.WATCHED`"""
    main_cases: int | None = None
    """so many cases of a suite are enough, drawn by their ids; None: it is asked all"""
    trained_on: Mapping[str, Collection[str]] = field(default_factory=dict)
    """suite → ids of its cases that this subject was trained on; they do not count for it"""

    def suites(self, plan: EvaluationPlan) -> tuple[Suite, ...]:
        """The cases that it is asked, as they reach it."""
        main, *others = plan.suites
        asked = [s for s in others if s.kind in WATCHED or not self.main_suite_only]
        suites = tuple(suite.drawn(self.main_cases) for suite in (main, *asked))
        if self.system is None:
            return suites
        return tuple(as_served(s, task_system=plan.system, system=self.system) for s in suites)

    def target_for(self, suite: Suite) -> ChatTarget:
        """Who is asked a suite: general questions are put to it without the task's form."""
        if suite.kind == GENERAL and isinstance(self.target, FormedTarget):
            return self.target.without_form()
        return self.target

    def differences(self, label: str, plan: EvaluationPlan) -> list[str]:
        """What a reader must know who compares its figures with the candidate's."""
        mine, theirs = self.target.sampling.as_request(), plan.sampling.as_request()
        own = ["system text"] if self.system not in (None, plan.system) else []
        own += [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
        notes = []
        if own:
            notes.append(f"{label} was asked with its own {', '.join(own)}, as it is served")
        every = {suite.name: len(suite.cases) for suite in plan.suites}
        notes += [
            f"{label} was asked {len(asked.cases)} of {every[asked.name]} cases of suite "
            f"{asked.name!r}, drawn by their ids: it is compared on those"
            for asked in self.suites(plan)
            if len(asked.cases) < every[asked.name]
        ]
        if self.known:
            notes.append(f"what {label} had answered before was not asked again, latency included")
        for suite, cases in self.trained_on.items():
            if cases:
                notes.append(
                    f"{label} was trained on {len(cases)} cases of suite {suite!r}: no score of "
                    "its answers counts them, though its latency and error_share do, and it is "
                    "not compared on them"
                )
        return notes
