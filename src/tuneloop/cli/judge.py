"""`tuneloop judge`, `tuneloop golden`, `tuneloop review sample`: how good are live answers?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.choosing import WithOption, reference_of
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

if TYPE_CHECKING:
    from tuneloop.evaluation.judging.calibration import Calibration
    from tuneloop.intervals import Figure

app = typer.Typer(no_args_is_help=True, help="A language model that scores answers by a rubric.")
golden = typer.Typer(no_args_is_help=True, help="Fixed cases asked on the live endpoint.")


@app.command()
def run(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Judge the declared share of the answers that production gave in the last two days.

    What was judged is not judged again.

    Example: tuneloop judge run --set judge.share=0.05
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        outcome = loop.judge.run()
    if json_:
        print_json(outcome)
        return
    tokens = outcome.prompt_tokens + outcome.completion_tokens
    out.print(f"{sum(outcome.judged.values())} answers judged by {outcome.judge}, {tokens} tokens.")
    out.print(outcome.standing, markup=False)


@app.command()
def calibrate(
    labels: Annotated[
        Path | None,
        typer.Argument(help="JSON Lines: prompt or messages, answer, correct (true or false)."),
    ] = None,
    from_labels: Annotated[
        bool, typer.Option("--from-labels", help="Take the labels of captured answers.")
    ] = False,
    metric: Annotated[
        str,
        typer.Option(help="What was labelled: judge, judge.RUBRIC, or unsupported_claims."),
    ] = "judge",
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure how far the judge agrees with people, on answers that people labelled.

    The result is kept and stands beside every judged figure. Of unsupported_claims each answer is
    a single claim, correct where its prompt supports it.

    Example: tuneloop judge calibrate polite.jsonl --metric judge.tone
    """
    from tuneloop.errors import UsageError

    if (labels is None) != from_labels:
        raise UsageError(
            "Which labels?", remedy="Name a file of labelled answers, or say --from-labels."
        )
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        calibration = loop.judge.calibrate(labels, metric=metric)
    if json_:
        print_json(_calibration(calibration))
    else:
        _print_calibration(calibration)


@app.command()
def show(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Show what the judge said of live answers in the last 7 days, and how far to trust it.

    Example: tuneloop judge show --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        summaries = loop.judge.show()
        known = loop.judge.calibrations()
        people = loop.judge.accuracy()
    if json_:
        print_json(
            {
                "judged": [asdict(summary) for summary in summaries],
                "calibrations": [_calibration(calibration) for calibration in known],
                "samples": people and asdict(people),
            }
        )
        return
    rows = table("bundle", "judge", "n", "mean score", "passed", "corrected", "tokens")
    for summary in summaries:
        rows.add_row(
            summary.bundle[:12],
            summary.judge,
            str(summary.score.n),
            _told(summary.score),
            _told(summary.passed),
            _told(summary.corrected) if summary.corrected else "–",
            str(summary.tokens),
        )
        out.print(summary.standing, markup=False)
    page(rows if summaries else "Nothing judged in the last 7 days. Do it: tuneloop judge run")
    if people is not None:
        out.print(f"People's samples: {_told(people)} right, effective n = {people.n}.")


@app.command()
def compare(
    evaluation: Annotated[str, typer.Argument(help="Id, its beginning, or `latest`.")] = "latest",
    with_: WithOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many pairs.")] = 100,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Let the judge choose between the candidate's answers of an evaluation and another's.

    Each pair is judged in both orders; a verdict that turns with the order is a tie. People choose
    in the same pairs with `tuneloop evaluation compare`.

    Example: tuneloop judge compare latest --with base --limit 50
    """
    with finishing(open_loop(file, quiet=json_)) as loop:
        done = loop.evaluation(evaluation)
        comparison = loop.judge.compare(done, limit=limit, reference=reference_of(with_))
    if json_:
        print_json(asdict(comparison))
        return
    out.print(
        f"Candidate better {comparison.candidate}, {comparison.against} better "
        f"{comparison.reference}, ties "
        f"{comparison.ties} ({comparison.turned} of them turned with the order), "
        f"no verdict {comparison.unjudged}."
    )
    if comparison.difference is not None:
        p = comparison.p_value
        out.print(
            f"Won minus lost: {_told(comparison.difference)}, "
            f"n = {comparison.difference.n}, p = {p:.3g}"
        )


@golden.command("run")
def golden_run(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Ask the golden suites on the live endpoint and compare with the release.

    The requests are marked as probes: no figure about production counts them. An API key is taken
    from TUNELOOP_API_KEY. Exit code 3 when the alert is open.

    Example: tuneloop golden run --set golden.pass_rate_below=0.95
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        measurement = loop.golden.run()
    if json_:
        print_json(measurement)
    else:
        out.print(f"{measurement.verdict.replace('_', ' ')}: {measurement.message}", markup=False)
        for failure in measurement.detail.get("failed", ()):
            out.print(
                f"  {failure['case']}: {failure['asked']} → {failure['answered']}", markup=False
            )
            for why in failure.get("why", ()):
                out.print(f"    {why}", markup=False)
    if measurement.verdict == "alert":
        raise typer.Exit(3)


def sample(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Put last week's random sample of answers into the queue; decided ones become labels.

    Approve an answer that is right, approve another one with --answer, reject a wrong one.

    Example: tuneloop review sample --set sample.per_week=40
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        sampled = loop.review.sample()
    if json_:
        print_json(sampled)
        return
    out.print(
        f"{sampled.week}: {sampled.new} new samples of {sampled.answers} answers, "
        f"{sampled.labels} decided ones became labels."
    )
    for name, count in sorted(sampled.slices.items()):
        out.print(f"  {name}: {count}", markup=False)


def _calibration(calibration: Calibration) -> dict[str, object]:
    return calibration.as_json() | {
        "of": calibration.of,
        "summary": calibration.summary,
        "corrects": calibration.corrects,
    }


def _print_calibration(calibration: Calibration) -> None:
    rows = table("figure", "value", "95 %", "n")
    for name in ("agreement", "kappa", "sensitivity", "specificity"):
        figure: Figure | None = getattr(calibration, name)
        if figure is None:
            rows.add_row(name, "–", "–", "0")
        else:
            ends = f"{figure.low:.3f}–{figure.high:.3f}"
            rows.add_row(name, f"{figure.value:.3f}", ends, str(figure.n))
    out.print(
        f"{calibration.of} by {calibration.judge}: {calibration.n} answers, "
        f"{calibration.unjudged} without a verdict",
        markup=False,
    )
    page(rows)
    if not calibration.corrects:
        out.print("Too few labels of both kinds, or too poor a judge, to correct a share with it.")


def _told(figure: Figure) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"
