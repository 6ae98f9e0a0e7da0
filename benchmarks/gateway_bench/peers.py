"""The proxies under comparison: how each is installed, configured and started.

Every one is a single process on one core, before the same upstream, asked with the same request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway_bench import nginx
from gateway_bench.canned import MODEL
from gateway_bench.installs import environment, program
from gateway_bench.processes import Cores, Running, accepts, free_port

AUTHORIZATION = "Bearer sk-bench"
"""LiteLLM does not start without a key; the others are sent it all the same."""
_HERE = Path(__file__).resolve().parent
_START_SECONDS = 120.0
_CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>")
"""Of a base, as each bundle's route has them: they are broken up in what clients say."""
_LITELLM_ENVIRONMENT = {
    "LITELLM_MASTER_KEY": AUTHORIZATION.removeprefix("Bearer "),
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_DOCS": "True",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a proxy runs in one turn."""

    folder: Path
    """Of this turn alone."""
    upstream: str
    """HOST:PORT."""
    cores: Cores
    streams: bool
    """Whether streams are measured."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A proxy that accepts connections."""

    running: Running
    port: int

    @property
    def url(self) -> str:
        """Where chat completions are asked for."""
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"


class Peer(Protocol):
    """One proxy."""

    name: str

    def install(self) -> str:
        """Make it usable and say which version it is.

        Raises:
            MissingError: it cannot be had here.
        """

    def start(self, place: Place) -> Started:
        """Start it.

        Raises:
            RuntimeError: it does not come up.
        """


class Nginx:
    """`proxy_pass`, one worker.

    keepalive: with connections to the upstream kept open, as all the others do. Without, as a bare
    `proxy_pass` does it, every request opens one, which costs it two thirds of its speed.
    """

    def __init__(self, *, keepalive: bool) -> None:
        self.name = "nginx" if keepalive else "nginx_without_keepalive"
        self._keepalive = keepalive

    def install(self) -> str:
        self._program = program("nginx")
        return nginx.version(self._program)

    def start(self, place: Place) -> Started:
        port = free_port()
        configuration = nginx.proxy(
            place.folder, port, place.upstream, keepalive=self._keepalive, streams=place.streams
        )
        command = nginx.command(self._program, configuration)
        return _started(command, port, place, self._program.environment)


class Tuneloop:
    """This package's gateway, started as `tuneloop up` starts it."""

    def __init__(self, *, capture: bool) -> None:
        self.name = "tuneloop" if capture else "tuneloop_no_capture"
        self.captures = capture

    def install(self) -> str:
        from importlib.metadata import version

        return version("tuneloop")

    def start(self, place: Place) -> Started:
        from tuneloop.gateway import server

        port, routes = free_port(), place.folder / "routes.json"
        self._publish(routes, place.upstream)
        command = server.command(routes=routes, spool=place.folder / "spool", port=port)
        return _started(command, port, place, {})

    def _publish(self, path: Path, upstream: str) -> None:
        from tuneloop.registry.routes import (
            Arm,
            CaptureRule,
            Endpoint,
            RouteSnapshot,
            Target,
            publish,
        )

        endpoint = Endpoint(
            arms=(Arm(bundle="bundle"),), capture=CaptureRule(enabled=self.captures)
        )
        target = Target(
            base_url=f"http://{upstream}/v1", served_name=MODEL, control_tokens=_CONTROL_TOKENS
        )
        snapshot = RouteSnapshot(version=1, endpoints={MODEL: endpoint}, bundles={"bundle": target})
        publish(snapshot, path)


class LiteLLM:
    """The proxy as its production guide configures it, without a database, one worker.

    1.108.7 is the newest version whose requirements could be installed when this was written.
    Its uvicorn (the default) was faster here than its `--run_granian`.
    """

    name = "litellm"
    _REQUIREMENTS = ("litellm[proxy]==1.108.7",)

    def install(self) -> str:
        self._python = environment("litellm", self._REQUIREMENTS)
        return self._REQUIREMENTS[0].partition("==")[2]

    def start(self, place: Place) -> Started:
        port, path = free_port(), place.folder / "config.yaml"
        parameters = {
            "model": f"openai/{MODEL}",
            "api_base": f"http://{place.upstream}/v1",
            "api_key": "none",
        }
        configuration = {
            "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
            "litellm_settings": {"set_verbose": False, "telemetry": False},
        }
        path.write_text(json.dumps(configuration))  # JSON is YAML
        command = [str(self._python.parent / "litellm"), "--config", str(path)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        return _started(command, port, place, _LITELLM_ENVIRONMENT)


class TensorZeroEmbedded:
    """The embedded gateway of TensorZero's Python client, behind `tensorzero_app`."""

    name = "tensorzero_embedded"
    _REQUIREMENTS = (
        "tensorzero==2026.6.0",
        "granian==2.8.7",
        "uvloop==0.23.0",
        "msgspec==0.22.0",
    )

    def install(self) -> str:
        self._python = environment("tensorzero", self._REQUIREMENTS)
        return self._REQUIREMENTS[0].partition("==")[2]

    def start(self, place: Place) -> Started:
        port, path = free_port(), place.folder / "tensorzero.toml"
        path.write_text(
            "[gateway]\n"
            "observability.enabled = false\n"
            "disable_pseudonymous_usage_analytics = true\n"
            f"[models.{MODEL}]\n"
            'routing = ["upstream"]\n'
            f"[models.{MODEL}.providers.upstream]\n"
            'type = "openai"\n'
            f'api_base = "http://{place.upstream}/v1/"\n'
            f'model_name = "{MODEL}"\n'
            'api_key_location = "none"\n'
        )
        command = [str(self._python), str(_HERE / "tensorzero_app.py")]
        command += ["--config", str(path), "--port", str(port)]
        return _started(command, port, place, {})


def all_peers() -> list[Peer]:
    """In the order in which they take turns."""
    return [
        Nginx(keepalive=True),
        Nginx(keepalive=False),
        Tuneloop(capture=True),
        Tuneloop(capture=False),
        TensorZeroEmbedded(),
        LiteLLM(),
    ]


def _started(command: list[str], port: int, place: Place, environment: dict[str, str]) -> Started:
    running = Running(
        command,
        core=place.cores.proxy,
        log=place.folder / "log.txt",
        environment=environment,
    )
    try:
        running.wait_until(lambda: accepts(port), seconds=_START_SECONDS)
    except BaseException:
        running.stop()
        raise
    return Started(running=running, port=port)
