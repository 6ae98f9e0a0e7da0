"""`tuneloop deploy`, `rollback`, `drill`, `history`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_loop,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.loop import Loop
    from tuneloop.registry.aliases import Move

ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the history.")]


def deploy(
    bundle: Annotated[str, typer.Argument(help="Id, its beginning, or `candidate`.")] = "candidate",
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "deployed by hand",
    json_: JsonOption = False,
) -> None:
    """Put a bundle into production: verify, smoke-test, then switch the route.

    A bundle whose newest evaluation did not pass is refused, and so is one that was rejected,
    rolled back or taken back by its rollout, under whatever id it comes back (see `readmit`).

    Example: tuneloop deploy 3f2a9c -m "new product"
    """
    from tuneloop.deployment import endpoints

    with finishing(open_loop(file, quiet=json_)) as loop:
        done = loop.deploy(bundle, reason=reason)
    if json_:
        print_json(
            {
                "endpoint": done.endpoint,
                "smoke": done.smoke,
                "proof": done.proof,
                "serving": done.serving,
                "took_effect_seconds": done.effect.seconds,
            }
        )
        return
    out.print(endpoints.describe(done.endpoint), markup=False)
    out.print(str(done.effect), markup=False)


def rollback(
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "rolled back by hand",
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also where that bundle's server fails: takes effect once it is up."
        ),
    ] = False,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Only if this bundle is in production: nobody else's rollback is undone.",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Go back to the previous bundle, at once; doing it again undoes it.

    While a rollout is under way, it ends that: production answers everything again. Says when it
    took effect: measured until every gateway process has the route. What was rejected is not gone
    back to.

    Example: tuneloop rollback -m "the new one invents products"
    """
    import time

    from tuneloop.deployment import endpoints, release, rollouts, taking_effect
    from tuneloop.hashing import short

    with finishing(open_loop(file, quiet=json_)) as loop:
        under_way = rollouts.active(loop.workspace, loop.model.name)
        brought_back = _held_against_previous(loop) if under_way is None else ()
        began = time.monotonic()
        endpoint = loop.roll_back(reason=reason, force=force, expected=from_)
        effect = taking_effect.wait(loop.workspace, endpoint, since=began)
        in_effect = release.in_effect(loop.workspace, endpoint)
    if json_:
        print_json(vars(endpoint) | {"in_effect": in_effect, "took_effect_seconds": effect.seconds})
        return
    out.print(endpoints.describe(endpoint), markup=False)
    out.print(str(effect), markup=False)
    for told in brought_back:
        out.print(told, markup=False, style="yellow")
    if under_way is None:
        undo = f"Undo with: tuneloop rollback --from {short(endpoint.bundle or '')}"
        out.print(undo, markup=False)
    else:
        out.print(
            f"Rollout {under_way.id} is ended. To try its candidate again: tuneloop readmit "
            f"{short(under_way.candidate)} -m WHY; then: tuneloop rollout start"
        )


def _held_against_previous(loop: Loop) -> tuple[str, ...]:
    """What the bundle is known for that a rollback brings back: to undo one is no accident."""
    from tuneloop.registry import aliases

    previous = aliases.current(loop.workspace, loop.model.name).get("previous")
    if previous is None:
        return ()
    bundle = loop.bundle(previous.bundle)
    return tuple(
        f"Mind that {bundle.short} {refusal.about(bundle.id)}."
        for refusal in loop.refusals(bundle.id)
    )


def drill(
    file: ModelOption = DEFAULT_FILE,
    repeats: Annotated[int, typer.Option(min=1, help="How often to go there and back.")] = 3,
    connections: Annotated[int, typer.Option(min=1, help="Probes under way at a time.")] = 16,
    key: Annotated[
        str | None, typer.Option(envvar="TUNELOOP_API_KEY", help="API key for the probes.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Rehearse a rollback on the live endpoint, there and back, and measure how long it takes.

    Probes are not captured. Example: tuneloop drill --repeats 5
    """
    with finishing(open_loop(file, quiet=json_)) as loop:
        loop.progress.step("Rolling back and forth under probes")
        report = loop.drill(repeats=repeats, connections=connections, key=key)
    if json_:
        print_json(report)
        return
    out.print(
        f"Every process answered from the other bundle after "
        f"{report.rollback_seconds['p50']:.2f} s (p99 {report.rollback_seconds['p99']:.2f} s, "
        f"{len(report.every_rollback_seconds)} switches); "
        f"{report.failed_requests} of {report.probes} probes failed."
    )


def history(
    file: ModelOption = DEFAULT_FILE,
    drills: Annotated[
        bool, typer.Option("--drills", help="Also the moves of rollback drills.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Show what was in production when, who moved it and why.

    Example: tuneloop history --json
    """
    from rich.text import Text

    from tuneloop.deployment import admission
    from tuneloop.hashing import short
    from tuneloop.registry.weakness import sentences

    with finishing(open_loop(file, quiet=True)) as loop:
        moves = loop.history(drills=drills)
        weaker = {
            bundle: sentences(loop.weaknesses(bundle))
            for bundle in dict.fromkeys(move.to_bundle for move in moves)
            if bundle
        }
        past = admission.past_of(loop.workspace, loop.model.name)
    if json_:
        print_json([{**vars(move), **_weakened(weaker, move)} for move in moves])
        return
    alike = [admission.namesake(move.to_bundle or "", past) for move in moves]
    rows = table("when", "from", "to", "who", "why", *(["to behaves as"] if any(alike) else []))
    for move, namesake in zip(moves, alike, strict=True):
        rows.add_row(
            f"{move.at:%Y-%m-%d %H:%M}",
            short(move.from_bundle) if move.from_bundle else "–",
            short(move.to_bundle) if move.to_bundle else "–",
            move.actor,
            move.reason,
            *([namesake] if any(alike) else []),
        )
    # Whole, below the table: its columns are too narrow for what must not be cut.
    of: dict[str, list[str]] = {}
    for bundle, told in weaker.items():
        for sentence in told:
            of.setdefault(sentence, []).append(short(bundle))
    lines = [f"{', '.join(bundles)}: {sentence}" for sentence, bundles in of.items()]
    page(rows if moves else "Nothing was deployed yet.", *(Text(line) for line in lines))


def _weakened(weaker: Mapping[str, list[str]], move: Move) -> dict[str, list[str]]:
    """What the bundle that came was held to less than others; nothing where it was not."""
    told = weaker.get(move.to_bundle or "", [])
    return {"weakened": told} if told else {}
