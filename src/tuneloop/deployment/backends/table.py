"""Which kinds of model servers there are: one table, a file an entry.

Third parties add theirs as Python entry points of the group `tuneloop.backends`; each names an
object that keeps to `backends.base.Backend`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from tuneloop.deployment.backends.base import (
    Backend,
    Capability,
    ManagedBackend,
    ObservingBackend,
)
from tuneloop.deployment.backends.llamacpp import LLAMA_CPP
from tuneloop.deployment.backends.openai_compatible import OPENAI_COMPATIBLE
from tuneloop.errors import DeploymentError, UsageError
from tuneloop.nearest import did_you_mean
from tuneloop.registry.manifest import Serving

GROUP = "tuneloop.backends"
BACKENDS: dict[str, Backend] = {
    backend.name: backend for backend in cast("list[Backend]", [LLAMA_CPP, OPENAI_COMPATIBLE])
}


def names() -> list[str]:
    """All backends that can be named here, ours first."""
    return [*BACKENDS, *(name for name in _foreign() if name not in BACKENDS)]


def find(name: str) -> Backend:
    """The backend of this name.

    Raises:
        UsageError: there is none.
        DeploymentError: the package that brings it cannot be imported.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    entry = _foreign().get(name)
    if entry is None:
        raise UsageError(
            f"{name!r} is no backend that is known here.",
            remedy=f"{did_you_mean(name, names())} Another one comes with a package of its own.",
        )
    try:
        return cast("Backend", entry.load())
    except (ImportError, AttributeError) as e:
        raise DeploymentError(
            f"The backend {name!r} ({entry.value}) cannot be loaded: {e}.",
            remedy="Install the package that brings it again, or choose another backend.",
        ) from e


def backend_of(serving: Serving) -> Backend:
    """The backend that a bundle was evaluated on, from the `serving` part of its manifest.

    Raises:
        UsageError, DeploymentError: as `find`.
    """
    return find(serving.backend or LLAMA_CPP.name)


def managed(backend: Backend) -> ManagedBackend:
    """A backend whose servers `tuneloop up` runs.

    Raises:
        DeploymentError: its servers are run by somebody else.
    """
    if backend.loads is None:
        raise DeploymentError(f"Servers of the backend {backend.name} are not started here.")
    return cast("ManagedBackend", backend)


def reader_of(form: str) -> ObservingBackend:
    """The backend through which parity reads files of a form, e.g. `gguf`: token ids and
    log-probabilities.

    Raises:
        DeploymentError: none can.
    """
    needed = {Capability.TOKENISE, Capability.LOG_PROBABILITIES}
    for backend in BACKENDS.values():
        if backend.loads == form and needed <= backend.offers:
            return cast("ObservingBackend", backend)
    raise DeploymentError(f"No backend here tells token ids and log-probabilities of {form} files.")


def _foreign() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
