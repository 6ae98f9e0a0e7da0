"""The embedded default: one llama.cpp server process for each bundle.

The name that it serves under is unique to the bundle and nothing is ever reloaded in place: engines
have been seen to answer with stale weights or a stale prompt cache after a reload.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.deployment.backends.base import (
    Capability,
    Proof,
    ServerHandle,
    answers,
    local_url,
)
from tuneloop.deployment.backends.llamacpp_child import DRY, on_processors_alone
from tuneloop.deployment.backends.llamacpp_observation import http_poster, observe_server
from tuneloop.deployment.observation import Observation, Prompt
from tuneloop.deployment.processes import ChildProcess, free_port
from tuneloop.deployment.supervisor import ProcessSpec
from tuneloop.errors import DeploymentError, UsageError
from tuneloop.modelfile import Problem

if TYPE_CHECKING:
    from tuneloop.modelfile import EndpointSettings
    from tuneloop.progress import Progress

_MAGIC = b"GGUF"
_ATTEMPTS = 3
_PORT_TAKEN = "couldn't bind HTTP server socket"
_CHILD = "tuneloop.deployment.backends.llamacpp_child"


@dataclass(frozen=True, kw_only=True)
class LlamaSettings:
    """How to run llama.cpp's server."""

    context_tokens: int = 4096
    """Of each slot: prompt and answer of one request must fit."""
    parallel: int = 4
    """Slots: requests that are worked on at the same time."""
    threads: int | None = None
    """None: all physical cores but one, at most 16; see `default_threads`."""
    flash_attention: bool = False
    """On a CPU; see docs/decisions/0014. With a GPU llama.cpp decides."""
    dry: bool = False
    """Steer away from saying a run of tokens again; see `llamacpp_child`."""
    prompt_cache_mb: int = 512
    """Memory for the prompts of conversations that have no slot just now."""
    startup_timeout_seconds: float = 180.0
    stop_grace_seconds: float = 5.0
    executable: str | None = None
    """Another llama.cpp server to run instead of the one in the wheel, e.g. `llama-server`."""


def settings_of(serving: Mapping[str, Any]) -> LlamaSettings:
    """How the `serving` part of a bundle's manifest says that the bundle is to be run."""
    return LlamaSettings(
        context_tokens=serving["context_tokens"],
        parallel=serving["parallel_requests"],
        threads=serving["threads"],
        # A bundle from before this could be said was evaluated with it.
        flash_attention=serving.get("flash_attention", True),
        dry=serving.get("dry", False),
    )


def physical_cores() -> int:
    """Cores that this process may use, two hardware threads of one core counted once."""
    allowed = os.sched_getaffinity(0)
    siblings = set()
    for cpu in allowed:
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(path.read_text().strip())
        except OSError:
            siblings.add(str(cpu))
    return min(16, len(siblings))


def default_threads() -> int:
    """All physical cores but one, and at least one.

    llama.cpp's threads wait for each other by spinning: when another process takes one of their
    cores, all of them wait, and answers take many times as long. The gateway needs that core.
    """
    return max(1, physical_cores() - 1)


def command(model: Path, *, served_name: str, port: int, settings: LlamaSettings) -> list[str]:
    """The command line that serves `model`, for whoever supervises it."""
    threads = settings.threads or default_threads()
    if settings.executable is not None:
        return _foreign_command(model, served_name, port, threads, settings)
    flags = {
        "--model": model,
        "--port": port,
        "--alias": served_name,
        "--ctx": settings.context_tokens,
        "--parallel": settings.parallel,
        "--threads": threads,
        "--prompt-cache-mb": settings.prompt_cache_mb,
    }
    words = [str(word) for pair in flags.items() for word in pair]
    switches = ["--flash-attention"] if settings.flash_attention else []
    switches += ["--dry"] if settings.dry else []
    return [sys.executable, "-m", _CHILD, *words, *switches, "--until-stdin-closes"]


def server_version() -> str:
    """What `LlamaServer` runs by default: part of what decides an answer."""
    try:
        return f"xllamacpp {version('xllamacpp')}"
    except PackageNotFoundError:
        return "none"


