"""Servers for the steps that must ask a model: the running one, or one for the moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from tuneloop.deployment import bundle_server
from tuneloop.deployment.backends import table
from tuneloop.deployment.backends.base import (
    Backend,
    ObservingBackend,
    Proof,
    Server,
    ServerHandle,
)
from tuneloop.errors import TuneloopError
from tuneloop.evaluation.suites import Messages, Tools
from tuneloop.evaluation.targets import Answer, OpenAITarget, Sampling
from tuneloop.hashing import digest_json
from tuneloop.modelfile import EndpointSettings, ModelSettings
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


FORM = "gguf"
"""Of the files that are exported to be served."""


def backend_of(model: ModelSettings) -> Backend:
    """What serves the model's bundles, as the model file says.

    Raises:
        UsageError: it is not known here.
    """
    return table.find(model.endpoint.backend)


def reader() -> ObservingBackend:
    """What serves files here to be looked at: every hop of an export, and the untuned base."""
    return table.reader_of(FORM)


def conditions(model: ModelSettings, backend: Backend, *, digest: str) -> dict[str, Any]:
    """What decides, beside a file and the prompt, what its server answers and how fast.

    These are fields of the `serving` part of a bundle's manifest. `digest`: SHA-256 of the file.
    """
    return {
        "sampling": sampling_of(model).as_request(),
        **backend.conditions(model.endpoint, digest=digest),
        "server": backend.version(),
    }


def concurrency(model: ModelSettings) -> int:
    """How many requests production's server works on at a time, as its backend declares."""
    backend = backend_of(model)
    return backend.concurrency(backend.conditions(model.endpoint, digest=""))


def two_fit(model: ModelSettings) -> bool:
    """Whether this machine runs two servers of ours without one slowing the other."""
    return reader().servers_at_once(reader().conditions(model.endpoint, digest="")) >= 2


class OnDemand:
    """A target whose server is started with the first question, and not where none is left."""

    def __init__(
        self,
        open_servers: ExitStack,
        serve: Callable[[], AbstractContextManager[ServerHandle]],
        *,
        identity: str,
        sampling: Sampling,
        anew: Mapping[str, Any],
        request_fields: Mapping[str, Any] | None = None,
        cut_loops: bool = False,
        total_seconds: float = EndpointSettings().total_seconds,
    ) -> None:
        """What `serve` opens is closed with `open_servers`; `anew` is the backend's; `cut_loops`
        and `total_seconds` are the target's."""
        self.identity = identity
        self.sampling = sampling
        self._open_servers = open_servers
        self._serve = serve
        self._anew = anew
        self._request_fields = request_fields or {}
        self._cut_loops = cut_loops
        self._total_seconds = total_seconds
        self._lock = threading.Lock()
        self._handle: ServerHandle | None = None
        self._target: OpenAITarget | None = None
        self._failed: TuneloopError | None = None

    def complete(self, messages: Messages, tools: Tools = ()) -> Answer:
        """Answer one prompt; safe to call from many threads.

        Raises:
            DeploymentError: the server does not come up; it is tried once, for all threads.
        """
        return self._opened().complete(messages, tools)

    def without_memory(self) -> OnDemand | None:
        """The same server, which reads every prompt from its first token; None where it cannot be
        asked to."""
        if not self._anew:
            return None
        return OnDemand(
            self._open_servers,
            lambda: nullcontext(self.opened()),
            identity=self.identity,
            sampling=self.sampling,
            anew=self._anew,
            request_fields=self._anew,
            cut_loops=self._cut_loops,
            total_seconds=self._total_seconds,
        )

    def without_form(self) -> OnDemand:
        """The same server, which may say anything."""
        if self.sampling.response_format is None:
            return self
        return OnDemand(
            self._open_servers,
            lambda: nullcontext(self.opened()),
            identity=self.identity,
            sampling=self.sampling.without_form(),
            anew=self._anew,
            request_fields=self._request_fields,
            cut_loops=self._cut_loops,
            total_seconds=self._total_seconds,
        )

    def opened(self) -> ServerHandle:
        """The server, started where it was not yet.

        Raises:
            DeploymentError: as `complete`.
        """
        with self._lock:
            if self._failed is not None:  # Those who waited would each sit out its start again.
                raise self._failed
            if self._handle is None:
                try:
                    self._handle = self._open_servers.enter_context(self._serve())
                except TuneloopError as e:
                    self._failed = e
                    raise
        return self._handle

    def _opened(self) -> OpenAITarget:
        handle = self.opened()
        if self._target is None:
            self._target = target_at(
                handle,
                identity=self.identity,
                sampling=self.sampling,
                request_fields=self._request_fields,
                cut_loops=self._cut_loops,
                total_seconds=self._total_seconds,
            )
        return self._target


