"""What to do next, from what is known of a model: pure rules, facts in, advice out.

The order is that of urgency: who cannot be served, what live traffic says, what an erasure left,
what was begun and is not done, what waits for a person, and only then what could be begun.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from tuneloop.status.facts import (
    Candidate,
    CandidateStanding,
    Facts,
    LastCycle,
    LastRollout,
    OpenAlert,
)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One thing to do."""

    text: str
    command: str | None = None
    """What to type; None: nothing."""

    def __str__(self) -> str:
        return f"{self.text}: {self.command}" if self.command else self.text


def advise(facts: Facts) -> tuple[Advice, ...]:
    """What to do, the most urgent first; never empty."""
    rules = (_serving, _alerts, _erasures, _rollout, _cycle, _candidate, _reviews, _begin, _worker)
    advice = tuple(chain.from_iterable(rule(facts) for rule in rules))
    return advice or (_nothing(facts),)


def _nothing(facts: Facts) -> Advice:
    cycle, rollout = facts.cycle, facts.rollout
    if cycle is not None and cycle.under_way:
        return Advice(
            text=f"Nothing: cycle {cycle.id} is {cycle.status}. See how it goes",
            command="tuneloop cycle show latest",
        )
    if rollout is not None and rollout.status == "running":
        return Advice(
            text=f"Nothing: rollout {rollout.id} is under way. See how it goes",
            command="tuneloop rollout status",
        )
    return Advice(text="Nothing: all is well.")


def _serving(facts: Facts) -> Iterable[Advice]:
    live = facts.live
    if live is None:
        return
    if not facts.gateway_runs:
        yield Advice(text="Serve it", command="tuneloop up")
    elif live.server != "ready" and live.switching_from:
        yield Advice(
            text=f"Nothing: {', '.join(live.switching_from)} answers until the model server of "
            "production is ready"
        )
    elif live.server != "ready":
        yield Advice(
            text=f"The model server of {live.bundle} is {live.server}: look into the logs of the "
            "workspace, and check the machine",
            command="tuneloop doctor",
        )


def _alerts(facts: Facts) -> Iterable[Advice]:
    if not facts.alerts:
        return
    live = facts.live.bundle if facts.live else None
    if any(not of_another(alert, live) for alert in facts.alerts):
        yield Advice(text="Look into the alerts", command="tuneloop alert list")
    else:
        yield Advice(
            text="The open alerts are about a bundle that is no longer in production; measure the "
            "present one",
            command="tuneloop monitor run",
        )
    if _going_back_may_help(facts):
        yield Advice(
            text=f"Go back to {facts.previous} if the new bundle is to blame",
            # By its name: who reads this late does not undo what a colleague has done since.
            command=f"tuneloop rollback --from {live}",
        )


def of_another(alert: OpenAlert, live: str | None) -> bool:
    """Whether an alert was last seen on another bundle than the one in production."""
    return bool(alert.measured) and alert.measured[-1] != live


def _going_back_may_help(facts: Facts) -> bool:
    """Only if the alert came with the bundle in production, and the one before is not as bad.

    What was gone back from is: its alerts may be resolved, for it is measured no more.
    """
    live, previous = facts.live, facts.previous
    if live is None or previous is None or _under_way(facts.rollout):
        return False
    if facts.came_by_rollback:
        return False
    if any(previous in alert.measured for alert in facts.alerts):
        return False
    if any(erased.role == "previous" for erased in facts.erased):
        return False
    return any(
        alert.since_live and alert.opened_on == live.bundle and set(alert.measured) == {live.bundle}
        for alert in facts.alerts
    )


def _erasures(facts: Facts) -> Iterable[Advice]:
    held = {erased.role: erased for erased in facts.erased}
    if "production" in held:
        erased = held["production"]
        told = (
            f"{erased.bundle} in production was made of rows that erasure {erased.erasure} deleted"
        )
        other = facts.candidate
        if other is not None and "candidate" not in held and _may_go_on(other):
            yield Advice(text=f"{told}; candidate {other.bundle} was not: see below")
        elif not (facts.cycle and facts.cycle.under_way):
            yield Advice(text=f"{told}: retrain without them", command="tuneloop run")
    elif "previous" in held:
        erased = held["previous"]
        yield Advice(
            text=f"Do not go back to {erased.bundle}: it was made of rows that "
            f"erasure {erased.erasure} deleted. The next deployment takes it out of service; "
            "then delete it",
            command="tuneloop bundle show previous",
        )
    if "candidate" in held:
        erased = held["candidate"]
        yield Advice(
            text=f"Candidate {erased.bundle} was made of rows that erasure {erased.erasure} "
            "deleted: reject it",
            command=f'tuneloop reject candidate -m "erasure {erased.erasure}"',
        )


