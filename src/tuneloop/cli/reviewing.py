"""The walk through the review queue: shows one item after the other and takes what is decided."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.cli.changes import prose_item, told
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
    from tuneloop.task.kind import is_prose

    prose = is_prose(project.model.task)
    items = review.waiting(project.workspace, project.model.name, reviewer)
    # Polars, once loaded, catches SIGINT so that a read goes on: Ctrl-C would wait for Enter.
    signal.siginterrupt(signal.SIGINT, True)
    form = review.declared_form(project.model)
    spent: list[tuple[str, float]] = []
    for number, item in enumerate(items, start=1):
        began = time.monotonic()
        out.rule(f"{number}/{len(items)}")
        chosen = _ask(item, _disagreement(project, item), form, prose=prose)
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
            prose=prose,
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


def _ask(
    item: ReviewItem, disagreement: Sequence[Judgement], form: DeclaredForm, *, prose: bool
) -> _Chosen | None:
    """What the person decided about one item; None to stop here.

    An answer that breaks the declared form is not taken at once: it is kept, to be edited on or
    approved all the same.
    """
    answers = _show(item, disagreement, prose=prose)
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
            text = _edited(text, prose=prose)
            if prose:
                _tell_edit(item.answer, text)
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


def _show(item: ReviewItem, disagreement: Sequence[Judgement], *, prose: bool) -> list[str]:
    """Print the item; returns the answers that a number chooses."""
    from rich.markup import escape

    answers = _choices(item, disagreement)
    rejected = [judgement.reviewer for judgement in disagreement if judgement.final is None]
    if prose:
        out.print(*prose_item(item, answers, out), sep="\n")
    else:
        out.print(f"[bold]Asked[/]    {escape(item.question)}")
        if item.answer:
            out.print(f"[bold]Answered[/] {escape(item.answer)}")
    for reviewer in rejected:
        out.print(f"{escape(reviewer)} rejected it")
    if not prose:
        for number, (answer, note) in enumerate(answers.items(), start=1):
            out.print(f"[bold]{number}[/] {escape(answer)}  [dim]{escape(note)}[/]")
        out.print(f"[bold]Proposed[/] [green]{escape(item.proposal)}[/]")
    return list(answers)


def _choices(item: ReviewItem, disagreement: Sequence[Judgement]) -> dict[str, str]:
    """The answers that one may choose from → who or what gives each."""
    answers = {
        str(proposed["answer"]): [_where(proposed["rows"])]
        for proposed in item.detail.get("answers", ())
    }
    for judgement in disagreement:
        if judgement.final is not None:
            answers.setdefault(judgement.final, []).append(f"{judgement.reviewer} approved")
    return {answer: "; ".join(notes) for answer, notes in answers.items()}


def _where(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{rows[0]}{more}"


def _tell_edit(answer: str, text: str) -> None:
    from tuneloop.prose.changes import edit_of

    if answer.strip() and answer.strip() != text.strip():
        out.print(f"Your answer {told(edit_of(answer, text))}.", markup=False)


def _edited(text: str, *, prose: bool) -> str:
    """The answer as the person left it; on a terminal it stands there to be changed."""
    from rich.prompt import Prompt

    if (prose or "\n" in text) and (changed := _in_own_editor(text)):
        return changed
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


def _in_own_editor(text: str) -> str | None:
    """A text of several lines as the person left it in the editor of their choice.

    None where there is no terminal or nobody chose one ($VISUAL, $EDITOR), it failed, or all of the
    text was removed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.txt"
        file.write_text(text + "\n", encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)
            return file.read_text(encoding="utf-8").strip() or None
        except (OSError, ValueError, subprocess.CalledProcessError):
            out.print(f"The editor {editor!r} failed; say the answer here.", markup=False)
            return None


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