def file_target(
    workspace: Workspace,
    open_servers: ExitStack,
    backend: Backend,
    path: Path,
    *,
    digest: str,
    label: str,
    endpoint: EndpointSettings,
    sampling: Sampling,
    cut_loops: bool = False,
) -> OnDemand:
    """A file with this SHA-256 behind a backend's server, as the evaluation asks it."""
    name, identity = f"{label}-{digest[:12]}", digest
    if backend.proof is not Proof.FILE:  # what somebody else loaded at an address
        served = backend.conditions(endpoint, digest=digest)
        identity = digest_json({"file": digest, "served": served})
    return OnDemand(
        open_servers,
        lambda: server_of(workspace, backend, path, name=name, endpoint=endpoint, digest=digest),
        identity=identity,
        sampling=sampling,
        anew=backend.anew,
        cut_loops=cut_loops,
        total_seconds=endpoint.total_seconds,
    )


def bundle_target(
    workspace: Workspace,
    open_servers: ExitStack,
    bundle: Bundle,
    *,
    endpoint: EndpointSettings,
    cut_loops: bool = False,
) -> OnDemand:
    """A bundle as it is served, as the evaluation asks it; `endpoint` is where it would answer."""
    return OnDemand(
        open_servers,
        lambda: bundle_server.opened(workspace, bundle),
        identity=bundle.id,
        sampling=sampling_in(bundle),
        anew=table.backend_of(bundle.manifest.serving).anew,
        cut_loops=cut_loops,
        total_seconds=endpoint.total_seconds,
    )


def file_server(
    workspace: Workspace, path: Path, *, name: str, endpoint: EndpointSettings
) -> Server:
    """Serves a file here, with production's settings as far as they concern a server of ours."""
    return server_of(workspace, reader(), path, name=name, endpoint=endpoint, digest="")


def server_of(
    workspace: Workspace,
    backend: Backend,
    path: Path,
    *,
    name: str,
    endpoint: EndpointSettings,
    digest: str,
) -> Server:
    """The server of a file with this SHA-256, as the model file says; `name` for one of ours."""
    log = workspace.folder("logs") / f"server-{name[:12]}.log"
    serving = backend.conditions(endpoint, digest=digest)
    return backend.server(serving, model=path, served_name=name, log=log)


def sampling_in(bundle: Bundle) -> Sampling:
    """How a bundle draws its answers wherever it is asked."""
    return Sampling(**bundle.manifest.serving.sampling)


def target_at(
    handle: ServerHandle,
    *,
    identity: str,
    sampling: Sampling,
    request_fields: Mapping[str, Any] | None = None,
    cut_loops: bool = False,
    total_seconds: float = EndpointSettings().total_seconds,
) -> OpenAITarget:
    """A server as the evaluation asks it; `cut_loops`: answers are ended where they loop, and
    waited for as long as `total_seconds`.

    Raises:
        DeploymentError: its key is not in the environment.
    """
    return OpenAITarget(
        base_url=handle.base_url,
        model=handle.served_name,
        identity=identity,
        sampling=sampling,
        api_key=handle.api_key,
        request_fields=request_fields or {},
        cut_loops=cut_loops,
        total_seconds=total_seconds,
    )
