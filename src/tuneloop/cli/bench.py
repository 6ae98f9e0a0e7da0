"""`tuneloop bench`: latency under a declared load, and whether it is good enough."""

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
from tuneloop.errors import UsageError

if TYPE_CHECKING:
    from tuneloop.candidates.benching import Bench
    from tuneloop.deployment.load import Load
    from tuneloop.deployment.load_figures import LoadComparison
    from tuneloop.intervals import Figure
    from tuneloop.modelfile import BenchSettings


def bench(
    bundle: Annotated[str, typer.Argument(help="Id, its beginning, or `candidate`.")] = "candidate",
    rate: Annotated[
        list[float] | None,
        typer.Option(help="Requests a second, arriving at random; may be repeated."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long requests are sent to each bundle at each rate.")
    ] = None,
    against: Annotated[
        str, typer.Option(help="The bundle that is asked the same in turns with it; or `none`.")
    ] = "production",
    gate: Annotated[
        bool, typer.Option("--gate", help="Judge `bench.gates`; exit code 3 where one is missed.")
    ] = False,
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure latency under a declared load, waiting included, in turns with production.

    Rates and seconds are by default those of the model file's `bench:`. Where the bundle is being
    served, the load comes on top of its clients'.

    Example: tuneloop bench candidate --rate 1 --rate 2 --seconds 60
    """
    if gate and (rate or seconds is not None):
        raise UsageError(
            "Expected --gate alone: gates hold under the loads that the model file declares.",
            remedy="Change `bench.rates_per_second` and `bench.seconds` there, or with --set.",
        )
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        other = None if against == "none" else against
        loads = _loads(loop.model.bench, rate, seconds)
        measured = loop.bench(bundle, against=other, loads=loads, gate=gate)
    print_json(measured) if json_ else _show(measured)
    if measured.gates is not None and measured.gates.verdict != "passed":
        raise typer.Exit(3)


def _loads(
    declared: BenchSettings, rates: list[float] | None, seconds: float | None
) -> tuple[Load, ...]:
    from tuneloop.deployment.load import Load

    return tuple(
        Load(rate_per_second=rate, seconds=declared.seconds if seconds is None else seconds)
        for rate in rates or declared.rates_per_second
    )


def _show(measured: Bench) -> None:
    from tuneloop.hashing import short

    other = short(measured.against) if measured.against else ""
    for load in measured.loads:
        _show_load(load, short(measured.bundle), other)
    if measured.gates is not None:
        for result in measured.gates.results:
            out.print(f"{result.verdict}: {result.reason}", markup=False)
        out.print(f"Gates {measured.gates.verdict}.", style="bold", markup=False)


def _show_load(load: LoadComparison, name: str, other: str) -> None:
    counts = f"{load.bundle.requests} requests, {load.bundle.errors} failed"
    if load.against is not None:
        counts += f"; {load.against.requests} to the other, {load.against.errors} failed"
    out.print(f"{load.rate_per_second:g} a second for {load.seconds:g} s: {counts}", markup=False)
    theirs = load.against.figures if load.against else {}
    rows = table("figure", name, *([other, "ratio"] if load.against else []))
    for figure, ours in load.bundle.figures.items():
        cells = [_figure(ours)]
        if load.against is not None:
            ratio = load.ratios.get(f"{figure.removesuffix('_ms')}_ratio")
            cells += [_figure(theirs.get(figure)), _figure(ratio)]
        rows.add_row(figure, *cells)
    page(rows)
    for figure, holds in load.bundle.coverage.items():
        out.print(
            f"{figure}: too few requests for a 95 % interval; this one holds in {holds:.0%}.",
            markup=False,
        )


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    return f"{_number(figure.value)} ({_number(figure.low)}–{_number(figure.high)})"


def _number(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"
