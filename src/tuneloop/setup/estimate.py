"""How long the steps of a cycle will take, from what earlier runs took; rules without I/O.

The work is counted in tokens: those of the rows, times the passes over them, for training; those
that are written, and a third of those that are read, for evaluation, as to write a token takes
about three times as long as to read one (docs/decisions/0014, costs). What was measured says how
many a second; where nothing was, a short table of another machine does, by the size of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tuneloop.progress import duration

Step = Literal["train", "export", "evaluate"]
REPEATED_ANSWERS = 24
"""That an evaluation asks for again: `evaluation.repeatability`, 12 cases in two states."""
_READ_SHARE = 1 / 3


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody is asked in an evaluation."""

    cases: int = 0
    prompt_tokens: float = 0.0
    """Of a case, on average."""
    answer_tokens: float = 0.0
    """The same of its answer."""

    @property
    def work(self) -> float:
        """Tokens written, and the share of those that are read that takes as long."""
        return self.cases * (self.answer_tokens + _READ_SHARE * self.prompt_tokens)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a cycle will do."""

    trained_tokens: float
    """Of all rows that are trained on, times the passes over them."""
    candidate: Asked
    base: Asked
    """Nothing where the base has answered before."""
    at_once: bool
    """The base is asked while the candidate is."""
    at_least: bool = False
    """There are more rows than were looked at."""

    @property
    def evaluated(self) -> float:
        """The work of an evaluation, in `Asked.work`."""
        mine, base = self.candidate.work, self.base.work
        return max(mine, base) if self.at_once else mine + base


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured before."""

    value: float
    """Seconds of a step, or tokens a second."""
    origin: str
    """When and where, in words."""


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What is known of how quick the steps are; None: nothing."""

    train: Measured | None
    """Tokens of rows a second."""
    export: Measured | None
    """Seconds."""
    evaluate: Measured | None
    """`Asked.work` a second, with all slots at work."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """About how long a step will take."""

    step: Step
    seconds: float | None
    """None: nobody can say."""
    origin: str
    """Where that is known from."""

    @property
    def sentence(self) -> str:
        """`train about 8:00 min (412 tokens/s, as in the last run of this base here)`."""
        if self.seconds is None:
            return f"{self.step}: not known ({self.origin})"
        return f"{self.step} about {duration(self.seconds)} ({self.origin})"


def expected(work: Work, speeds: Speeds) -> list[Expected]:
    """The steps of a cycle that take long, in their order."""
    return [
        _at(speeds.train, "train", work.trained_tokens),
        Expected(step="export", seconds=speeds.export.value, origin=speeds.export.origin)
        if speeds.export
        else _unknown("export"),
        _at(speeds.evaluate, "evaluate", work.evaluated),
    ]


def total(steps: Sequence[Expected]) -> float | None:
    """Seconds of all steps; None where one is not known."""
    seconds = [step.seconds for step in steps if step.seconds is not None]
    return sum(seconds) if len(seconds) == len(steps) else None


def sentence(steps: Sequence[Expected], *, at_least: bool = False) -> str:
    """All of it in words."""
    every, said = total(steps), "; ".join(step.sentence for step in steps)
    if every is None:
        return f"{said[:1].upper()}{said[1:]}."
    return f"{'More than' if at_least else 'About'} {duration(every)}: {said}."


SIZE_ELSEWHERE = 135e6
"""Parameters of the model of `elsewhere`'s figures."""
_ELSEWHERE = "measured on another machine, by size"


def elsewhere(parameters: int) -> Speeds:
    """What to expect of a model of this size on two CPU cores where nothing was measured yet.

    SmolLM2-135M on two cores: LoRA in fp32 on rows of 400 tokens; export with parity of one file in
    Q8_0; four slots on one core. Time grows with the parameters.
    """
    size = parameters / SIZE_ELSEWHERE
    return Speeds(
        train=a_second(200 / size, _ELSEWHERE),
        export=Measured(value=128 * size, origin=_ELSEWHERE),
        evaluate=a_second(70 / size, _ELSEWHERE),
    )


def a_second(tokens: float, where: str) -> Measured:
    """So many tokens a second, measured there."""
    shown = f"{tokens:,.0f}" if tokens >= 10 else f"{tokens:.2g}"
    return Measured(value=tokens, origin=f"{shown} tokens/s, {where}")


def _at(speed: Measured | None, step: Step, amount: float) -> Expected:
    if speed is None or speed.value <= 0:
        return _unknown(step)
    return Expected(step=step, seconds=amount / speed.value, origin=speed.origin)


def _unknown(step: Step) -> Expected:
    return Expected(step=step, seconds=None, origin="no run of this kind yet")
