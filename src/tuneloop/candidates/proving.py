"""Whether a server that somebody else runs has the file that was exported.

Its owner loads the file under a name of the file's own; tuneloop waits until the server lists that
name, and compares what it answers with what the very file answers on a server of ours.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneloop import serving
from tuneloop.candidates.exporting import PARITY_PROMPTS, Exported
from tuneloop.deployment.backends.base import Proof, Server, ServerHandle, address_in
from tuneloop.errors import DeploymentError
from tuneloop.evaluation.suites import Suite
from tuneloop.evaluation.targets import Answer, ChatTarget, asked
from tuneloop.modelfile import ModelSettings
from tuneloop.progress import Progress, duration
from tuneloop.registry import bundle as bundles
from tuneloop.workspace import Workspace

_LEAST_SHARE = 0.5
"""Another server rounds otherwise, and a near tie of two tokens may turn over; other weights
change nearly every answer of a tuned model."""
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class SameAnswers:
    """How many answers of a server are those of the exported file."""

    compared: int
    agreed: int

    @property
    def shown(self) -> bool:
        """Whether the server may have loaded that file."""
        return self.compared > 0 and self.agreed >= _LEAST_SHARE * self.compared

    def as_json(self) -> dict[str, Any]:
        """As a manifest has it."""
        return {"by": Proof.ANSWERS.value, "compared": self.compared, "agreed": self.agreed}


def prove(
    workspace: Workspace,
    model: ModelSettings,
    exported: Exported,
    suite: Suite,
    target: serving.OnDemand,
    *,
    progress: Progress,
) -> dict[str, Any] | None:
    """How it is known that `target` has the exported file; None where it is loaded by us.

    Raises:
        DeploymentError: it is not there in time, its name is another file's, or it answers as
            another model does.
    """
    backend, digest = serving.backend_of(model), exported.served.digest
    if backend.proof is Proof.FILE:
        return None
    address = address_in(backend.conditions(model.endpoint, digest=digest))
    if address is None:
        raise DeploymentError(f"The backend {backend.name} does not say where it serves.")
    _refuse_shared_name(workspace, model, address, digest)
    server = serving.server_of(
        workspace,
        backend,
        exported.served_path,
        name=address.served_name,
        endpoint=model.endpoint,
        digest=digest,
    )
    _wait_for_owner(server, address, model, exported, progress)
    progress.step(f"Comparing what {address.served_name} answers with the exported file")
    with serving.file_server(
        workspace, exported.served_path, name="exported", endpoint=model.endpoint
    ) as ours:
        greedy = replace(target.sampling, temperature=0.0)
        expected = _asked(serving.target_at(ours, identity=digest, sampling=greedy), suite)
    theirs = serving.target_at(target.opened(), identity=digest, sampling=greedy)
    same = same_answers(expected, _asked(theirs, suite))
    if not same.shown:
        raise DeploymentError(
            f"{address.served_name} at {address.base_url} does not answer as the exported file: "
            f"{same.agreed} of {same.compared} answers are the same.",
            remedy=f"Load {exported.served_path} there under that name, with its own chat "
            "template, then go on with: tuneloop run",
        )
    progress.note(f"{same.agreed} of {same.compared} answers are those of the exported file")
    return same.as_json()


def same_answers(expected: Sequence[Answer], answered: Sequence[Answer]) -> SameAnswers:
    """Count the answers that are the same; pure. One that fails is not."""
    pairs = list(zip(expected, answered, strict=True))
    agreed = sum(
        a.error is None and b.error is None and a.text.strip() == b.text.strip() for a, b in pairs
    )
    return SameAnswers(compared=len(pairs), agreed=agreed)


def _refuse_shared_name(
    workspace: Workspace, model: ModelSettings, address: ServerHandle, digest: str
) -> None:
    """A name that had other weights would answer for both, and a rollback would change nothing."""
    for bundle in bundles.listing(workspace):
        served = bundle.manifest.serving
        other = address_in(served.conditions)
        if other is None or served.digest == digest:
            continue
        if (other.base_url, other.served_name) == (address.base_url, address.served_name):
            raise DeploymentError(
                f"{address.served_name} at {address.base_url} is the name of bundle "
                f"{bundle.short}, which serves another file.",
                remedy="Give every file its own name, and keep the old one loaded: "
                f'endpoint.server.model: "{model.name}-{{file}}"',
            )


def _wait_for_owner(
    server: Server,
    address: ServerHandle,
    model: ModelSettings,
    exported: Exported,
    progress: Progress,
) -> None:
    if server.is_healthy():
        return
    minutes = model.endpoint.server.wait_minutes if model.endpoint.server else 0.0
    deadline = time.monotonic() + 60 * minutes
    progress.step(
        f"Load {exported.served_path} at {address.base_url} as {address.served_name}: waiting for "
        f"{duration(60 * minutes)} at most"
    )
    while not server.is_healthy():
        if time.monotonic() >= deadline:
            _say_what_is_missing(server, address, exported)
        time.sleep(_LOOK_SECONDS)


def _say_what_is_missing(server: Server, address: ServerHandle, exported: Exported) -> None:
    try:
        server.start()
    except DeploymentError as e:
        raise DeploymentError(
            f"{e.message} Expected {exported.served_path} there as {address.served_name}.",
            remedy=f"{e.remedy} Then go on with: tuneloop run",
        ) from e


def _asked(target: ChatTarget, suite: Suite) -> list[Answer]:
    return [asked(target, case) for case in suite.cases[:PARITY_PROMPTS]]