def is_ready(port: int) -> bool:
    """Whether the server on this port has its model loaded."""
    return answers(f"http://127.0.0.1:{port}/health")


class LlamaServer:
    """A llama.cpp server for as long as the context lasts; its process dies with ours."""

    def __init__(
        self,
        model: Path,
        *,
        served_name: str,
        settings: LlamaSettings | None = None,
        log: Path | None = None,
    ) -> None:
        """`model`: a GGUF file; `log`: appended to, a temporary file by default."""
        self._model = model
        self._served_name = served_name
        self._settings = settings or LlamaSettings()
        self._log = log
        self._child: ChildProcess | None = None
        self._port = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None else None

    def start(self) -> ServerHandle:
        """Serve, and return when the model is loaded.

        Raises:
            DeploymentError: no such file, no GGUF, not ready in time; nothing is left running.
            UsageError: the chosen executable does not exist.
        """
        check_gguf(self._model)
        for attempt in range(_ATTEMPTS):
            self._port = free_port()
            self._child = ChildProcess(self._command(), log=self._log_path())
            problem = self._wait_until_ready(self._child)
            if problem is None:
                return ServerHandle(base_url=local_url(self._port), served_name=self._served_name)
            self.stop()
            if _PORT_TAKEN not in problem or attempt == _ATTEMPTS - 1:
                raise DeploymentError(
                    f"The model server for {self._model.name} did not start: {problem}",
                    remedy=f"Its log is {self._log_path()}.",
                )
        raise AssertionError  # the last attempt returns or raises

    def is_healthy(self) -> bool:
        """Whether the server answers now."""
        return self._child is not None and self._child.exit_code is None and is_ready(self._port)

    def stop(self) -> None:
        """End the process; doing it again changes nothing."""
        child, self._child = self._child, None
        if child is not None:
            child.stop(grace_seconds=self._settings.stop_grace_seconds)

    def __enter__(self) -> ServerHandle:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        return command(
            self._model, served_name=self._served_name, port=self._port, settings=self._settings
        )

    def _log_path(self) -> Path:
        if self._log is None:
            descriptor, name = tempfile.mkstemp(prefix="tuneloop-llamacpp-", suffix=".log")
            os.close(descriptor)
            self._log = Path(name)
        return self._log

    def _wait_until_ready(self, child: ChildProcess) -> str | None:
        """What went wrong, or None when it is ready."""
        timeout = self._settings.startup_timeout_seconds
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if child.exit_code is not None:
                return failure_reason(child)
            if is_ready(self._port):
                return None
            time.sleep(0.05)
        return f"not ready after {timeout:g} s. {failure_reason(child)}"


def check_gguf(model: Path) -> None:
    """Look whether a file can be a GGUF model at all.

    Raises:
        DeploymentError: it is missing, unreadable or something else.
    """
    try:
        with model.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as e:
        raise DeploymentError(f"Cannot read the model file {model}: {e.strerror}.") from e
    if magic != _MAGIC:
        raise DeploymentError(
            f"Expected a GGUF model in {model}, got a file that begins with {magic!r}.",
            remedy="Export the bundle again.",
        )


def failure_reason(child: ChildProcess) -> str:
    """The errors in the child's log, else its last lines, on one line."""
    tail = child.log_tail(40)
    errors = [line.split(" E ", 1)[1].strip() for line in tail if " E " in line]
    code = child.exit_code
    return " | ".join(errors[:3] or tail[-3:] or [f"exit code {code}, and nothing in its log"])


def _foreign_command(
    model: Path, served_name: str, port: int, threads: int, settings: LlamaSettings
) -> list[str]:
    executable = shutil.which(settings.executable or "")
    if executable is None:
        raise UsageError(
            f"Expected the llama.cpp server {settings.executable!r} on PATH, found none.",
            remedy="Install it, or leave the setting out to use the built-in server.",
        )
    flags = {
        "--model": model,
        "--host": "127.0.0.1",
        "--port": port,
        "--alias": served_name,
        "--ctx-size": settings.context_tokens * settings.parallel,
        "--parallel": settings.parallel,
        "--threads": threads,
        "--cache-ram": settings.prompt_cache_mb,
        "--reasoning-format": "none",
    }
    if settings.dry:
        flags |= {f"--dry-{name.replace('_', '-')}": value for name, value in DRY.items()}
    return [executable, *(str(word) for pair in flags.items() for word in pair), "--jinja"]


