"""Which data files are not what the bundle in production was made of."""

from __future__ import annotations

from tuneloop.datasets import source_watch, versions
from tuneloop.errors import UsageError
from tuneloop.project import Project


def changed_sources(project: Project) -> tuple[str, ...]:
    """Their names; none where its dataset version is not here.

    Local files are hashed where they changed; of remote ones what the worker saw last holds.

    Raises:
        StoreError: a store cannot be read.
    """
    live = project.in_production()
    if live is None:
        return ()
    try:
        version = versions.load(
            project.workspace, project.model.name, project.bundle(live).manifest.dataset.digest
        )
    except UsageError:  # It came from elsewhere, or was removed.
        return ()
    return source_watch.changed_since(
        project.workspace, project.model_file, version, now=project.workspace.now()
    )
