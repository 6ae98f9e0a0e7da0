"""`make demo`: the whole loop on Larkfield's support desk, with a real model and nothing simulated.

It runs the same `tuneloop` commands that you would type, in the folder .demo, and says before each
one what it does and why. The people are the only ones played: this file sends the customers'
messages and the support staff's corrections through the gateway with the `openai` client, and types
what Ada the engineer and Ines from support would.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI, omit
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".demo"
MODEL_FILE = FOLDER / "tuneloop.yaml"
ENDPOINT = "support-router"
CLIENTS = 4
PATIENCE_SECONDS = 600
REFUSED = 3
"""Exit code of what a gate keeps out."""
WAITS = 4
"""Exit code of `tuneloop run` when the candidate waits for an approval."""

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


def main(*, quick: bool = False) -> None:
    """Month one, month two, a refusal, and a rehearsal of the way back; `quick`: month one."""
    began = time.monotonic()
    with chapter("Set up", "A fresh workspace with month one's data, which has the usual faults."):
        set_up()
        tuneloop("doctor")
        tuneloop("config", "check")
        tuneloop("people", "add", "ada", "--role", "admin", "--role", "engineer")
        tuneloop("people", "add", "ines", "--role", "expert", "--role", "curator")
        tuneloop("people", "add", "worker", "--role", "engineer")
    with chapter(
        "Month one: the first model",
        "One command prepares the data, trains, exports, evaluates what will be served, and holds "
        "it against the gates. Nothing is deployed before Ines has read the report.",
    ):
        tuneloop("run", "-m", "month one: the first version", code=WAITS)
        tuneloop("data", "quarantine")
        tuneloop("evaluation", "show", "latest")
        tuneloop("approve", "candidate", "--comment", "read the report", by="ines")
        tuneloop("run", "-m", "approved")
    try:
        answer() if quick else live()
    finally:
        tuneloop("down", check=False)
    with chapter("The end", "What there is now. Nothing is running any more."):
        tuneloop("history")
        tuneloop("audit", "verify")
        tuneloop("status")
    summary(time.monotonic() - began)


def answer() -> None:
    """The first answer of the tuned model, to the client that everybody has."""
    with chapter("Serve it", "A gateway that speaks OpenAI's API, and a model server."):
        tuneloop("up", "--detach")
        message = "My Tarn is beeping and there is no power!"
        console.print(f"{message}\n{ask(message).answer}", markup=False)


def live() -> None:
    """Everything that happens while the gateway, the model servers and the worker run."""
    with chapter(
        "Serve it",
        "A gateway that speaks OpenAI's API, a model server for each warm bundle, and the worker, "
        "which measures and decides several times a minute here.",
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
    with chapter(
        "The worker notices",
        "Measured on the captured traffic, with sample sizes. It would retrain, but nobody has "
        "approved anything to learn from, so it asks.",
    ):
        wait_for("the alerts", lambda: {"edit_rate", "novelty"} <= open_alerts())
        wait_for("a decision", lambda: last_decision() == "ask")
        tuneloop("alert", "list")
        for alert in ask_json("alert", "list"):
            if alert["monitor"] == "embedding_drift":
                tuneloop("alert", "show", alert["id"])
        tuneloop("status")
        tuneloop("triggers", "explain", "--limit", "1")
    with chapter(
        "Review",
        "Ada teaches the model file the new product and the new kind of request, and adds rows "
        "about them: what production failed at decides nothing, so there must be cases that nobody "
        "chose for that. No correction is trained on before a person approves it: Ines would type "
        "`tuneloop review` and go one by one; the demo approves them all in her name.",
    ):
        teach_the_model_file()
        # Read before anybody approves: the worker may begin the next one a moment after.
        first = ask_json("cycle", "list")[0]["id"]
        tuneloop("review", "list", "--limit", "5")
        tuneloop("review", "approve", "--all", "--reviewer", "ines", by="ines")
        tuneloop("review", "stats")
    with chapter(
        "The worker retrains",
        "There is a reason and there is something to learn from: it begins a cycle. The candidate "
        "is compared with production on the same cases; then the cycle waits for Ines.",
    ):
        before = ask("Where do I read what my Skerry battery did last night?")
        wait_for("the cycle", lambda: ask_json("cycle", "list")[0]["id"] != first)
        tuneloop("triggers", "explain", "--limit", "1")
        tuneloop("cycle", "show", "latest", "--follow")
        if ask_json("cycle", "show")["status"] != "waiting":
            raise SystemExit("The candidate was refused: there is nothing to approve.")
        tuneloop("evaluation", "show", "latest")
        tuneloop("bundle", "diff", "production", "candidate")
    with chapter(
        "Approval and rollout",
        "Once Ines has approved, the worker begins the rollout: copies of the traffic, then half "
        "of the conversations, then all of them, judged at every step. Customers go on writing.",
    ):
        tuneloop("approve", "candidate", "--comment", "Skerry and solar are right", by="ines")
        wait_for("the rollout", lambda: bool(ask_json("rollout", "list")))
        with customers_writing():
            tuneloop("rollout", "status", "--follow")
        if ask_json("rollout", "status")["rollout"]["status"] != "finished":
            raise SystemExit("The candidate was taken back: production answers everything again.")
        wait_for("the end of the cycle", lambda: ask_json("cycle", "show")["status"] == "finished")
        tuneloop("cycle", "show", "latest")
        after = ask("Where do I read what my Skerry battery did last night?")
        console.print(f"before: {before.answer}\nafter:  {after.answer}", markup=False)
    with chapter(
        "A worse one stays out",
        "Ada is in a hurry and trains for a tenth of an epoch. The gates are missed, the command "
        "ends with exit code 3, and so does whoever wants to deploy it all the same.",
    ):
        tuneloop("run", "--set", "training.epochs=0.1", "-m", "in a hurry", code=REFUSED)
        tuneloop("deploy", "candidate", code=REFUSED)
    with chapter(
        "Rehearse the way back", "A route change; the previous bundle is still loaded. And back."
    ):
        tuneloop("drill", "--repeats", "1")
    with chapter("Why it did what it did", "Every decision of the worker, with its numbers."):
        tuneloop("triggers", "explain")


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
            "sources: [month-1.jsonl]": "sources: [month-1.jsonl, month-2.jsonl]",
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


def month_two() -> list[dict[str, Any]]:
    """What customers write in month two, with the right answers."""
    return [json.loads(line) for line in (FOLDER / "month-2-traffic.jsonl").open()]


def send_month_two() -> list[Exchange]:
    """All of month two's messages, from a few clients at once."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(lambda row: ask(row["message"], row), month_two()))


