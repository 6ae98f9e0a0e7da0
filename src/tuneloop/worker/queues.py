"""The worker's queues in DBOS: two for each model, cycles and jobs, one at a time of each.

DBOS gives a workflow to one worker, and remembers it until it is done. What it cannot know is which
workers are dead: `take_over` is told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from dbos import DBOS, DBOSConfig

from tuneloop.errors import StoreError
from tuneloop.workspace import Workspace

_log = logging.getLogger(__name__)


def configure(workspace: Workspace, worker: str, models: Iterable[str]) -> None:
    """Prepare DBOS for a worker of this name; workflows are declared after it, then `launch`."""
    url = workspace.records.url
    sqlite = url.get_backend_name() == "sqlite"
    config: DBOSConfig = {
        "name": "tuneloop",
        "system_database_url": (
            # A file of its own: what DBOS asks every second shall not keep the records waiting.
            f"sqlite:///{workspace.root / 'worker.sqlite'}"
            if sqlite
            else url.render_as_string(hide_password=False)
        ),
        "sys_db_pool_size": 5,
        "executor_id": worker,
        # Code that has changed continues what older code began: the state is in our own tables.
        "application_version": "1",
        "log_level": "WARNING",
    }
    DBOS(config=config)
    log = logging.getLogger("dbos")
    log.handlers.clear()
    log.propagate = True
    DBOS.listen_queues([queue for model in models for queue in (cycles_of(model), jobs_of(model))])


def launch(models: Iterable[str]) -> None:
    """Begin to give out work; what was begun under our name is continued.

    Raises:
        StoreError: the database cannot be used.
    """
    try:
        DBOS.launch()
        for model in models:
            for queue in (cycles_of(model), jobs_of(model)):
                DBOS.register_queue(queue, global_concurrency=1, on_conflict="always_update")
    except Exception as e:  # whatever the database's driver says
        raise StoreError(f"The worker's database cannot be used: {e}") from e


def take_over(alive: set[str]) -> None:
    """Give away again what workers were at that are not alive any more."""
    pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    dead = sorted({str(workflow.executor_id) for workflow in pending} - alive)
    if dead:
        _log.warning("Taking over from %s.", ", ".join(dead))
        # What DBOS's own control plane asks of a worker. It leaves alone what a living worker has
        # taken up meanwhile, which `DBOS.resume_workflow` would not.
        DBOS._recover_pending_workflows(dead)


def cycles_of(model: str) -> str:
    """The queue of a model's cycles."""
    return f"cycles of {model}"


def jobs_of(model: str) -> str:
    """The queue of a model's jobs."""
    return f"jobs of {model}"


def job_id(model: str, job: str, moment: datetime) -> str:
    """The workflow that does a job for a moment: the same for every worker."""
    return f"{_prefix(model, job)}{moment.isoformat()}"


def last_moment(model: str, job: str) -> datetime | None:
    """The last moment that a job was given out for; None: it never was."""
    prefix = _prefix(model, job)
    workflows = DBOS.list_workflows(
        workflow_id_prefix=prefix, sort_desc=True, limit=1, load_input=False, load_output=False
    )
    moments = [
        datetime.fromisoformat(workflow.workflow_id.removeprefix(prefix)) for workflow in workflows
    ]
    return moments[0] if moments else None


def _prefix(model: str, job: str) -> str:
    return f"{job} of {model} at "
