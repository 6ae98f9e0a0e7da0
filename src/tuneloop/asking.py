"""Servers for the steps that must ask a model: the running one, or one for the moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tuneloop.deployment import release, servers, up
from tuneloop.deployment.backends.llamacpp import (
    LlamaServer,
    LlamaSettings,
    server_version,
    settings_of,
)
from tuneloop.deployment.smoke import Ask
from tuneloop.errors import TuneloopError
from tuneloop.evaluation.suites import Messages
from tuneloop.evaluation.targets import Answer, OpenAITarget, Sampling
from tuneloop.modelfile import EndpointSettings, ModelSettings
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.workspace import Workspace


def sampling_of(model: ModelSettings) -> Sampling:
    """How production draws its answers, and so how they are evaluated."""
    endpoint, schema = model.endpoint, model.task.output_schema
    constrained = endpoint.constrain_output and schema is not None
    return Sampling(
        temperature=endpoint.temperature,
        max_tokens=endpoint.max_tokens,
        response_format=_only(schema) if constrained else None,
    )


def _only(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The request field that keeps an answer to a schema, as OpenAI defines it."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }


def conditions(model: ModelSettings) -> dict[str, Any]:
    """What decides, beside a file and the prompt, what its server answers and how fast.

    These are fields of the `serving` part of a bundle's manifest.
    """
    return {
        "sampling": sampling_of(model).as_request(),
        **served_with(model.endpoint),
        "server": server_version(),
    }


def served_with(endpoint: EndpointSettings) -> dict[str, Any]:
    """The settings of `file_server` that decide what a file answers and how fast."""
    return {
        "context_tokens": endpoint.context_tokens,
        "parallel_requests": endpoint.parallel_requests,
        "threads": endpoint.threads,
        "flash_attention": endpoint.flash_attention,
    }


class OnDemand:
    """A target whose server is started with the first question, and not where none is left."""

    def __init__(
        self,
        open_servers: ExitStack,
        serve: Callable[[], AbstractContextManager[str]],
        *,
        model: str,
        identity: str,
        sampling: Sampling,
        request_fields: Mapping[str, Any] | None = None,
    ) -> None:
        """`serve` gives the base URL; it is closed with `open_servers`."""
        self.identity = identity
        self.sampling = sampling
        self._open_servers = open_servers
        self._serve = serve
        self._model = model
        self._request_fields = request_fields or {}
        self._lock = threading.Lock()
        self._target: OpenAITarget | None = None
        self._failed: TuneloopError | None = None

    def complete(self, messages: Messages) -> Answer:
        """Answer one prompt; safe to call from many threads.

        Raises:
            DeploymentError: the server does not come up; it is tried once, for all threads.
        """
        return self._opened().complete(messages)

    def without_memory(self) -> OnDemand:
        """The same server, which reads every prompt from its first token (llama.cpp's field)."""
        return OnDemand(
            self._open_servers,
            lambda: nullcontext(self._opened().base_url),
            model=self._model,
            identity=self.identity,
            sampling=self.sampling,
            request_fields={"cache_prompt": False},
        )

    def _opened(self) -> OpenAITarget:
        with self._lock:
            if self._failed is not None:  # Those who waited would each sit out its start again.
                raise self._failed
            if self._target is None:
                self._target = OpenAITarget(
                    base_url=self._base_url(),
                    model=self._model,
                    identity=self.identity,
                    sampling=self.sampling,
                    request_fields=self._request_fields,
                )
        return self._target

    def _base_url(self) -> str:
        try:
            return self._open_servers.enter_context(self._serve())
        except TuneloopError as e:
            self._failed = e
            raise


def model_path(workspace: Workspace, bundle: Bundle) -> Path:
    """The verified file that a bundle serves."""
    folder = bundles.verify(workspace, bundle)["export"]
    return folder / str(bundle.manifest["serving"]["file"])


@contextmanager
def file_server(
    workspace: Workspace, path: Path, *, name: str, endpoint: EndpointSettings
) -> Iterator[str]:
    """Serve a GGUF file with production's settings; gives the base URL."""
    settings = LlamaSettings(
        context_tokens=endpoint.context_tokens,
        parallel=endpoint.parallel_requests,
        threads=endpoint.threads,
        flash_attention=endpoint.flash_attention,
    )
    log = workspace.folder("logs") / f"server-{name[:12]}.log"
    with LlamaServer(path, served_name=name, settings=settings, log=log) as handle:
        yield handle.base_url


@contextmanager
def bundle_server(workspace: Workspace, bundle: Bundle) -> Iterator[str]:
    """The base URL of a bundle: its server under `tuneloop up`, else one that lives this long."""
    if up.is_running(workspace):
        servers.want(workspace, bundle.id)
        yield release.wait_until_ready(workspace, bundle.id)
        return
    log = workspace.folder("logs") / f"server-{bundle.short}.log"
    with LlamaServer(
        model_path(workspace, bundle),
        served_name=bundle.id,
        settings=settings_of(bundle.manifest["serving"]),
        log=log,
    ) as handle:
        yield handle.base_url


def sampling_in(bundle: Bundle) -> Sampling:
    """How a bundle draws its answers wherever it is asked."""
    return Sampling(**bundle.manifest["serving"]["sampling"])


def target_of(bundle: Bundle, base_url: str) -> OpenAITarget:
    """A bundle as the evaluation asks it."""
    return OpenAITarget(
        base_url=base_url, model=bundle.id, identity=bundle.id, sampling=sampling_in(bundle)
    )


def ask_at(base_url: str, bundle: Bundle) -> Ask:
    """How the smoke test asks; an error counts as no answer."""
    target = target_of(bundle, base_url)

    def ask(messages: Sequence[Mapping[str, str]]) -> str:
        answer = target.complete(tuple(messages))
        return "" if answer.error else answer.text

    return ask