@contextmanager
def customers_writing() -> Iterator[None]:
    """Month two's messages again and again, each from another customer, while the block lasts."""
    over = threading.Event()
    messages = itertools.cycle([row["message"] for row in month_two()])

    def write(client: int) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            ask(next(messages), user=f"customer-{client}-{number}")

    with ThreadPoolExecutor(CLIENTS) as clients:
        writing = [clients.submit(write, client) for client in range(CLIENTS)]
        try:
            yield
        finally:
            over.set()
        for one in writing:
            one.result()


def ask(message: str, row: dict[str, Any] | None = None, *, user: str | None = None) -> Exchange:
    """One message through the gateway, with the client that everybody has."""
    client = OpenAI(base_url=gateway(), api_key="unused", max_retries=0)
    raw = client.chat.completions.with_raw_response.create(
        model=ENDPOINT,
        messages=[{"role": "user", "content": message}],
        user=omit if user is None else user,
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


def open_alerts() -> set[str]:
    """Monitors that alert."""
    return {alert["monitor"] for alert in ask_json("alert", "list")}


def last_decision() -> str:
    """What the worker thinks should be done: retrain, ask or do_not."""
    return str(ask_json("triggers", "explain", "--limit", "1")[0]["action"])


def wait_for(what: str, happened: Callable[[], bool]) -> None:
    """Look every few seconds whether the worker has done its part.

    Raises:
        SystemExit: it has not, after ten minutes.
    """
    began = time.monotonic()
    with console.status(
        f"waiting for {what}, at most a minute or so: the worker looks every half minute"
    ):
        while not happened():
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise SystemExit(f"Still no sign of {what}: see .demo/.tuneloop/logs/worker.log")
            time.sleep(2)
    console.print(f"[dim]waited {time.monotonic() - began:.0f} s for {what}[/]")


def gateway() -> str:
    """Where the gateway listens."""
    port = next(
        line.split(":")[1].strip()
        for line in MODEL_FILE.read_text().splitlines()
        if line.strip().startswith("port:")
    )
    return f"http://127.0.0.1:{port}/v1"


def tuneloop(*arguments: str, by: str = "ada", check: bool = True, code: int = 0) -> None:
    """Run one command as a user would, and stop the demo when it ends otherwise than expected."""
    console.print(f"\n[bold]{by} $[/] [bold]tuneloop {' '.join(arguments)}[/]")
    done = run(*arguments, by=by, stdout=None)
    if check and done.returncode != code:
        raise SystemExit(f"`tuneloop {' '.join(arguments)}` ended with {done.returncode}.")


def ask_json(*arguments: str) -> Any:
    """What a command that reports says."""
    done = run(*arguments, "--json", by="ada", stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"`tuneloop {' '.join(arguments)}` ended with {done.returncode}.")
    return json.loads(done.stdout)


def run(*arguments: str, by: str, stdout: int | None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tuneloop.cli", *arguments],
        cwd=FOLDER,
        # Nobody is there to leaf through what is longer than the screen.
        env={
            **os.environ,
            "TUNELOOP_FILE": str(MODEL_FILE),
            "TUNELOOP_ACTOR": by,
            "PAGER": "cat",
        },
        stdout=stdout,
        check=False,
    )


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end after month one")
    try:
        main(quick=parser.parse_args().quick)
    except KeyboardInterrupt:
        raise SystemExit("Stopped. What there is so far is in .demo.") from None
