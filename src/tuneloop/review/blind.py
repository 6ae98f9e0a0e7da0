"""Which of two answers people prefer who do not know whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from tuneloop import intervals
from tuneloop.agreement import kappa
from tuneloop.errors import UsageError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation.judging.pairs import won_minus_lost
from tuneloop.evaluation.record import Evaluation
from tuneloop.evaluation.side_by_side import Pair, pairs, reference_in
from tuneloop.intervals import Figure
from tuneloop.registry import audit, people
from tuneloop.review.outcome import same_person
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

Choice = Literal["candidate", "reference", "tie"]
Letter = Literal["A", "B", "tie"]


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What one person preferred in one pair; the last one of a person counts."""

    case: str
    person: str
    choice: Choice
    seconds: float | None
    """time that it took, where it was measured"""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class PeopleAgree:
    """How far two people chose the same, of the pairs that at least two looked at."""

    n: int
    """pairs"""
    observed: Figure
    """share with the same choice"""
    kappa: Figure | None
    """Cohen's; None where everybody chose the same all the time"""


@dataclass(frozen=True, kw_only=True)
class BlindComparison:
    """What people prefer: the candidate's answers of an evaluation, or a reference's."""

    evaluation: str
    reference: str
    """production, base"""
    pairs: int
    """that there are, the identical ones left out"""
    identical: int
    """pairs of the same answer twice, which nobody is shown"""
    judged: int
    """pairs that somebody chose in"""
    candidate: int
    """pairs in which more people preferred the candidate's answer"""
    other: int
    """pairs in which more people preferred the reference's"""
    ties: int
    """pairs in which nobody preferred one, or as many the one as the other"""
    share: Figure | None
    """of the decided pairs, those that the candidate won; Wilson's interval; None without any"""
    difference: Figure | None
    """share of the judged pairs that it won minus the share that it lost; pairs of one group are
    not independent"""
    p_value: float | None
    """exact sign test of won against lost, two-sided"""
    people: Mapping[str, Mapping[str, int]]
    """person → choice → pairs"""
    agreement: PeopleAgree | None
    """None while no pair was judged by two"""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One person before the pairs of one evaluation against one reference."""

    workspace: Workspace
    model: str
    evaluation: str
    reference: str
    """production, base"""
    person: str
    """who chooses"""
    pairs: tuple[Pair, ...]
    """all of them, in the order in which they are shown"""

    @property
    def to_choose(self) -> list[Pair]:
        """Those that differ."""
        return [pair for pair in self.pairs if not pair.identical]

    def waiting(self) -> list[Pair]:
        """Those that this person has not chosen in yet."""
        done = {vote.case for vote in self.votes() if same_person(vote.person, self.person)}
        return [pair for pair in self.to_choose if pair.case not in done]

    def choose(self, letters: Mapping[str, Letter], *, seconds: float | None = None) -> int:
        """Keep choices, pair id → A, B or tie; returns how many.

        A choice in a pair that the person has chosen in before takes the place of the earlier one.
        `seconds` is the time that each took.

        Raises:
            NotAllowedError: people are declared, and this person may not review.
            UsageError: nobody chooses, or there is no such pair.
        """
        person = self.person.strip()
        if not person:
            raise UsageError("Nobody chooses.", remedy="Say who you are: --reviewer NAME")
        people.allow(self.workspace, person, "review", model=self.model)
        by_id = {pair.id: pair for pair in self.pairs}
        if unknown := next((given for given in letters if given not in by_id), None):
            raise UsageError(
                f"There is no pair {unknown!r} in evaluation {self.evaluation} against "
                f"{self.reference}.",
                remedy="Name the evaluation, and --with, that the sheet was written for.",
            )
        if not letters:
            return 0
        now = self.workspace.now()
        rows = [
            {
                "evaluation": self.evaluation,
                "reference": self.reference,
                "case": by_id[given].case,
                "person": person,
                "choice": meant(by_id[given], letter),
                "first": by_id[given].first,
                "seconds": seconds,
                "at": now,
            }
            for given, letter in letters.items()
        ]
        with self.workspace.records.begin() as tx:
            tx.execute(sa.insert(tables.preferences), rows)
            audit.record(
                tx,
                model=self.model,
                actor=person,
                action="evaluation.preferred",
                detail={
                    "evaluation": self.evaluation,
                    "reference": self.reference,
                    "choices": dict(Counter(row["choice"] for row in rows)),
                },
                now=now,
            )
        return len(rows)

    def votes(self) -> list[Vote]:
        """The choice of each person in each pair, the oldest first."""
        table = tables.preferences
        query = (
            sa.select(table)
            .where(table.c.evaluation == self.evaluation, table.c.reference == self.reference)
            .order_by(table.c.id)
        )
        with self.workspace.records.begin() as tx:
            made = [record_of(Vote, row) for row in tx.execute(query)]
        last = {(vote.case, vote.person.casefold()): vote for vote in made}
        return [vote for vote in made if last[vote.case, vote.person.casefold()] is vote]

    def result(self) -> BlindComparison:
        """What the choices come to."""
        return comparison(
            self.pairs, self.votes(), evaluation=self.evaluation, reference=self.reference
        )


def desk(
    workspace: Workspace, evaluation: Evaluation, *, person: str, reference: str | None = None
) -> Desk:
    """A person before the stored answers of an evaluation.

    `reference`: production or base, by default the first of them that was asked.

    Raises:
        EvaluationError: the evaluation is not finished.
        UsageError: nobody else was asked, or not this reference.
    """
    rows = evaluations.read_answers(workspace, evaluation)
    chosen = reference_in(rows, reference, evaluation.id)
    return Desk(
        workspace=workspace,
        model=evaluation.model,
        evaluation=evaluation.id,
        reference=chosen,
        person=person,
        pairs=tuple(pairs(rows, chosen, evaluation=evaluation.id)),
    )


def meant(pair: Pair, letter: Letter) -> Choice:
    """Whose answer somebody chose who said A or B."""
    if letter == "tie":
        return "tie"
    if letter == "A":
        return pair.first
    return "reference" if pair.first == "candidate" else "candidate"


def comparison(
    shown: Sequence[Pair], votes: Sequence[Vote], *, evaluation: str, reference: str
) -> BlindComparison:
    """What these votes, one of each person on a case, come to; pure."""
    by_case: dict[str, list[Vote]] = {}
    for vote in votes:
        by_case.setdefault(vote.case, []).append(vote)
    judged = [pair for pair in shown if pair.case in by_case and not pair.identical]
    outcomes = [_outcome(by_case[pair.case]) for pair in judged]
    won, lost = outcomes.count(1), outcomes.count(-1)
    difference, p_value = won_minus_lost(outcomes, [pair.cluster for pair in judged])
    counted = {pair.case for pair in judged}
    theirs: dict[str, Counter[str]] = {}
    for vote in votes:
        if vote.case in counted:
            theirs.setdefault(vote.person, Counter())[vote.choice] += 1
    identical = sum(pair.identical for pair in shown)
    return BlindComparison(
        evaluation=evaluation,
        reference=reference,
        pairs=len(shown) - identical,
        identical=identical,
        judged=len(judged),
        candidate=won,
        other=lost,
        ties=len(judged) - won - lost,
        share=intervals.share(won, won + lost) if won + lost else None,
        difference=difference,
        p_value=p_value,
        people={person: dict(counts) for person, counts in sorted(theirs.items())},
        agreement=_agreement([by_case[pair.case] for pair in judged]),
    )


def _outcome(votes: Sequence[Vote]) -> int:
    """1: more people preferred the candidate's answer; -1: the reference's; 0: neither."""
    chosen = Counter(vote.choice for vote in votes)
    ahead = chosen["candidate"] - chosen["reference"]
    return (ahead > 0) - (ahead < 0)


def _agreement(by_pair: Sequence[Sequence[Vote]]) -> PeopleAgree | None:
    """Of the first two people who chose in each pair, told apart by their names."""
    twice = [sorted(votes[:2], key=lambda vote: vote.person.casefold()) for votes in by_pair]
    chosen = [(two[0].choice, two[1].choice) for two in twice if len(two) > 1]
    if not chosen:
        return None
    same = sum(one == other for one, other in chosen)
    return PeopleAgree(
        n=len(chosen),
        observed=intervals.share(same, len(chosen)),
        kappa=kappa(chosen),
    )
