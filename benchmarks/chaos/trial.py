"""One fault as it is played: what was sent, what came back, what was kept, what was wrong.

sent      requests
answered  those that got what is right for them, whole: an answer, or, where the fault is such that
          an error is the right answer, one of the expected errors in the OpenAI format
captured  interactions of whole answers, errors included, that are in the table of the traffic
lost      those that are not, less what `/metrics` counts as dropped for a reason
doubled   interactions that are in the table more than once
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaos.client import CUT, OK, Answer


@dataclass(frozen=True, kw_only=True)
class Size:
    """How hard a fault strikes."""

    clients: int
    """that ask at the same time"""
    answers: int
    """to wait for in each phase of a fault"""
    kills: int
    """of a gateway"""
    server_kills: int
    """of a model server or controller: the supervisor waits longer after each"""
    connections: int
    """that are opened and left idle"""
    attackers: int
    """connections of an attack that needs many"""
    ill_seconds: float
    """how long a model server is ill at least; one that is spared is tried every two seconds"""
    locked_seconds: float
    """how long the database is locked"""


FULL = Size(
    clients=8,
    answers=300,
    kills=20,
    server_kills=3,
    connections=2_000,
    attackers=200,
    ill_seconds=4.5,
    locked_seconds=20.0,
)
SMALL = Size(
    clients=3,
    answers=20,
    kills=2,
    server_kills=1,
    connections=2_000,
    attackers=20,
    ill_seconds=0.2,
    locked_seconds=1.0,
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a fault is played, and how hard."""

    folder: Path
    """Of this fault alone."""
    size: Size
    model: Callable[[], Path]
    """A tiny GGUF model, made when it is first asked for."""


@dataclass(kw_only=True)
class Outcome:
    """What a fault showed."""

    sent: int = 0
    answered: int = 0
    captured: int = 0
    lost: int = 0
    doubled: int = 0
    dropped: int = 0
    """Whole answers that are not in the table and counted as dropped."""
    recovered_seconds: float = 0.0
    """From the end of the fault to the next ordinary answer; of several faults, the longest."""
    memory_mb: dict[str, float] = field(default_factory=dict)
    """Resident memory of the gateway: at its start, and the most it took."""
    answers: dict[str, int] = field(default_factory=dict)
    """How many requests ended how."""
    problems: list[str] = field(default_factory=list)
    """Expectations that were not met."""

    @property
    def passed(self) -> bool:
        """Whether nothing is lost, doubled or otherwise wrong."""
        return not (self.lost or self.doubled or self.problems)


class Trial:
    """Takes in what happens and says what came of it."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._answers: list[Answer] = []

    def expect(self, holds: object, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.outcome.problems.append(f"expected {what}")

    def recovered(self, seconds: float) -> None:
        """Note how long it took; the longest counts."""
        longest = max(self.outcome.recovered_seconds, seconds)
        self.outcome.recovered_seconds = round(longest, 3)

    def count(
        self, answers: Sequence[Answer], *, errors: Iterable[str] = (), may_break: bool = False
    ) -> None:
        """Judge answers to ordinary requests.

        errors: codes of errors that are right answers too. may_break: whether a connection may end
        before its answer, because the process at its other end was killed.
        """
        self._answers += answers
        right = {OK, *errors}
        ended = Counter(answer.outcome for answer in answers)
        self.outcome.sent += len(answers)
        self.outcome.answered += sum(n for outcome, n in ended.items() if outcome in right)
        self.outcome.answers = dict(Counter(self.outcome.answers) + ended)
        allowed = right | {CUT} if may_break else right
        for outcome in sorted(ended.keys() - allowed):
            example = next(a for a in answers if a.outcome == outcome)
            self.outcome.problems.append(
                f"expected no answer {outcome!r}, got {ended[outcome]}, e.g. status "
                f"{example.status} {example.body[:200]!r}"
            )

    def check(self, answer: Answer, *expected: str, what: str) -> None:
        """Judge the answer to one request that has an expected outcome, or several."""
        self._answers.append(answer)
        self.outcome.sent += 1
        self.outcome.answered += answer.outcome in expected
        ended = Counter({answer.outcome: 1})
        self.outcome.answers = dict(Counter(self.outcome.answers) + ended)
        self.expect(
            answer.outcome in expected,
            f"{' or '.join(expected)} for {what}, got {answer.outcome} (status {answer.status})",
        )

    def settle(self, rows: Sequence[Mapping[str, Any]], *, dropped: int) -> None:
        """Compare what clients hold with the rows of the table.

        dropped: answers that `/metrics` counts as not captured, for a reason.
        """
        kept = Counter(row["id"] for row in rows)
        held = {a.interaction: a for a in self._answers if a.whole and a.interaction}
        missing = held.keys() - kept.keys()
        self.outcome.captured = len(held) - len(missing)
        self.outcome.dropped = min(dropped, len(missing))
        self.outcome.lost = len(missing) - self.outcome.dropped
        self.outcome.doubled = sum(count > 1 for count in kept.values())
        for row in rows:
            if (answer := held.get(row["id"])) is not None:
                self._compare(answer, row)

    def _compare(self, answer: Answer, row: Mapping[str, Any]) -> None:
        """What broke off may have been captured further than it got to the client."""
        kept, got = row["response"], answer.text
        self.expect(
            kept == got or (row["error"] and kept.startswith(got)),
            f"to have captured what the client got ({row['id']}, {row['error']}): "
            f"{kept[:80]!r} instead of {got[:80]!r}",
        )

    def report(self) -> dict[str, Any]:
        """The outcome as it is written down."""
        return asdict(self.outcome)


Fault = Callable[[Trial, Place], None]


def play(fault: Fault, place: Place) -> Outcome:
    """Play one fault from its start to the last account."""
    trial = Trial()
    place.folder.mkdir(parents=True)
    fault(trial, place)
    return trial.outcome
