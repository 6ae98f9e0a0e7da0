"""What a candidate is compared with, and how that is asked: as it would be served itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.suites import Suite, as_served
from tuneloop.evaluation.targets import Answer, ChatTarget


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
    """its answers to the other suites would decide nothing"""
    main_cases: int | None = None
    """so many cases of the main suite are enough, drawn by their ids; None: it is asked all"""
    trained_on: Mapping[str, Collection[str]] = field(default_factory=dict)
    """suite → ids of its cases that this subject was trained on; they do not count for it"""

    def suites(self, plan: EvaluationPlan) -> tuple[Suite, ...]:
        """The cases that it is asked, as they reach it."""
        main, *others = plan.suites
        suites = (main.drawn(self.main_cases), *(() if self.main_suite_only else others))
        if self.system is None:
            return suites
        return tuple(as_served(s, task_system=plan.system, system=self.system) for s in suites)

    def differences(self, label: str, plan: EvaluationPlan) -> list[str]:
        """What a reader must know who compares its figures with the candidate's."""
        mine, theirs = self.target.sampling.as_request(), plan.sampling.as_request()
        own = ["system text"] if self.system not in (None, plan.system) else []
        own += [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
        notes = []
        if own:
            notes.append(f"{label} was asked with its own {', '.join(own)}, as it is served")
        main, asked = plan.main_suite, self.suites(plan)[0]
        if len(asked.cases) < len(main.cases):
            notes.append(
                f"{label} was asked {len(asked.cases)} of {len(main.cases)} cases of suite "
                f"{main.name!r}, drawn by their ids: it is compared on those"
            )
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
