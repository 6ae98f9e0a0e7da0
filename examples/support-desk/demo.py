"""`make demo`: the whole loop on Larkfield's support desk, with a real model and nothing simulated.

It runs the same `tuneloop` commands that you would type, in the folder .demo, and says before each
one what it does and why. The customers and the support staff are the only ones played: this file
sends their messages and corrections through the gateway with the `openai` client.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".demo"
MODEL_FILE = FOLDER / "tuneloop.yaml"
ENDPOINT = "support-router"
CLIENTS = 2

console = Console(highlight=False)
times: list[tuple[str, float]] = []


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One customer message and what came back."""

    message: str
    expected: dict[str, str]
    corrected: bool
    """Whether the staff would correct a wrong answer to it."""
    interaction: str
    bundle: str
    answer: str

    @property
    def right(self) -> bool:
        """Whether the answer says what it should."""
        try:
            return bool(json.loads(self.answer) == self.expected)
        except ValueError:
            return False


def main() -> None:
    """Month one, month two, and a rollback."""
    began = time.monotonic()
    with chapter("Set up", "A fresh workspace with month one's data, which has the usual faults."):
        set_up()
        tuneloop("doctor")
        tuneloop("config", "check")
    with chapter(
        "Month one: the first model",
        "One command prepares the data, trains, exports, evaluates what will be served, holds it "
        "against the gates, and deploys it only if they pass.",
    ):
        tuneloop("run", "-m", "month one: the first version")
        tuneloop("data", "quarantine")
        tuneloop("evaluation", "show", "latest")
    try:
        live()
    finally:
        tuneloop("down", check=False)
    with chapter("The end", "What there is now. Nothing is running any more."):
        tuneloop("history")
        tuneloop("status")
    summary(time.monotonic() - began)


def live() -> None:
    """Everything that happens while the gateway runs."""
    with chapter(
        "Serve it", "A gateway that speaks OpenAI's API, and a model server for each warm bundle."
    ):
        tuneloop("up", "--detach")
        tuneloop("status")
    with chapter(
        "Month two: the world changes",
        "Larkfield renames the Tarn to Skerry and starts to buy solar power. Customers write, the "
        "model answers, the support staff correct what is wrong.",
    ):
        exchanges = send_month_two()
        say_how_it_went(exchanges)
        corrections = send_corrections(exchanges)
        console.print(f"The staff corrected {corrections} answers through /v1/feedback.")
    with chapter("The monitors notice", "Measured on the captured traffic, with sample sizes."):
        time.sleep(3)  # The gateway hands its capture over every two seconds.
        tuneloop("monitor", "run")
        tuneloop("alert", "list")
        tuneloop("status")
    with chapter(
        "Review",
        "No correction is trained on before a person approves it. You would type `tuneloop review` "
        "and go one by one; the demo approves them all in the name of Ines from support.",
    ):
        tuneloop("review", "list")
        tuneloop("review", "approve", "--all", "--reviewer", "Ines (support)")
    with chapter(
        "Retrain",
        "The model file learns the new product and the new kind of request; then the same command "
        "as in month one. The candidate is compared with production on the same cases.",
    ):
        teach_the_model_file()
        before = ask("Where do I read what my Skerry battery did last night?")
        tuneloop("run", "-m", "month two: Tarn becomes Skerry, solar export is new")
        tuneloop("evaluation", "show", "latest")
        tuneloop("bundle", "diff", "previous", "production")
        after = ask("Where do I read what my Skerry battery did last night?")
        console.print(f"before: {before.answer}\nafter:  {after.answer}")
    with chapter("Roll back, once", "A route change; the previous bundle is still loaded."):
        roll_back_and_return()


def set_up() -> None:
    """An empty .demo with month one's files and a free port."""
    if FOLDER.exists():
        tuneloop("down", check=False)
        shutil.rmtree(FOLDER)
    FOLDER.mkdir()
    for file in HERE.iterdir():
        if file.suffix in (".jsonl", ".yaml"):
            shutil.copy(file, FOLDER / file.name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    edit_model_file({"port: 8400": f"port: {port}"}, show=False)


def teach_the_model_file() -> None:
    """What the engineer changes for month two, shown as a diff."""
    edit_model_file(
        {
            "cancel, out_of_scope]": "cancel, solar_export, out_of_scope]",
            "account, cancel, or out_of_scope": "account, cancel, solar_export, or out_of_scope",
            "[perch, tarn, wick, none]": "[perch, tarn, skerry, wick, none]",
            "    - {name: golden, kind: golden, file: golden.jsonl}\n": (
                "    - {name: golden, kind: golden, file: golden.jsonl}\n"
                "    - {name: golden-2, kind: golden, file: golden-2.jsonl}\n"
            ),
        }
    )


def edit_model_file(changes: dict[str, str], *, show: bool = True) -> None:
    before = MODEL_FILE.read_text()
    after = before
    for old, new in changes.items():
        if old not in after:
            raise SystemExit(f"The model file no longer has {old!r}; the demo must be mended.")
        after = after.replace(old, new)
    MODEL_FILE.write_text(after)
    if show:
        lines = difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            "tuneloop.yaml",
            "tuneloop.yaml",
            n=0,
            lineterm="",
        )
        for line in lines:
            console.print(f"  {line}", markup=False)


