"""A whole desk: a workspace with two bundles of a tiny real model, served by `tuneloop up`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from chaos.books import Books
from chaos.client import OK, Client
from chaos.load import Load
from chaos.trial import Trial
from chaos.waiting import wait_for
from tuneloop import modelfile
from tuneloop.deployment import endpoints, release, rollouts, servers
from tuneloop.deployment.processes import free_port
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import FOLDER, Workspace

ENDPOINT = "router"
_SERVING = {
    "file": "model.gguf",
    "context_tokens": 128,
    "parallel_requests": 2,
    "threads": 1,
    "sampling": {},
}


def tiny_model(folder: Path) -> Path:
    """A random model in GGUF."""
    from tuneloop.deployment.export.convert import convert_to_gguf
    from tuneloop.progress import Silent
    from tuneloop.testing.tiny_model import make_tiny_model

    gguf = folder / "tiny.gguf"
    if not gguf.exists():
        make_tiny_model(folder / "hf")
        convert_to_gguf(folder / "hf", gguf, name="tiny", progress=Silent())
    return gguf


class Desk:
    """The workspace and its bundles; `up` serves them."""

    def __init__(self, folder: Path, model: Path, *, records_url: str | None = None) -> None:
        """`records_url`: of the database, by default a SQLite file in the workspace."""
        self._folder = folder
        self._records_url = records_url
        self._model = model
        self.port = free_port()
        settings = {
            "name": ENDPOINT,
            "base": "base",
            "data": {"sources": ["rows.jsonl"]},
            "endpoint": {"port": self.port},
        }
        (folder / "rows.jsonl").touch()
        (folder / "tuneloop.yaml").write_text(yaml.safe_dump(settings))
        self.workspace = self._open(folder / FOLDER)
        self.database = self.workspace.root / "records.sqlite"
        self.books = Books(self.workspace.folder("spool"), self.workspace.traffic)
        self.previous, self.production, self.candidate = (
            self._register(name) for name in ("previous", "production", "candidate")
        )
        self._deploy(self.previous, before=None)
        self._deploy(self.production, before=self.previous)

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[bytes]]:
        """`tuneloop up` until the end of the context, ready to answer."""
        with (self._folder / "up.log").open("ab") as log:
            process = subprocess.Popen(
                self._command("up"),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self._environment()},
                start_new_session=True,
            )
        try:
            wait_for(self._all_ready, "the model servers to start")
            wait_for(self._answers, "the endpoint to answer")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def load(self, clients: int) -> Load:
        """Clients of the endpoint, who ask for a few tokens."""
        return Load(self.port, ENDPOINT, clients=clients, max_tokens=8)

    def roll_out(self) -> None:
        """Begin a rollout of the candidate that does not end by itself."""
        plan = RolloutPlan(guards=(Guard(name="errors"),), steps=(0.5,), minimum_samples=1_000_000)
        rollouts.start(
            self.workspace,
            model=ENDPOINT,
            endpoint=ENDPOINT,
            candidate=self.candidate.id,
            production=self.production.id,
            plan=plan,
            actor="chaos",
        )

    def rolling_out(self) -> bool:
        """Whether it is under way."""
        rollout = rollouts.active(self.workspace, ENDPOINT)
        return rollout is not None and rollout.status == "running"

    def roll_back(self) -> str:
        """Switch to the bundle before; the bundle that answers from now on.

        As another process does it, with a connection of its own to the database.
        """
        workspace = self._open(self.workspace.root)
        try:
            moved = release.roll_back(
                workspace, model=ENDPOINT, actor="chaos", reason="the database is back"
            )
        finally:
            workspace.records.close()
        return str(moved.bundle)

    def settle(self, trial: Trial) -> None:
        """Account for everything once nothing is served any more; nothing may have been dropped."""
        trial.settle(self.books.close(), dropped=0)
        self.workspace.records.close()

    def _open(self, root: Path) -> Workspace:
        return Workspace.open(root, records_url=self._records_url)

    def _environment(self) -> dict[str, str]:
        return {"TUNELOOP_RECORDS_URL": self._records_url} if self._records_url else {}

    def _answers(self) -> bool:
        not_captured = {"x-tuneloop-capture": "off"}
        with Client(self.port) as client:
            return client.chat(ENDPOINT, max_tokens=1, headers=not_captured).outcome == OK

    def _all_ready(self) -> bool:
        wanted = [one for one in servers.listing(self.workspace) if one.wanted]
        return bool(wanted) and all(one.status == "ready" for one in wanted)

    def _register(self, name: str) -> Bundle:
        folder = self.workspace.folder(f"work/{name}")
        shutil.copy(self._model, folder / "model.gguf")
        (folder / "note").write_text(name)  # the bundles share their weights and nothing else
        content = manifest_of(
            model=ENDPOINT,
            base={},
            artifacts={"export": self.workspace.artifacts.put(folder, kind="export")},
            dataset={},
            training={"name": name},
            task={"system": ""},
            serving=_SERVING,
            evaluation={"verdict": "passed"},
            routing={},
        )
        return bundles.register(self.workspace, content)

    def _deploy(self, bundle: Bundle, *, before: Bundle | None) -> None:
        endpoints.point(
            self.workspace,
            model=modelfile.load(self._folder / "tuneloop.yaml").settings,
            bundle=bundle.id,
            expected=before.id if before else None,
            actor="chaos",
            reason="chaos",
        )

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tuneloop.cli", *arguments]


def children(process: subprocess.Popen[bytes], *words: str) -> list[psutil.Process]:
    """The running processes below `process` in whose command line these words are."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            line = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if all(word in line for word in words):
            found.append(child)
    return found


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that nobody has waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(process: subprocess.Popen[bytes], *words: str) -> Any:
    """End such a process with SIGKILL, once there is one; the process that was."""
    (victim, *_) = wait_for(lambda: children(process, *words), f"a process {' '.join(words)}")
    victim.kill()
    return victim