def _rollout(facts: Facts) -> Iterable[Advice]:
    rollout = facts.rollout
    if rollout is None:
        return
    if rollout.status == "paused":
        yield Advice(
            text=f"Rollout {rollout.id} is paused ({rollout.detail}): go on with it",
            command="tuneloop rollout resume",
        )
        yield Advice(text="Or end it", command="tuneloop rollout abort")
    elif rollout.status == "running" and rollout.asks:
        yield Advice(
            text=f"Rollout {rollout.id} waits for a person ({rollout.detail}): look, then promote "
            "or abort it",
            command="tuneloop rollout status",
        )
    elif _took_back(rollout, facts.candidate):
        yield Advice(
            text=f"Rollout {rollout.id} took candidate {rollout.candidate} back "
            f"({rollout.detail}): see what it saw, and make a better one",
            command=f"tuneloop rollout status {rollout.id}",
        )


def _took_back(rollout: LastRollout | None, candidate: Candidate | None) -> bool:
    """Whether it was this rollout that took the candidate back."""
    if rollout is None or candidate is None or candidate.standing != "taken back":
        return False
    return rollout.candidate == candidate.bundle and not _under_way(rollout)


def _cycle(facts: Facts) -> Iterable[Advice]:
    cycle = facts.cycle
    if cycle is None:
        return
    if cycle.status == "failed":
        yield Advice(
            text=f"Cycle {cycle.id} failed: {cycle.outcome} Mend the cause, then go on where it "
            "was",
            command="tuneloop run",
        )
    elif cycle.status == "running" and not cycle.at_work and not facts.worker_alive:
        yield Advice(
            text=f"Cycle {cycle.id} was interrupted: go on where it was", command="tuneloop run"
        )
    elif cycle.status == "asked" and not facts.worker_alive:
        yield Advice(
            text=f"Cycle {cycle.id} is asked for, and no worker is running: do it here",
            command="tuneloop run",
        )
    elif cycle.status == "waiting" and not facts.worker_alive and _has_come(facts, cycle):
        yield Advice(
            text=f"What cycle {cycle.id} waited for has come: go on with it", command="tuneloop run"
        )
    elif _stopped_after_it_passed(facts) or _stopped_without_candidate(facts):
        yield Advice(
            text=f"Cycle {cycle.id} stopped: {cycle.outcome} Mend the cause, then try again",
            command="tuneloop run",
        )


def _has_come(facts: Facts, cycle: LastCycle) -> bool:
    live = facts.live.bundle if facts.live else None
    return _of_candidate(facts, "accepted", "rejected", "taken back") or cycle.bundle == live


def _stopped_after_it_passed(facts: Facts) -> bool:
    """For example at its smoke test."""
    cycle, candidate = facts.cycle, facts.candidate
    return (
        cycle is not None
        and candidate is not None
        and (cycle.status, cycle.bundle) == ("stopped", candidate.bundle)
        and candidate.standing == "accepted"
    )


def _stopped_without_candidate(facts: Facts) -> bool:
    """For example because an export changed what the model says."""
    cycle = facts.cycle
    return (
        cycle is not None
        and cycle.status == "stopped"
        and cycle.bundle is None
        and not _of_candidate(facts, "refused", "rejected", "taken back")
    )


