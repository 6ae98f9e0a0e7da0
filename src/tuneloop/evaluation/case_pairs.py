"""The cases that two have answered both, metric by metric: what a comparison stands on."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from tuneloop.evaluation.decision import DecisionRule
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.paired import Paired, differences, is_ahead, paired
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.subgroups import Subgroup, adjust, compare_subgroups, is_sure, loss_of
from tuneloop.evaluation.suites import Case, Suite
from tuneloop.hashing import digest_json


@dataclass(frozen=True, kw_only=True)
class CasePairs:
    """Cases of one suite with the scores of both."""

    suite: Suite
    metrics: Mapping[str, Metric]
    """by name, those that give some case of both a score"""
    scores: Mapping[str, Mapping[str, tuple[float, float]]]
    """metric → case → its scores, the candidate's first"""
    clusters: Mapping[str, Hashable]
    """case → what it belongs to"""

    def paired(self, metric: str, *, margin: float, rule: DecisionRule, decides: bool) -> Paired:
        """What the cases show of a metric."""
        of = self.metrics[metric]
        return paired(
            of,
            list(self.scores[metric].values()),
            margin=margin,
            rule=rule,
            clusters=self._clusters(metric),
            decides=decides,
            discernment=of.discerns() if of.discerns else None,
        )

    def changed(self, metric: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Cases won and cases lost, the greatest difference first."""
        by_case = dict(zip(self.scores[metric], self._differences(metric), strict=True))

        def ahead(sign: int) -> tuple[str, ...]:
            cases = [case for case, d in by_case.items() if is_ahead(sign * d, metric)]
            return tuple(sorted(cases, key=lambda case: -abs(by_case[case])))

        return ahead(1), ahead(-1)

    def may_be_chance(self, guarding: Sequence[Paired]) -> Mapping[str, str]:
        """Guard → why it is not called worse, of those that would be if there were no others."""
        losses = [loss_of(self._differences(p.metric), self._clusters(p.metric)) for p in guarding]
        return {
            p.metric: f"{p.metric} is {p.reason}, which may be chance among {len(guarding)} guards"
            for p, adjusted in zip(guarding, adjust(losses), strict=True)
            if p.verdict == "worse" and not is_sure(adjusted)
        }

    def subgroups(
        self, main: Paired, *, margin: float, rule: DecisionRule
    ) -> tuple[Sequence[Subgroup], int]:
        """What its slices show of the main metric, and how many are too small for that."""
        return compare_subgroups(
            self.suite,
            self.scores[main.metric],
            metric=self.metrics[main.metric],
            clusters=self.clusters,
            margin=margin * main.youden,
            rule=replace(rule, worse_by=rule.worse_by * main.youden),
        )

    def _differences(self, metric: str) -> list[float]:
        return differences(self.metrics[metric], self.scores[metric].values())

    def _clusters(self, metric: str) -> list[Hashable]:
        return [self.clusters[case] for case in self.scores[metric]]


def case_pairs(
    candidate: SuiteResult,
    reference: SuiteResult,
    metrics: Sequence[Metric],
    *,
    known: Collection[str] = (),
) -> CasePairs:
    """The cases of both results that are not `known`, by every metric that scored some."""
    scores = {m.name: scores_of_both(candidate, reference, m.name, known) for m in metrics}
    return CasePairs(
        suite=candidate.suite,
        metrics={metric.name: metric for metric in metrics if scores[metric.name]},
        scores={name: of for name, of in scores.items() if of},
        clusters=clusters_of(candidate.suite),
    )


def scores_of_both(
    candidate: SuiteResult, reference: SuiteResult, metric: str, known: Collection[str]
) -> dict[str, tuple[float, float]]:
    """Case that counts for both → its scores, the candidate's first.

    What a judge did not say of the reference's answer is no case that the candidate won.
    """
    mine, theirs = _scores(candidate, metric), _scores(reference, metric)
    unjudged = {
        case
        for case, of in reference.cases.items()
        if metric in of.scores and of.scores[metric].fault == "unjudged"
    }
    return {
        case: (score, theirs[case])
        for case, score in mine.items()
        if case in theirs and case not in known and case not in unjudged
    }


def clusters_of(suite: Suite) -> dict[str, Hashable]:
    """Case → what it belongs to: its group, else whoever asks the same."""
    return {case.id: cluster_of(case) for case in suite.cases}


def cluster_of(case: Case) -> Hashable:
    """What a case belongs to."""
    return case.group or digest_json([dict(message) for message in case.messages])


def _scores(result: SuiteResult, metric: str) -> Mapping[str, float]:
    return {
        case: case_result.scores[metric].value
        for case, case_result in result.cases.items()
        if metric in case_result.scores
    }
