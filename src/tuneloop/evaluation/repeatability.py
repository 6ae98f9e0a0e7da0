"""Whether what was evaluated is what will be served: the same file, the same question, once more.

At temperature 0 a model's answer is decided, but a server computes it in one batch with whatever
else it has to do, and from whatever part of the prompt it remembers. Other batches are added up in
another order, and where two tokens are nearly equally likely the other one may win. So a few cases
of an evaluation are asked again in the two states that are farthest from each other: alone, with
nothing remembered, and all at once, with everything remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tuneloop import intervals
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.suites import Case
from tuneloop.evaluation.targets import Answer, ChatTarget, asked
from tuneloop.progress import Progress, Silent

REPEATED_CASES = 12
"""Asked again, spread over the main suite; each costs two answers."""


@runtime_checkable
class Forgetful(ChatTarget, Protocol):
    """A target that can be asked as if it had never seen the prompt."""

    def without_memory(self) -> ChatTarget | None:
        """The same, which reads every prompt from its first token; None: its server cannot."""


@dataclass(frozen=True, kw_only=True)
class Repeatability:
    """How many answers of an evaluation came back when they were asked for again."""

    n: int
    """Cases asked again."""
    repeated: int
    """Of those, answered in both states with the text of the evaluation."""
    alone: int
    """Answered so alone, with nothing remembered."""
    together: int
    """Answered so all at once, with everything remembered."""

    def as_json(self) -> dict[str, Any]:
        """The counts, with the share that repeated and its 95 % interval (Wilson)."""
        figure = intervals.share(self.repeated, self.n)
        return {
            "n": self.n,
            "repeated": self.repeated,
            "alone": self.alone,
            "together": self.together,
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
        }


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """What was said when it was asked again."""

    figure: Repeatability
    texts: Mapping[str, Sequence[str]]
    """case id → the answers in the two states, alone and together"""


def sentence(found: Mapping[str, Any]) -> str:
    """`as_json` of a repeatability in words."""
    share = f"{found['low']:.2f}–{found['high']:.2f}"
    if found["repeated"] < found["n"]:
        share += f"; alone {found['alone']}, at once {found['together']}"
    return f"served as evaluated: {found['repeated']} of {found['n']} answers repeated ({share})"


def repeat(
    main: SuiteResult,
    target: ChatTarget,
    *,
    concurrency: int,
    limit: int = REPEATED_CASES,
    among: int | None = None,
    progress: Progress | None = None,
) -> Repeats | None:
    """Ask some cases of the main suite again; None where there is nothing to compare.

    That is so where answers are drawn at random, or none was given. `among`: of so many cases,
    drawn by their ids, such as those that the base was asked, too; None: of all.
    """
    if target.sampling.temperature != 0:
        return None
    # An answer that was ended in a loop is no whole text to compare with.
    answered = [
        case for case in main.suite.drawn(among).cases if _is_whole(main.cases[case.id].answer)
    ]
    cases = spread(answered, limit)
    if not cases:
        return None
    progress = progress or Silent()
    progress.step(f"Asking {len(cases)} cases again, alone and {concurrency} at once")
    forgetful = target.without_memory() if isinstance(target, Forgetful) else None
    if forgetful is None:
        progress.note("the server cannot be asked to forget: alone means with what it remembers")
    alone = _ask(cases, forgetful or target, 1)
    # Asked first, so that every prompt is remembered when all come at once.
    together = _ask(cases, target, concurrency)
    before = [main.cases[case.id].answer for case in cases]
    return Repeats(
        figure=repeats_in(before, alone, together),
        texts={
            case.id: [answer.text for answer in again if answer.error is None]
            for case, *again in zip(cases, alone, together, strict=True)
        },
    )


def repeats_in(
    before: Sequence[Answer], alone: Sequence[Answer], together: Sequence[Answer]
) -> Repeatability:
    """Count the answers that came back; pure. One that fails does not."""
    by_itself = [_same(a, b) for a, b in zip(before, alone, strict=True)]
    with_others = [_same(a, b) for a, b in zip(before, together, strict=True)]
    return Repeatability(
        n=len(before),
        repeated=sum(a and b for a, b in zip(by_itself, with_others, strict=True)),
        alone=sum(by_itself),
        together=sum(with_others),
    )


def spread(cases: Sequence[Case], limit: int) -> list[Case]:
    """At most `limit` of the cases, from all over them; pure."""
    limit = min(limit, len(cases))
    return [cases[i * len(cases) // limit] for i in range(limit)]


def _is_whole(answer: Answer) -> bool:
    return answer.error is None and not answer.loops


def _same(before: Answer, again: Answer) -> bool:
    return again.error is None and again.text == before.text


def _ask(cases: Sequence[Case], target: ChatTarget, at_once: int) -> list[Answer]:
    with ThreadPoolExecutor(at_once, thread_name_prefix="again") as pool:
        return list(pool.map(lambda case: asked(target, case), cases))
