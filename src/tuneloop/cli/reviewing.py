"""The walk through the review queue: shows one item after the other and takes what is decided."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop.cli.terminal import out

if TYPE_CHECKING:
    from tuneloop.project import Project
    from tuneloop.review import Decision, DeclaredForm, Judgement, ReviewItem

_KEYS = {
    "a": "[a]pprove",
    "e": "[e]dit",
    "r": "[r]eject",
    "s": "[s]kip",
    "q": "[q]uit",
}
_ANYWAY = {"!": "[!] approve anyway"}
_DECIDED: dict[str, Decision] = {"r": "rejected", "s": "skipped"}


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What the person decided about one item."""

    decision: Decision
    final: str | None = None
    anyway: bool = False
    """Although it breaks the declared form."""


def walk(project: Project, reviewer: str) -> list[tuple[str, float]]:
    """Ask about every item that waits for this person; decision and seconds of each."""
    from tuneloop import review

    items = review.waiting(project.workspace, project.model.name, reviewer)
    # Polars, once loaded, catches SIGINT so that a read goes on: Ctrl-C would wait for Enter.
    signal.siginterrupt(signal.SIGINT, True)
    form = review.declared_form(project.model)
    spent: list[tuple[str, float]] = []
    for number, item in enumerate(items, start=1):
        began = time.monotonic()
        out.rule(f"{number}/{len(items)}")
        chosen = _ask(item, _disagreement(project, item), form)
        if chosen is None:
            break
        seconds = time.monotonic() - began
        status = review.decide(
            project.workspace,
            model=project.model.name,
            item=item.id,
            decision=chosen.decision,
            reviewer=reviewer,
            final=chosen.final,
            seconds=seconds,
            form=form,
            anyway=chosen.anyway,
        )
        if status == "second":
            out.print("Another person judges this one too.")
        elif status == "disputed":
            out.print("You two disagree: somebody settles it.")
        spent.append((chosen.decision, seconds))
    return spent


def _disagreement(project: Project, item: ReviewItem) -> Sequence[Judgement]:
    """What two people said about a disputed item; nothing about any other."""
    from tuneloop import review

    if item.status != "disputed":
        return ()
    return [
        judgement
        for judgement in review.judgements(project.workspace, project.model.name)
        if judgement.item == item.id and judgement.decision != "skipped"
    ]


def _ask(item: ReviewItem, disagreement: Sequence[Judgement], form: DeclaredForm) -> _Chosen | None:
    """What the person decided about one item; None to stop here.

    An answer that breaks the declared form is not taken at once: it is kept, to be edited on or
    approved all the same.
    """
    answers = _show(item, disagreement)
    # What was read, not what a client may have sent since.
    text = item.proposal
    fault = form.fault(text)
    while True:
        if fault is not None:
            _explain(fault, form)
        key = _key(answers, broken=fault is not None)
        if key == "q":
            return None
        if key in _DECIDED:
            return _Chosen(decision=_DECIDED[key])
        if key == "e":
            text = _edited(text)
        elif key in (numbered := dict(enumerate(answers, start=1))):
            text = numbered[key]
        fault = form.fault(text)
        if fault is None or key == "!":
            return _Chosen(decision="approved", final=text, anyway=key == "!")


def _key(answers: Sequence[str], *, broken: bool) -> str | int:
    """The key that the person pressed: one of those shown, or the number of an answer."""
    from rich.prompt import Prompt

    numbers = {str(number): number for number in range(1, len(answers) + 1)}
    keys = _KEYS | (_ANYWAY if broken else {})
    shown = ", ".join([*keys.values(), *([f"[1–{len(answers)}] that answer"] if answers else [])])
    pressed = Prompt.ask(
        shown.replace("[", "\\["),
        choices=[*keys, *numbers],
        default="e" if broken else "a",
        console=out,
    )
    return numbers.get(pressed, pressed)


def _explain(fault: str, form: DeclaredForm) -> None:
    from rich.markup import escape

    out.print(f"[red]Breaks the declared form:[/] {escape(fault)}")
    out.print(f"[dim]Expected {escape(form.expected)}[/]")


def _show(item: ReviewItem, disagreement: Sequence[Judgement]) -> list[str]:
    """Print the item; returns the answers that a number chooses."""
    from rich.markup import escape

    out.print(f"[bold]Asked[/]    {escape(item.question)}")
    if item.answer:
        out.print(f"[bold]Answered[/] {escape(item.answer)}")
    answers = {
        str(proposed["answer"]): [_where(proposed["rows"])]
        for proposed in item.detail.get("answers", ())
    }
    for judgement in disagreement:
        if judgement.final is None:
            out.print(f"{escape(judgement.reviewer)} rejected it")
        else:
            answers.setdefault(judgement.final, []).append(f"{judgement.reviewer} approved")
    for number, (answer, notes) in enumerate(answers.items(), start=1):
        out.print(f"[bold]{number}[/] {escape(answer)}  [dim]{escape('; '.join(notes))}[/]")
    out.print(f"[bold]Proposed[/] [green]{escape(item.proposal)}[/]")
    return list(answers)


def _where(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{rows[0]}{more}"


def _edited(text: str) -> str:
    """The answer as the person left it; on a terminal it stands there to be changed."""
    from rich.prompt import Prompt

    while True:
        with _written_there(text) as written:
            if written:
                out.print("The right answer (change it, then Enter):")
                edited = input().strip()
            else:
                edited = Prompt.ask("The right answer", default=text, console=out).strip()
        if edited:
            return edited
        out.print("An empty answer cannot be approved.")


@contextmanager
def _written_there(text: str) -> Iterator[bool]:
    """Let the next line that is asked for begin with a text; whether that can be done here."""
    try:
        import readline
    except ImportError:  # a Python without it
        yield False
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or "\n" in text:
        yield False
        return
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        yield True
    finally:
        readline.set_startup_hook()
