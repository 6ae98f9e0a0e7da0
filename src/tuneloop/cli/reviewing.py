"""The walk through the review queue: shows one item after the other and takes what is decided."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuneloop.cli.terminal import out

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop
    from tuneloop.retraining.review import Decision, Judgement, ReviewItem

_KEYS = {
    "a": "[a]pprove",
    "e": "[e]dit",
    "r": "[r]eject",
    "s": "[s]kip",
    "q": "[q]uit",
}
_DECIDED: dict[str, Decision] = {"r": "rejected", "s": "skipped"}


def walk(loop: Loop, reviewer: str) -> list[tuple[str, float]]:
    """Ask about every item that waits for this person; decision and seconds of each."""
    from tuneloop.retraining import review

    items = review.waiting(loop.workspace, loop.model.name, reviewer)
    # Polars, once loaded, catches SIGINT so that a read goes on: Ctrl-C would wait for Enter.
    signal.siginterrupt(signal.SIGINT, True)
    spent: list[tuple[str, float]] = []
    for number, item in enumerate(items, start=1):
        began = time.monotonic()
        out.rule(f"{number}/{len(items)}")
        decision = _ask(item, _disagreement(loop, item))
        if decision is None:
            break
        chosen, final = decision
        seconds = time.monotonic() - began
        status = review.decide(
            loop.workspace,
            model=loop.model.name,
            item=item.id,
            decision=chosen,
            reviewer=reviewer,
            final=final,
            seconds=seconds,
        )
        if status == "second":
            out.print("Another person judges this one too.")
        elif status == "disputed":
            out.print("You two disagree: somebody settles it.")
        spent.append((chosen, seconds))
    return spent


def _disagreement(loop: Loop, item: ReviewItem) -> Sequence[Judgement]:
    """What two people said about a disputed item; nothing about any other."""
    from tuneloop.retraining import review

    if item.status != "disputed":
        return ()
    return [
        one
        for one in review.judgements(loop.workspace, loop.model.name)
        if one.item == item.id and one.decision != "skipped"
    ]


def _ask(item: ReviewItem, disagreement: Sequence[Judgement]) -> tuple[Decision, str | None] | None:
    """What the person decided about one item; None to stop here."""
    from rich.prompt import Prompt

    answers = _show(item, disagreement)
    numbers = [str(number) for number in range(1, len(answers) + 1)]
    shown = ", ".join([*_KEYS.values(), *([f"[1–{len(answers)}] that answer"] if answers else [])])
    key = Prompt.ask(
        shown.replace("[", "\\["), choices=[*_KEYS, *numbers], default="a", console=out
    )
    if key == "q":
        return None
    if key == "e":
        return "approved", _edited(item.proposal)
    if key == "a":
        # What was read, not what a client may have sent since.
        return "approved", item.proposal
    if key in numbers:
        return "approved", answers[int(key) - 1]
    return _DECIDED[key], None


def _show(item: ReviewItem, disagreement: Sequence[Judgement]) -> list[str]:
    """Print the item; returns the answers that a number chooses."""
    from rich.markup import escape

    out.print(f"[bold]Asked[/]    {escape(item.question)}")
    if item.answer:
        out.print(f"[bold]Answered[/] {escape(item.answer)}")
    answers = {str(one["answer"]): [_where(one["rows"])] for one in item.detail.get("answers", ())}
    for one in disagreement:
        if one.final is None:
            out.print(f"{escape(one.reviewer)} rejected it")
        else:
            answers.setdefault(one.final, []).append(f"{one.reviewer} approved")
    for number, (answer, notes) in enumerate(answers.items(), start=1):
        out.print(f"[bold]{number}[/] {escape(answer)}  [dim]{escape('; '.join(notes))}[/]")
    out.print(f"[bold]Proposed[/] [green]{escape(item.proposal)}[/]")
    return list(answers)


def _where(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{rows[0]}{more}"


def _edited(proposal: str) -> str:
    from rich.prompt import Prompt

    while not (edited := Prompt.ask("The right answer", default=proposal, console=out).strip()):
        out.print("An empty answer cannot be approved.")
    return edited
