"""What is not ours: the port, the server, the judge, the tracker. Asked at once, and briefly."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tuneloop.deployment import up
from tuneloop.deployment.backends import table
from tuneloop.deployment.backends.base import get, listed
from tuneloop.errors import TuneloopError
from tuneloop.evaluation.judging.metric import is_judged
from tuneloop.evaluation.planned_metrics import metrics_in_gates, suite_names
from tuneloop.modelfile import EmbeddingEndpoint, ModelSettings
from tuneloop.modelfile.sections.base import ModelServer
from tuneloop.setup.finding import Finding, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.threads import within
from tuneloop.training import trackers

SECONDS = 3.0
"""How long one of them may take to answer, name resolution and all."""
_MODELS = "/models"


def reach(look: Look) -> Iterator[Finding]:
    """Each of them, in the order of the model file; they are waited for together."""
    questions = [partial(_port, look), *_servers(look.model), *_trackers(look.model)]
    answers: dict[int, Finding] = {}

    def ask(number: int, question: Callable[[], Finding]) -> None:
        answers[number] = question()

    waiting = [
        threading.Thread(target=ask, args=pair, daemon=True) for pair in enumerate(questions)
    ]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    for number in sorted(answers):
        yield answers[number]


def _port(look: Look) -> Finding:
    endpoint = look.model.endpoint
    address = f"{endpoint.host}:{endpoint.port}"
    if up.is_running(look.project.workspace):
        return ok("port", f"{address}: tuneloop up runs for this workspace.")
    try:
        with socket.create_server((endpoint.host, endpoint.port)):
            return ok("port", f"{address} is free.")
    except OSError as e:
        return warning(
            "port",
            f"{address} cannot be listened on: {e.strerror or e}.",
            "`tuneloop up` needs it: stop what listens there, or choose another endpoint.port.",
        )


def _servers(model: ModelSettings) -> Iterator[Callable[[], Finding]]:
    server, judge, embedder = model.endpoint.server, model.judge, model.monitors.embedder
    if server is not None and table.find(model.endpoint.backend).loads is None:
        yield partial(_server, "server", server, needed=False)
    if judge is not None:
        suites = suite_names(model.evaluation)
        needed = any(map(is_judged, metrics_in_gates(model.evaluation.gates_in_force, suites)))
        yield partial(_server, "judge", judge, needed=needed, named=True)
    if isinstance(embedder, EmbeddingEndpoint):
        yield partial(_server, "embedder", embedder, needed=False, named=True)


def _server(what: str, server: ModelServer, *, needed: bool, named: bool = False) -> Finding:
    """Whether an OpenAI-compatible server answers and, if it is `named` now, lists its model.

    `needed`: a gate stands on it, so that without it everything that is trained is refused.
    """
    wrong = error if needed else warning
    headers = {}
    if server.api_key_env is not None:
        key = os.environ.get(server.api_key_env)
        if not key:
            where = f"The key of {server.base_url} is expected in ${server.api_key_env}"
            remedy = f"export {server.api_key_env}=… where the command or worker runs."
            return wrong(what, f"{where}, which is not set.", remedy)
        headers["authorization"] = f"Bearer {key}"
    try:
        status, body = _asked(server.base_url.rstrip("/") + _MODELS, headers)
    except (OSError, http.client.HTTPException) as e:
        said = f"{server.base_url} does not answer: {e or type(e).__name__}."
        return wrong(what, said, "Start it, or correct its base_url.")
    if status in (401, 403):
        said = f"{server.base_url} refuses the key, with {status}."
        return wrong(what, said, f"Set another one in ${server.api_key_env or 'api_key_env'}.")
    names = listed(body) if status == 200 else []
    if named and names and server.model not in names:
        said = f"{server.base_url} answers and lists no model {server.model!r}."
        return warning(what, said, f"It lists: {', '.join(names[:5])}.")
    return ok(what, f"{server.base_url} answers.")


def _trackers(model: ModelSettings) -> Iterator[Callable[[], Finding]]:
    for name in model.training.trackers:
        yield partial(_tracker, name)


def _tracker(name: str) -> Finding:
    try:
        trackers.chosen([name])
    except TuneloopError as e:
        return error("tracker", e.message, e.remedy)
    if name == "mlflow":
        return _mlflow(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if name == "wandb":
        return _wandb()
    return ok("tracker", f"{name} is installed.")


def _mlflow(address: str) -> Finding:
    if not address.startswith(("http://", "https://")):
        return ok("tracker", f"mlflow writes to {address or 'a folder here'}.")
    try:
        _asked(address.rstrip("/") + "/health", {})
    except (OSError, http.client.HTTPException) as e:
        return error(
            "tracker",
            f"mlflow: {address} does not answer: {e or type(e).__name__}.",
            "Start it, correct MLFLOW_TRACKING_URI, or take it out of training.trackers.",
        )
    return ok("tracker", f"mlflow: {address} answers.")


def _wandb() -> Finding:
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return ok("tracker", f"wandb: WANDB_MODE is {mode}.")
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    name = host.removeprefix("https://").removeprefix("http://").split("/")[0]
    known = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if "WANDB_API_KEY" not in os.environ and not _mentions(known, name):
        return error(
            "tracker",
            f"wandb: nobody is logged in at {name}.",
            "wandb login, or export WANDB_MODE=offline, or take it out of training.trackers.",
        )
    try:
        _asked(host, {})
    except (OSError, http.client.HTTPException) as e:
        return warning(
            "tracker",
            f"wandb: {host} does not answer: {e or type(e).__name__}.",
            "To go on without it: export WANDB_MODE=offline.",
        )
    return ok("tracker", f"wandb: {host} answers.")


def _mentions(file: Path, host: str) -> bool:
    try:
        return host in file.read_text("utf-8", errors="replace")
    except OSError:
        return False


def _asked(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Status and body; not even the name of the host is waited for longer than `SECONDS`."""
    answers: list[tuple[int, bytes]] = []
    within(SECONDS, lambda: answers.append(get(url, timeout_seconds=SECONDS, headers=headers)))
    return answers[0]
