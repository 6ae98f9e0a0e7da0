"""`tuneloop status`: one screen."""

from __future__ import annotations

import re
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

    from tuneloop.status.screen import Status

_SHOWN_SCORES = ("accuracy", "format", "abstention_recall", "judge", "chrf", "ungrounded")
"""Those of them that the kind of task has."""
_SHOWN_SOURCES = 3
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
        status, now = loop.status(), loop.workspace.now()
    if json_:
        print_json(status)
    else:
        _print(status, now)


def _print(status: Status, now: datetime) -> None:
    from tuneloop.cli.sheets import Sheet
    from tuneloop.hashing import short

    sheet = Sheet(lines=None)
    sheet.add(status.model, f"● {status.health}", style=_COLOURS[status.health])
    if status.live is not None:
        live = status.live
        sheet.add(
            "live",
            f"{short(live.bundle)} ({live.quantisation}) since {live.since:%Y-%m-%d %H:%M}"
            f" ({ago(live.since, now)})",
        )
        sheet.add("warning", *live.weakened, style="yellow")
        sheet.add("  behaves as", live.behaves_as)
        sheet.add("trained on", live.dataset)
        sheet.add("evaluated", _scores(live.scores))
        served = f"as model '{status.endpoint}' (model server {live.server})"
        if status.gateway_url is None:
            served = f"no; `tuneloop up` serves it as model '{status.endpoint}'"
        sheet.add("served", f"{status.gateway_url or ''} {served}".strip())
    sheet.add("previous", short(status.previous) if status.previous else "–")
    if status.candidate:
        stands = f" ({status.candidate_standing})" if status.candidate_standing else ""
        sheet.add("candidate", short(status.candidate) + stands)
        sheet.add("", *status.candidate_weakened, style="yellow")
        sheet.add("  behaves as", status.candidate_behaves_as)
    sheet.add("rollout", status.rollout)
    sheet.add("alerts", *map(_headline, status.alerts), style="yellow")
    if status.open_reviews or status.approved_corrections:
        sheet.add(
            "corrections",
            f"{status.open_reviews} to review, "
            f"{status.approved_corrections} approved for retraining",
        )
    sheet.add("sources", _sources(status.changed_sources))
    sheet.add("under way", *status.under_way, style="cyan")
    sheet.add("last cycle", status.cycle)
    sheet.add("worker", ", ".join(status.workers) or "none; `tuneloop up` starts one")
    sheet.add("automation", status.automation)
    sheet.add("people", status.people, style="yellow")
    sheet.add("next", *status.next_steps)
    page(sheet)


def _scores(scores: object) -> str:
    if not isinstance(scores, dict) or not scores:
        return "–"
    return ", ".join(
        f"{name.replace('_', ' ')} {scores[name][0]:.2f} "
        f"({scores[name][1]:.2f}–{scores[name][2]:.2f}, n={scores[name][3]})"
        for name in _SHOWN_SCORES
        if name in scores
    )


def _sources(changed: tuple[str, ...]) -> str | None:
    if not changed:
        return None
    more = f" and {len(changed) - _SHOWN_SOURCES} more" if len(changed) > _SHOWN_SOURCES else ""
    return f"changed since it was made: {', '.join(changed[:_SHOWN_SOURCES])}{more}"


def _headline(alert: str) -> str:
    """An alert without its interval; `tuneloop alert list` has all of it."""
    return re.sub(r" \(95 % interval [^)]*\)", "", alert)