def _candidate(facts: Facts) -> Iterable[Advice]:
    candidate = facts.candidate
    if candidate is None or any(erased.role == "candidate" for erased in facts.erased):
        return
    read = f"tuneloop evaluation show {candidate.evaluation}" if candidate.evaluation else ""
    if candidate.standing == "waits":
        look = "tuneloop bundle diff production candidate" if facts.live else ""
        yield Advice(
            text=f"Look at candidate {candidate.bundle}",
            command=look or read or "tuneloop bundle show candidate",
        )
        for kind in candidate.kinds:
            flag = "" if kind == "deploy" else f" --kind {kind}"
            yield Advice(
                text=f"Then approve it, or reject it ({kind}: {candidate.reason})",
                command=f"tuneloop approve candidate{flag}",
            )
    elif candidate.standing == "accepted" and not _settled_by_cycle(facts):
        start = "rollout start" if facts.rolls_out and facts.live else "deploy"
        yield Advice(
            text=f"Candidate {candidate.bundle} passed ({candidate.reason}): put it into "
            "production",
            command=f"tuneloop {start} candidate",
        )
    elif candidate.standing == "outdated" and not (facts.cycle and facts.cycle.under_way):
        yield Advice(
            text=f"Candidate {candidate.bundle} was compared with another bundle than the one in "
            "production: compare it again",
            command="tuneloop run",
        )
    elif candidate.standing == "refused":
        yield Advice(
            text=f"Candidate {candidate.bundle} was refused: {candidate.reason}. Read its report",
            command=read or "tuneloop bundle show candidate",
        )
    elif candidate.standing == "taken back" and not _took_back(facts.rollout, candidate):
        yield Advice(
            text=f"Candidate {candidate.bundle} {candidate.reason}: make a better one; or, where "
            "that was not its fault, let it try again",
            command="tuneloop readmit candidate -m WHY",
        )
    elif candidate.standing == "rejected" and facts.live is None:
        yield Advice(
            text=f"Candidate {candidate.bundle} was rejected ({candidate.reason}): make another "
            "one, of other rows or with other settings",
            command="tuneloop run",
        )


def _settled_by_cycle(facts: Facts) -> bool:
    """Whether a cycle takes an accepted candidate further, or says what keeps it."""
    cycle = facts.cycle
    return cycle is not None and (cycle.under_way or _stopped_after_it_passed(facts))


def _reviews(facts: Facts) -> Iterable[Advice]:
    if facts.disputed_reviews:
        yield Advice(
            text=f"Settle what two people judged differently ({facts.disputed_reviews})",
            command="tuneloop review list --status disputed",
        )
    if facts.open_reviews:
        yield Advice(text=f"Review what waits ({facts.open_reviews})", command="tuneloop review")


def _begin(facts: Facts) -> Iterable[Advice]:
    """What could be begun, where nothing is under way or waits to be decided."""
    busy = facts.cycle is not None and (facts.cycle.under_way or facts.cycle.status == "failed")
    if busy or _under_way(facts.rollout) or (facts.candidate and _may_go_on(facts.candidate)):
        return
    ended = facts.cycle is None or facts.cycle.status in ("finished", "cancelled")
    if facts.live is None and facts.candidate is None and ended:
        yield Advice(text="Make and deploy a first bundle", command="tuneloop run")
    elif facts.new_corrections >= facts.minimum_corrections:
        yield Advice(
            text=f"Retrain on {facts.new_corrections} approved corrections", command="tuneloop run"
        )
    elif facts.live and facts.changed_sources and not _of_candidate(facts, *_SETTLED_AGAINST):
        yield Advice(
            text="See what the changed data files would bring", command="tuneloop data sources"
        )


_SETTLED_AGAINST: tuple[CandidateStanding, ...] = ("refused", "rejected", "taken back")
"""What was made of newer rows and did not go live."""


def _worker(facts: Facts) -> Iterable[Advice]:
    if facts.live and facts.gateway_runs and facts.scheduled and not facts.worker_alive:
        yield Advice(
            text="No worker is running, so nothing is measured or decided on schedule: start one",
            command="tuneloop worker",
        )


def _under_way(rollout: LastRollout | None) -> bool:
    return rollout is not None and rollout.status in ("running", "paused")


def _may_go_on(candidate: Candidate) -> bool:
    return candidate.standing in ("waits", "accepted", "outdated", "rolling out")


def _of_candidate(facts: Facts, *standings: CandidateStanding) -> bool:
    return facts.candidate is not None and facts.candidate.standing in standings
