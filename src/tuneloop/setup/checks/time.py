"""Time: what each step of a cycle will take, said before the first of them begins."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from tuneloop.deployment.backends import table
from tuneloop.errors import TuneloopError
from tuneloop.evaluation.plan import base_cases_of
from tuneloop.evaluation.suites import WATCHED
from tuneloop.setup import speeds
from tuneloop.setup.checks.room import computes_on_gpu
from tuneloop.setup.checks.suites import share_of
from tuneloop.setup.checks.window import trained
from tuneloop.setup.estimate import (
    REPEATED_ANSWERS,
    Asked,
    Expected,
    Speeds,
    Work,
    elsewhere,
    expected,
    sentence,
)
from tuneloop.setup.finding import Finding, UnseenError, ok
from tuneloop.setup.look import Look
from tuneloop.training.config import TrainingConfig

_FILE = "gguf"
"""The untuned base is served from a file of this form."""


def time(look: Look) -> Iterator[Finding]:
    """What a cycle that does everything will take; what was made before is used again."""
    said = sentence(steps(look), at_least=not look.rows.whole)
    if not look.is_first:
        said += " What was made before is used again and takes no time."
    yield ok("time", said)


def steps(look: Look) -> list[Expected]:
    """About how long each step will take, and where that is known from.

    Raises:
        TuneloopError, UnseenError: the base or the rows cannot be read.
    """
    return expected(_work(look), _speeds(look))


def told(look: Look) -> list[Expected]:
    """`steps`, as far as they are known: none where the base or the rows cannot be read."""
    try:
        return steps(look)
    except (TuneloopError, UnseenError):
        return []


def _speeds(look: Look) -> Speeds:
    known = speeds.recorded(look.project)
    config = TrainingConfig.from_settings(look.model.training.model_dump(mode="json"))
    if computes_on_gpu(config):  # of which there is no table
        return known
    table_of_cpu = elsewhere(look.base.architecture.parameters)
    return Speeds(
        train=known.train or (table_of_cpu.train if config.method == "lora" else None),
        export=known.export or table_of_cpu.export,
        evaluate=known.evaluate or table_of_cpu.evaluate,
    )


def _work(look: Look) -> Work:
    model, tokens = look.model, look.tokens
    most = model.endpoint.max_tokens
    held_out = round(share_of(model, rows=len(tokens)) * len(tokens))
    prompt = fmean(len(row.prompt) for row in tokens) if tokens else 0.0
    answer = fmean(min(len(row.answer), most) for row in tokens) if tokens else 0.0
    window = trained(look).tokens
    learnt = [len(row) for row in tokens if len(row) <= window]  # the others are left out
    cases = held_out + _in_suites(look) + REPEATED_ANSWERS
    reader = table.reader_of(_FILE)
    conditions = reader.conditions(model.endpoint, digest="")
    return Work(
        trained_tokens=sum(learnt) * (1 - held_out / max(1, len(tokens))) * model.training.epochs,
        candidate=Asked(cases=cases, prompt_tokens=prompt, answer_tokens=answer),
        base=Asked(
            cases=_of_base(look, held_out) * look.is_first,  # its answers are kept
            prompt_tokens=prompt,
            # It does not know where to end: half-way to the limit.
            answer_tokens=(answer + most) / 2,
        ),
        at_once=reader.servers_at_once(conditions) >= 2,
        at_least=not look.rows.whole,
    )


def _of_base(look: Look, held_out: int) -> int:
    """The cases that the base is asked: held-out ones, and of the suites that watch the tuning."""
    settings = look.model.evaluation
    at_most = base_cases_of(look.model.task, settings)
    watched = [look.suite(one) for one in settings.suites if one.kind in WATCHED]
    cases = [held_out, *(len(suite.cases) for suite in watched)]
    return sum(count if at_most is None else min(at_most, count) for count in cases)


def _in_suites(look: Look) -> int:
    return sum(len(look.suite(declared).cases) for declared in look.model.evaluation.suites)