def send_month_two() -> list[Exchange]:
    """All of month two's messages, from two clients at once."""
    rows = [json.loads(line) for line in (FOLDER / "month-2-traffic.jsonl").open()]
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(lambda row: ask(row["message"], row), rows))


def ask(message: str, row: dict[str, Any] | None = None) -> Exchange:
    """One message through the gateway, with the client that everybody has."""
    client = OpenAI(base_url=gateway(), api_key="unused", max_retries=0)
    raw = client.chat.completions.with_raw_response.create(
        model=ENDPOINT, messages=[{"role": "user", "content": message}]
    )
    return Exchange(
        message=message,
        expected=row["expected"] if row else {},
        corrected=bool(row and row["edited"]),
        interaction=raw.headers["x-tuneloop-interaction"],
        bundle=raw.headers["x-tuneloop-bundle"],
        answer=raw.parse().choices[0].message.content or "",
    )


def say_how_it_went(exchanges: list[Exchange]) -> None:
    wrong = [exchange for exchange in exchanges if not exchange.right]
    console.print(f"{len(exchanges)} messages answered, {len(wrong)} of them wrongly, for example:")
    for exchange in [e for e in wrong if e.corrected][:4]:
        console.print(f"  {exchange.message}\n    {exchange.answer}", markup=False)


def send_corrections(exchanges: list[Exchange]) -> int:
    """What the staff typed instead."""
    wrong = [e for e in exchanges if e.corrected and not e.right]
    for exchange in wrong:
        body = {
            "interaction": exchange.interaction,
            "kind": "edit",
            "value": json.dumps(exchange.expected),
            "user": "support-staff",
        }
        request = urllib.request.Request(
            f"{gateway()}/feedback",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200
    return len(wrong)


def roll_back_and_return() -> None:
    """Go back, see that the old bundle answers and how soon, and return."""
    new = ask("Hello?").bundle
    began = time.monotonic()
    tuneloop("rollback", "-m", "rehearsal: does it work?")
    switched = time.monotonic()
    while ask("Hello?").bundle == new:
        time.sleep(0.02)
    console.print(
        f"The previous bundle answered {time.monotonic() - switched:.2f} s after the command ended "
        f"({time.monotonic() - began:.2f} s after it began)."
    )
    tuneloop("rollback", "-m", "the rehearsal is over")
    while ask("Hello?").bundle != new:
        time.sleep(0.02)
    console.print("And the new one is back.")


def gateway() -> str:
    """Where the gateway listens."""
    port = next(
        line.split(":")[1].strip()
        for line in MODEL_FILE.read_text().splitlines()
        if line.strip().startswith("port:")
    )
    return f"http://127.0.0.1:{port}/v1"


def tuneloop(*arguments: str, check: bool = True) -> None:
    """Run one command as a user would, and stop the demo when it fails."""
    console.print(f"\n[bold]$ tuneloop {' '.join(arguments)}[/]")
    done = subprocess.run(
        [sys.executable, "-m", "tuneloop.cli", *arguments],
        cwd=FOLDER,
        env={**os.environ, "TUNELOOP_FILE": str(MODEL_FILE)},
        check=False,
    )
    if check and done.returncode:
        raise SystemExit(f"`tuneloop {' '.join(arguments)}` ended with {done.returncode}.")


@contextmanager
def chapter(title: str, why: str) -> Iterator[None]:
    """A part of the story, with its time."""
    console.print()
    console.rule(f"[bold]{title}")
    console.print(why)
    began = time.monotonic()
    yield
    times.append((title, time.monotonic() - began))


def summary(total_seconds: float) -> None:
    rows = Table("step", "seconds", title="Where the time went", box=None, title_justify="left")
    for title, seconds in times:
        rows.add_row(title, f"{seconds:.1f}")
    rows.add_row("all", f"{total_seconds:.1f}")
    console.print(rows)


if __name__ == "__main__":
    main()
