"""`tuneloop backtest`: a candidate on yesterday's traffic, before any client meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_loop,
    out,
    page,
    print_json,
    table,
)
from tuneloop.cli.traffic import age

if TYPE_CHECKING:
    from tuneloop.deployment.backtest import Backtest, Corrected
    from tuneloop.intervals import Figure

_SHOWN_CHARACTERS = 120


def backtest(
    bundle: Annotated[str, typer.Argument(help="Id, its beginning, or `candidate`.")] = "candidate",
    since: Annotated[
        str, typer.Option(help="How far to look back, such as 7d or 12h.", metavar="AGE")
    ] = "7d",
    limit: Annotated[
        int, typer.Option(min=1, help="At most so many conversations, the newest.")
    ] = 300,
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Ask a bundle what production was asked, and score both answers as a shadow stage does.

    Only a server of the bundle's own is asked; no client sees anything of it, and nothing is
    recorded as traffic. Where the endpoint redacts, the redacted text is what is asked. Exit code 3
    when a guard shows that the bundle is worse.

    Example: tuneloop backtest candidate --since 14d --limit 500
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        result = loop.backtest(bundle, since=age(since), limit=limit)
    print_json(result) if json_ else _show(result)
    if result.verdict == "worse":
        raise typer.Exit(3)


def _show(result: Backtest) -> None:
    from tuneloop.hashing import short

    asked = result.replayed
    others = ", ".join(f"{n} {reason}" for reason, n in asked.left_out.items())
    out.print(
        f"{short(asked.candidate)} was asked {result.pairs} of {asked.chats} chats that were "
        f"captured since {asked.since:%Y-%m-%d %H:%M} UTC"
        f"{f' (left out: {others})' if others else ''}; production: {short(asked.production)}.",
        markup=False,
    )
    if asked.redacted:
        out.print(
            "The captured text is redacted: production had read what the client sent.", markup=False
        )
    rows = table("bad in", "candidate", "production", "one alone", "says")
    for guard in result.guards:
        rows.add_row(
            guard.name,
            _figure(guard.candidate),
            _figure(guard.production),
            f"{guard.candidate_only} : {guard.production_only}",
            guard.standing.replace("_", " "),
        )
    page(rows)
    out.print(f"Equal answers: {_counted(result.agreement)}", markup=False)
    if result.corrected is not None:
        out.print(_corrected(result.corrected), markup=False)
    _show_differences(result)
    verdict = result.verdict.replace("_", " ")
    out.print(f"Verdict: {verdict}. {result.reason}", style="bold", markup=False)


def _corrected(corrected: Corrected) -> str:
    learned = (
        f"; {corrected.trained_on} that it was trained on left out" if corrected.trained_on else ""
    )
    return (
        f"Equal to the answer that a person gave: candidate {_counted(corrected.candidate)}, "
        f"production {_counted(corrected.production)}{learned}"
    )


def _show_differences(result: Backtest) -> None:
    for difference in result.differences:
        worse = f" (worse in {', '.join(difference.bad)})" if difference.bad else ""
        out.print(f"{difference.interaction}{worse}: {_cut(difference.question)}", markup=False)
        out.print(f"  production: {_cut(difference.production)}", markup=False)
        out.print(f"  candidate:  {_cut(difference.candidate)}", markup=False)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _figure(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def _counted(figure: Figure | None) -> str:
    return "–" if figure is None else f"{_figure(figure)}, n = {figure.n}"
