"""`tuneloop status`: one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    ago,
    finishing,
    open_loop,
    page,
    print_json,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop.retraining.status import Status

_SHOWN_SCORES = ("accuracy", "format", "abstention_recall")
_COLOURS = {
    "healthy": "green",
    "alerts": "yellow",
    "switching": "yellow",
    "down": "red",
    "not deployed": "yellow",
}


def status(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """What is live, since when, is it healthy, what next.

    Example: tuneloop status
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        found, now = loop.status(), loop.workspace.now()
    if json_:
        print_json(found)
    else:
        _print(found, now)


def _print(found: Status, now: datetime) -> None:
    from rich.markup import escape
    from rich.table import Table

    from tuneloop.hashing import short

    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    colour = _COLOURS[found.health]
    rows.add_row(found.model, f"[{colour}]● {found.health}[/]")
    if found.live is not None:
        live = found.live
        rows.add_row(
            "live",
            f"{short(live.bundle)} ({live.quantisation}) since {live.since:%Y-%m-%d %H:%M}"
            f" ({ago(live.since, now)})",
        )
        rows.add_row("trained on", live.dataset)
        rows.add_row("evaluated", _scores(live.scores))
        served = f"as model '{found.endpoint}' (model server {live.server})"
        if found.gateway_url is None:
            served = f"no; `tuneloop up` serves it as model '{found.endpoint}'"
        rows.add_row("served", f"{found.gateway_url or ''} {served}".strip())
    rows.add_row("previous", short(found.previous) if found.previous else "–")
    if found.candidate:
        stands = f" ({found.candidate_standing})" if found.candidate_standing else ""
        rows.add_row("candidate", escape(short(found.candidate) + stands))
    if found.rollout:
        rows.add_row("rollout", escape(found.rollout))
    for number, alert in enumerate(found.alerts):
        rows.add_row("alerts" if number == 0 else "", f"[yellow]{escape(_headline(alert))}[/]")
    if found.open_reviews or found.approved_corrections:
        rows.add_row(
            "corrections",
            f"{found.open_reviews} to review, {found.approved_corrections} approved for retraining",
        )
    for number, one in enumerate(found.under_way):
        rows.add_row("under way" if number == 0 else "", f"[cyan]{escape(str(one))}[/]")
    if found.cycle:
        rows.add_row("last cycle", escape(found.cycle))
    rows.add_row("worker", ", ".join(found.workers) or "none; `tuneloop up` starts one")
    rows.add_row("automation", escape(str(found.automation)))
    if found.people:
        rows.add_row("people", f"[yellow]{escape(found.people)}[/]")
    for number, step in enumerate(found.next_steps):
        rows.add_row("next" if number == 0 else "", escape(step))
    page(rows)


def _scores(scores: object) -> str:
    if not isinstance(scores, dict) or not scores:
        return "–"
    return ", ".join(
        f"{name.replace('_', ' ')} {scores[name][0]:.2f} "
        f"({scores[name][1]:.2f}–{scores[name][2]:.2f}, n={scores[name][3]})"
        for name in _SHOWN_SCORES
        if name in scores
    )


def _headline(alert: str) -> str:
    """An alert without its interval; `tuneloop alert list` has all of it."""
    return alert.split(" (95 %")[0]