def model_server(
    *, name: str, model: Path, served_name: str, port: int, log: Path, settings: LlamaSettings
) -> ProcessSpec:
    """A llama.cpp server for the GGUF file `model`; it answers at `local_url(port)`.

    Raises:
        DeploymentError: `model` is no GGUF file.
        UsageError: the executable that `settings` names does not exist.
    """
    check_gguf(model)
    line = command(model, served_name=served_name, port=port, settings=settings)
    return ProcessSpec(
        name=name,
        command=tuple(line),
        log=log,
        ready=partial(is_ready, port),
        explain=failure_reason,
        ready_within_seconds=settings.startup_timeout_seconds,
        grace_seconds=settings.stop_grace_seconds,
    )


class LlamaCpp:
    """llama.cpp's server, a process for each bundle, kept running by `tuneloop up`."""

    name = "llama.cpp"
    loads = "gguf"
    offers = frozenset(
        {
            Capability.TOKENISE,
            Capability.LOG_PROBABILITIES,
            Capability.GRAMMAR,
            Capability.FORGET,
        }
    )
    proof = Proof.FILE
    anew: Mapping[str, Any] = {"cache_prompt": False}

    def version(self) -> str:
        """Of the wheel that serves."""
        return server_version()

    def problems(self, endpoint: EndpointSettings) -> Iterator[Problem]:
        """An address is of no use to a server that is started here."""
        if endpoint.server is not None:
            yield Problem(
                at=("endpoint", "server"),
                message=f"The backend {self.name} starts its own server and looks at no address.",
                remedy="To be served there: endpoint.backend: openai",
            )

    def settings(self, endpoint: EndpointSettings) -> dict[str, Any]:
        """Context, slots, threads."""
        known = self.conditions(endpoint, digest="")
        # Left out where it is off, as in bundles from before this could be said.
        return {key: value for key, value in known.items() if key != "flash_attention" or value}

    def conditions(self, endpoint: EndpointSettings, *, digest: str) -> dict[str, Any]:
        """Context, slots, threads and attention decide both answers and their latency."""
        return {
            "context_tokens": endpoint.context_tokens,
            "parallel_requests": endpoint.parallel_requests,
            "threads": endpoint.threads,
            "flash_attention": endpoint.flash_attention,
            # Left out where it is off, as in bundles from before this could be said.
            **({"dry": True} if endpoint.dry else {}),
        }

    def concurrency(self, serving: Mapping[str, Any]) -> int:
        """Its slots."""
        return int(serving["parallel_requests"])

    def servers_at_once(self, serving: Mapping[str, Any]) -> int:
        """As many as have cores of their own: threads that share one wait for each other. One where
        there is a GPU, which all would share."""
        if not on_processors_alone():
            return 1
        threads = serving["threads"] or default_threads()
        return max(1, physical_cores() // int(threads))

    def server(
        self, serving: Mapping[str, Any], *, model: Path, served_name: str, log: Path
    ) -> LlamaServer:
        """A server for as long as it is held."""
        return LlamaServer(model, served_name=served_name, settings=settings_of(serving), log=log)

    def process(
        self, serving: Mapping[str, Any], *, model: Path, served_name: str, port: int, log: Path
    ) -> ProcessSpec:
        """A server that the supervisor keeps running."""
        return model_server(
            name=served_name,
            model=model,
            served_name=served_name,
            port=port,
            log=log,
            settings=settings_of(serving),
        )

    def observe(
        self, base_url: str, prompts: Sequence[Prompt], *, positions: int, progress: Progress
    ) -> list[Observation]:
        """Token ids and log-probabilities, by llama.cpp's own endpoints."""
        return observe_server(
            http_poster(base_url), prompts, positions=positions, progress=progress
        )


LLAMA_CPP = LlamaCpp()
