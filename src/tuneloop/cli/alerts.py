"""`tuneloop alert`: what monitors spoke up about, and who was told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    ago,
    finishing,
    open_loop,
    out,
    page,
    paged,
    print_json,
    table,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop.monitoring.alerts import AlertEvent
    from tuneloop.monitoring.notifications.outbox import Delivery

app = typer.Typer(no_args_is_help=True, help="Alerts: look, acknowledge; who is told of what.")

AlertArgument = Annotated[str, typer.Argument(help="Its id, from `tuneloop alert list`.")]


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE,
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    json_: JsonOption = False,
) -> None:
    """List open alerts.

    Example: tuneloop alert list --all
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        listed, now = loop.alerts(all_=all_), loop.workspace.now()
    if json_:
        print_json(listed)
        return
    rows = table(
        "alert", "monitor", "status", "opened", "seen", "message", optional=("seen", "opened")
    )
    for alert in listed:
        rows.add_row(
            alert.id,
            alert.monitor,
            alert.status,
            ago(alert.opened_at, now),
            str(alert.seen),
            alert.message,
        )
    page(rows if listed else "No open alerts.")


@app.command()
def show(alert: AlertArgument, file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Show an alert's life, examples of what was seen, and who was told.

    Example: tuneloop alert show 5f2b9a10c4de
    """
    from tuneloop.monitoring import alerts
    from tuneloop.monitoring.notifications import outbox

    with finishing(open_loop(file, quiet=True)) as loop:
        current = alerts.find(loop.workspace, alert)
        events = alerts.events(loop.workspace, alert)
        deliveries = outbox.listing(loop.workspace, current.model, alert=alert)
    if json_:
        print_json({"alert": current, "events": events, "deliveries": deliveries})
        return
    with paged():
        out.print(
            f"{current.monitor} of {current.model} is {current.status}, seen {current.seen} ×."
        )
        for event in _telling(events):
            who = "" if event.actor == alerts.MONITORING else f" by {event.actor}"
            line = f"{event.at:%Y-%m-%d %H:%M}  {event.event}{who}: {event.message}"
            out.print(Text(line.removesuffix(": ")))
            for example in event.examples:
                out.print(Text(f"                  e.g. {example}", style="dim"))
        _print(deliveries)


def _telling(events: Sequence[AlertEvent]) -> list[AlertEvent]:
    """All of them, but of repetitions in a row the last one only."""
    kinds = [*(event.event for event in events), ""]
    return [
        event
        for event, after in zip(events, kinds[1:], strict=True)
        if (event.event, after) != ("repeated", "repeated")
    ]


@app.command()
def ack(
    alert: AlertArgument,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Say that you are looking after an alert; it stays until the monitor is well again.

    Example: tuneloop alert ack 5f2b9a10c4de
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        loop.acknowledge(alert)
    print_json({"acknowledged": alert}) if json_ else out.print(f"{alert} is acknowledged.")


@app.command()
def test(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Send a test message to every channel; exit code 1 if one fails.

    Example: tuneloop alert test --set 'alerts.notify=["${TEAM_SLACK}"]'
    """
    with finishing(open_loop(file, overrides, quiet=True)) as loop:
        attempts = loop.channels.test()
    if json_:
        print_json([{"channel": attempt.channel, "error": attempt.error} for attempt in attempts])
    else:
        for attempt in attempts:
            outcome = (
                Text("delivered", "green") if attempt.error is None else Text(attempt.error, "red")
            )
            out.print(Text(f"{attempt.channel}: ") + outcome, soft_wrap=True)
    if any(attempt.error is not None for attempt in attempts):
        raise typer.Exit(1)


@app.command()
def channels(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Show each channel with what it is told of, and when it last was.

    Example: tuneloop alert channels
    """
    from tuneloop.modelfile import EVENT_KINDS
    from tuneloop.monitoring.notifications import outbox, rules

    with finishing(open_loop(file, quiet=True)) as loop:
        declared = rules.channels(loop.model.alerts)
        told = outbox.listing(loop.workspace, loop.model.name)
        now = loop.workspace.now()
    events = {
        name: [kind for kind in EVENT_KINDS if kind in declared[name].events] for name in declared
    }
    last = {
        name: next((delivery for delivery in told if delivery.channel == name), None)
        for name in declared
    }
    if json_:
        print_json(
            [{"channel": name, "events": events[name], "last": last[name]} for name in declared]
        )
        return
    rows = table("channel", "is told of", "last message")
    for name, newest in last.items():
        last_message = "none" if newest is None else _status(newest)
        if newest is not None and newest.finished_at is not None:
            last_message += f" {ago(newest.finished_at, now)}"
        rows.add_row(name, ", ".join(events[name]), last_message)
    out.print(rows if declared else f"The model file names no channel. {rules.NAME_ONE}")


@app.command()
def deliveries(
    file: ModelOption = DEFAULT_FILE,
    limit: Annotated[int, typer.Option(help="At most this many, the newest first.")] = 50,
    json_: JsonOption = False,
) -> None:
    """Show what was told to whom, test messages too, what waits, and what was not delivered.

    Example: tuneloop alert deliveries --limit 10
    """
    from tuneloop.monitoring.notifications import outbox, rules

    with finishing(open_loop(file, quiet=True)) as loop:
        deliveries = outbox.listing(loop.workspace, loop.model.name, limit=limit)
        declared = rules.channels(loop.model.alerts)
    if json_:
        print_json(deliveries)
    elif deliveries:
        _print(deliveries)
    elif declared:
        out.print(
            "Nothing was sent yet, and nothing is queued. The worker does both (tuneloop up); try "
            "the channels with: tuneloop alert test"
        )
    else:
        out.print(f"Nothing was sent: the model file names no channel. {rules.NAME_ONE}")


def _print(deliveries: Sequence[Delivery]) -> None:
    if not deliveries:
        return
    colours = {"sent": "green", "gave_up": "red"}
    rows = table("when", "what", "channel", "status")
    for delivery in deliveries:
        status = Text(_status(delivery), style=colours.get(delivery.status, "yellow"))
        tried = f", {delivery.attempts} attempts" if delivery.attempts > 1 else ""
        error = f": {delivery.last_error}" if delivery.last_error else ""
        what = (
            delivery.about
            if delivery.alert is None
            else f"{delivery.about} {delivery.event}, alert {delivery.alert}"
        )
        rows.add_row(
            f"{_when(delivery):%Y-%m-%d %H:%M}", what, delivery.channel, status + tried + error
        )
    out.print(rows)


def _status(delivery: Delivery) -> str:
    return delivery.status.replace("_", " ")


def _when(delivery: Delivery) -> datetime:
    return delivery.finished_at or delivery.retry_at or delivery.ready_at
