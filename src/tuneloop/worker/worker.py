"""The worker: does what is due, runs cycles, delivers alerts and keeps house.

Three kinds of work, each with what it needs and no more:

- *Cycles* are rows of the table `cycles`, which say all that there is to know of them. A workflow
  of DBOS sees one through: whoever dies, it is started again, by one worker.
- *Jobs* are due at moments (`schedule`). A workflow whose id is the moment does one, so that of
  several workers one does it, and it is done to its end.
- *Chores* are small and may be done by everybody: every few seconds, without a memory.

A worker that is told to stop just ends, as one that is killed does: what it was at is continued by
the next one. It serves nobody, so nothing that happens to it is seen by a client.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

from tuneloop import modelfile
from tuneloop.errors import StoreError, TuneloopError, UsageError
from tuneloop.monitoring.notifications import delivery
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.retraining import cycles
from tuneloop.retraining.cycle_end import WORKER, may_go_on
from tuneloop.review import digest
from tuneloop.worker import queues, schedule
from tuneloop.worker.complaints import Complaints
from tuneloop.worker.cycle_runner import CycleRunner
from tuneloop.worker.housekeeping import Housekeeping
from tuneloop.worker.jobs import JOBS, Job
from tuneloop.worker.presence import Presence, announced

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_JOB_TRIES = 3
_JOB_PAUSE_SECONDS = 20.0
_DELIVER_SECONDS = 5.0
_INGEST_SECONDS = 60.0
_REVIEWS_SECONDS = 60.0


def work(files: Sequence[Path], overrides: Sequence[str], *, stopping: threading.Event) -> None:
    """Work for the models of these files until `stopping` is set; then the process ends.

    Raises:
        UsageError: they do not share a workspace.
        BusyError: there is a worker already, and the records are in SQLite.
        StoreError: the database cannot be reached.
    """
    projects = [Project.open(file, overrides=overrides, actor=WORKER) for file in files]
    workspace = projects[0].workspace
    if {project.workspace.root for project in projects} != {workspace.root}:
        raise UsageError(
            "These model files have workspaces of their own, and a worker has one.",
            remedy="Start a worker for each, or set TUNELOOP_WORKSPACE for all of them.",
        )
    with announced(workspace) as presence:
        worker = Worker(projects, presence, CycleRunner(overrides=overrides))
        worker.launch()
        names = ", ".join(project.model.name for project in projects)
        _log.info("Worker %s works for %s.", presence.name, names)
        exit_code = 0
        try:
            while not stopping.wait(_LOOK_SECONDS):
                worker.look()
        except StoreError as e:
            _log.error("%s Others may take over.", e.message)
            exit_code = 1
        _log.info("Worker %s ends.", presence.name)
        os._exit(exit_code)  # An ordinary exit would wait for the cycle that is under way.


class Worker:
    """What a worker knows; the truth is in the stores."""

    def __init__(
        self, projects: Sequence[Project], presence: Presence, runner: CycleRunner
    ) -> None:
        self._projects = {project.model.name: project for project in projects}
        self._presence = presence
        self._runner = runner
        self._workspace = projects[0].workspace
        self._hand = threading.Semaphore(1)
        """Free while no cycle runs: two trainings would fight for the machine."""
        self._done: dict[tuple[str, str], datetime] = {}
        self._read_at: dict[str, int] = {}
        self._complaints = Complaints(_log)

    def launch(self) -> None:
        """Begin to do what is asked; whatever was begun under our name is continued.

        Raises:
            StoreError: the database cannot be used.
        """
        queues.configure(self._workspace, self._presence.name, self._projects)

        @DBOS.workflow(name="cycle", max_recovery_attempts=None)
        def cycle(model: str, identity: str) -> str:
            return self._see_through(model, identity)

        @DBOS.workflow(name="job", max_recovery_attempts=None)
        def job(model: str, name: str) -> str:
            return self._do(model, name)

        self._cycle, self._job = cycle, job
        queues.launch(self._projects)
        self._begin_chores()

    def look(self) -> None:
        """Take over from the dead, and hand out what is due.

        Raises:
            StoreError: others may take us for dead, so we have to end.
        """
        alive = self._presence.others_and_self()
        if self._presence.name not in alive:
            raise StoreError("The database does not know this worker any more.")
        self._complaints.heard("recovery", partial(queues.take_over, alive))
        for name in self._projects:
            self._complaints.heard(f"model file of {name}", partial(self._read_again, name))
            project = self._projects[name]
            self._complaints.heard(f"schedule of {name}", partial(self._hand_out_jobs, project))
            self._complaints.heard(f"cycles of {name}", partial(self._hand_out_cycle, project))

    def _hand_out_jobs(self, project: Project) -> None:
        production = aliases.in_production(self._workspace, project.model.name)
        if production is None:
            return
        for job in JOBS:
            hand_out = partial(self._hand_out_job, project, job, deployed_at=production.moved_at)
            self._complaints.heard(f"{job.name} of {project.model.name}", hand_out)

    def _hand_out_job(self, project: Project, job: Job, *, deployed_at: datetime) -> None:
        key = (project.model.name, job.name)
        since = self._done.get(key) or queues.last_moment(*key)
        moment = self._due(project, job, since, deployed_at=deployed_at)
        if moment is not None:
            # One that waits already does for this moment, too. After a deployment it may be about
            # another bundle that it is under way.
            once: AbstractContextManager[Any] = nullcontext()
            if moment != deployed_at:
                once = SetEnqueueOptions(
                    deduplication_id=f"{job.name} of {project.model.name}",
                    duplication_policy="return-existing",
                )
            with SetWorkflowID(queues.job_id(*key, moment)), once:
                DBOS.enqueue_workflow(queues.jobs_of(project.model.name), self._job, *key)
        self._done[key] = moment or since or _live_since(project)

    def _due(
        self, project: Project, job: Job, since: datetime | None, *, deployed_at: datetime
    ) -> datetime | None:
        """The moment that a job is due for, after the last one; None: it is not due."""
        if job.on_deployment and (since is None or deployed_at > since):
            return deployed_at
        return schedule.due(
            job.cadence(project.model.schedule),
            since=since or _live_since(project),
            now=self._workspace.now(),
        )

    def _hand_out_cycle(self, project: Project) -> None:
        """Once only: a running one is being seen through, by us or by `tuneloop run`."""
        cycle = cycles.newest(self._workspace, project.model.name)
        if cycle is None or cycle.status == "running" or not may_go_on(project, cycle):
            return
        if self._hand.acquire(blocking=False):  # else a worker whose hand is free will do it
            self._hand.release()
            once = SetEnqueueOptions(
                deduplication_id=cycle.id, duplication_policy="return-existing"
            )
            with once:
                DBOS.enqueue_workflow(
                    queues.cycles_of(cycle.model), self._cycle, cycle.model, cycle.id
                )

    def _see_through(self, model: str, identity: str) -> str:
        """The workflow of a cycle; how the cycle is when there is no more to do for now."""
        if not self._hand.acquire(blocking=False):
            cycles.put_back(self._workspace, identity)
            return "put back"
        try:
            return self._runner.see_through(self._projects[model], identity)
        finally:
            self._hand.release()

    def _do(self, model: str, name: str) -> str:
        """The workflow of a job; what came of it."""
        job = next(declared for declared in JOBS if declared.name == name)
        for left in reversed(range(_JOB_TRIES)):
            try:
                said = job.run(self._projects[model])
                _log.info("%s of %s: %s", name, model, said)
                return said
            except TuneloopError as e:
                _log.warning("%s of %s: %s%s", name, model, e.message, " Again." if left else "")
            if left:
                time.sleep(_JOB_PAUSE_SECONDS)
        return "failed"

    def _begin_chores(self) -> None:
        chores: list[tuple[str, float, Callable[[], object]]] = [
            ("housekeeping", _LOOK_SECONDS, Housekeeping(self._workspace).step),
            ("ingest", _INGEST_SECONDS, next(iter(self._projects.values())).ingest),
            ("alerts", _DELIVER_SECONDS, self._deliver),
            ("reviews", _REVIEWS_SECONDS, self._tell_of_reviews),
        ]
        for name, seconds, action in chores:
            threading.Thread(
                target=again_and_again,
                args=(name, seconds, partial(self._complaints.heard, name, action)),
                daemon=True,
            ).start()

    def _deliver(self) -> None:
        settings = {name: project.model.alerts for name, project in self._projects.items()}
        delivery.deliver_due(self._workspace, settings)

    def _tell_of_reviews(self) -> None:
        for project in self._projects.values():
            digest.tell(self._workspace, project.model)

    def _read_again(self, name: str) -> None:
        """Take over what was changed in the model file since."""
        project = self._projects[name]
        file = project.model_file
        changed_at = file.path.stat().st_mtime_ns
        if self._read_at.setdefault(name, changed_at) == changed_at:
            return
        model_file = modelfile.load(file.path, overrides=self._runner.overrides)
        if model_file.settings.name != name:
            raise UsageError(
                f"{file.path} is of {model_file.settings.name} now; this worker works for {name}."
            )
        self._projects[name] = project.with_model_file(model_file)
        self._read_at[name] = changed_at


def again_and_again(name: str, seconds: float, action: Callable[[], object]) -> None:
    """Do it for ever, whatever it raises: a chore whose thread has ended is missed by nobody."""
    while True:
        try:
            action()
        except Exception:  # noqa: BLE001  the log tells what it was
            _log.exception("%s failed; it is tried again", name)
        time.sleep(seconds)


def _live_since(project: Project) -> datetime:
    """When there was first something in production to look after."""
    moves = aliases.history(project.workspace, project.model.name)
    return min(move.at for move in moves if move.name == "production")
