"""A gateway process before llama.cpp's real server with a real, tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway_process import RunningGateway, wait_for

from tuneloop.deployment.backends.base import ServerHandle
from tuneloop.deployment.backends.llamacpp import LlamaServer, LlamaSettings
from tuneloop.deployment.export.convert import convert_to_gguf
from tuneloop.deployment.processes import free_port
from tuneloop.progress import Silent
from tuneloop.testing.tiny_model import make_tiny_model

_SETTINGS = LlamaSettings(context_tokens=512, parallel=2, threads=1, startup_timeout_seconds=30)


@contextmanager
def gateway_before_llamacpp(folder: Path) -> Iterator[tuple[RunningGateway, ServerHandle]]:
    """The endpoint `desk`, and the server behind it for those who want to ask it directly."""
    make_tiny_model(folder / "hf")
    model = folder / "tiny.gguf"
    convert_to_gguf(folder / "hf", model, name="tiny", progress=Silent())
    gateway = RunningGateway(folder=folder, port=free_port())
    try:
        with LlamaServer(
            model, served_name="served-b1", settings=_SETTINGS, log=folder / "llama.log"
        ) as server:
            gateway.route(server.base_url)
            gateway.start()
            wait_for(lambda: gateway.get("/readyz")[0] == 200)
            yield gateway, server
    finally:
        gateway.close()
