"""Workers that are killed, that are several, and that are told to stop: nothing is lost, or twice.

The cycles are played (`played_worker`), everything else is real.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
import yaml

import played_worker
from tuneloop.deployment import endpoints
from tuneloop.errors import BusyError
from tuneloop.project import Project
from tuneloop.registry import bundle as bundles
from tuneloop.retraining import cycles
from tuneloop.testing.manifest import manifest_of
from tuneloop.worker import presence
from tuneloop.workspace import Workspace

pytestmark = pytest.mark.timeout(300)


class Office:
    """Model files that share a workspace, and the workers that work for them."""

    def __init__(self, folder: Path, records_url: str | None, names: tuple[str, ...]) -> None:
        self.files = [self._write(folder, name) for name in names]
        self.environment = {
            "PLAYED_LOG": str(folder / "played.txt"),
            "PLAYED_SECONDS": "0.1",
            "PLAYED_HOLD": str(folder / "hold"),
            "TUNELOOP_WORKSPACE": str(folder / "workspace"),
            **({"TUNELOOP_RECORDS_URL": records_url} if records_url else {}),
        }
        self.log = folder / "played.txt"
        self.log.touch()
        self.hold = folder / "hold"
        self.workspace = Workspace.open(folder / "workspace", records_url=records_url)
        self.projects = {
            name: self._project(file) for name, file in zip(names, self.files, strict=True)
        }
        self._folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []

    def _write(self, folder: Path, name: str) -> Path:
        path = folder / name / "tuneloop.yaml"
        path.parent.mkdir()
        settings = {"name": name, "base": "base", "data": {"sources": ["rows.jsonl"]}}
        path.write_text(yaml.safe_dump(settings))
        return path

    def _project(self, file: Path) -> Project:
        from tuneloop import modelfile

        return Project(workspace=self.workspace, model_file=modelfile.load(file), actor="ann")

    def start(self, count: int = 1) -> None:
        for number in range(count):
            with (self._folder / f"worker-{len(self.workers) + number}.log").open("wb") as log:
                self.workers.append(
                    subprocess.Popen(
                        [sys.executable, played_worker.__file__, *map(str, self.files)],
                        env={**os.environ, **self.environment},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )
        pids = {str(worker.pid) for worker in self.workers[-count:]}
        self.wait_for(lambda: pids <= {w for *_, what, w in self.said() if what == "ready"})

    def said(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()]

    def steps(self) -> list[tuple[str, str, str, int]]:
        """Model, step, begins or done, process id of the worker."""
        return [(m, s, what, int(w)) for m, s, what, w in (x for x in self.said() if len(x) == 4)]

    def wait_for(self, condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            logs = "\n".join(p.read_text() for p in self._folder.glob("worker-*.log"))
            assert time.monotonic() < deadline, f"waited in vain; {self.said()}\n{logs}"
            time.sleep(0.05)

    def keep_in(self, step: str) -> None:
        """Nothing of this step ends until another one is named, or the file is gone."""
        new = self.hold.with_suffix(".new")
        new.write_text(step)
        new.replace(self.hold)

    def status(self, name: str) -> str:
        return cycles.find(self.workspace, name).status

    def ask(self, name: str) -> None:
        cycles.ask(self.projects[name], reason="test", actor="ann")

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workspace.records.close()


Opened = Callable[..., Office]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Opened]:
    opened: list[Office] = []

    def open_(*names: str, records_url: str | None = None) -> Office:
        opened.append(Office(tmp_path, records_url, names))
        return opened[0]

    yield open_
    for one in opened:
        one.close()


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_worker_killed_in_every_step_goes_on_where_it_was(office: Opened) -> None:
    at = office("router")
    at.ask("router")
    at.keep_in(played_worker.STEPS[0])
    at.start()
    assert presence.alive(at.workspace) == ["local"]
    for step, following in zip(
        played_worker.STEPS, (*played_worker.STEPS[1:], "none"), strict=True
    ):
        worker = at.workers[-1]
        at.wait_for(lambda w=worker, s=step: ("router", s, "begins", w.pid) in at.steps())
        of_the_dead = children(worker.pid)
        worker.kill()
        worker.wait()
        at.wait_for(lambda them=of_the_dead: not any(p.is_running() for p in them), seconds=5)
        assert presence.alive(at.workspace) == []
        at.keep_in(following)
        at.start()
    at.wait_for(lambda: at.status("router") == "finished")
    done = Counter(step for _, step, what, _ in at.steps() if what == "done")
    assert done == dict.fromkeys(played_worker.STEPS, 1)
    assert cycles.find(at.workspace, "router").steps.keys() == set(played_worker.STEPS)


def test_a_cycle_s_process_that_is_killed_is_started_again_and_at_last_given_up(
    office: Opened,
) -> None:
    at = office("router")
    at.environment["PLAYED_SECONDS"] = "60"
    at.ask("router")
    at.start()
    for times in (1, 2, 3):
        at.wait_for(lambda n=times: len(at.steps()) == n)
        (process,) = children(at.workers[0].pid)
        process.send_signal(signal.SIGKILL)
    at.wait_for(lambda: at.status("router") == "failed")
    assert "ended 3 times (code -9)" in cycles.find(at.workspace, "router").outcome


def test_a_cancelled_cycle_ends_its_process(office: Opened) -> None:
    at = office("router")
    at.environment["PLAYED_SECONDS"] = "60"
    at.ask("router")
    at.start()
    at.wait_for(lambda: len(at.steps()) == 1)
    cycles.cancel(at.workspace, "router", "latest", actor="bob")
    at.wait_for(lambda: not children(at.workers[0].pid), seconds=15)
    at.ask("router")
    at.wait_for(lambda: len(at.steps()) == 2)


def test_a_chore_goes_on_after_a_failure_that_nobody_foresaw(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from tuneloop.worker.worker import again_and_again

    told: list[str] = []

    def deliver() -> None:
        told.append("once more")
        if len(told) == 3:
            raise KeyboardInterrupt  # the only way out
        raise ValueError("a plug-in's fault")

    with pytest.raises(KeyboardInterrupt):
        again_and_again("alerts", 0.0, deliver)
    assert len(told) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "alerts failed; it is tried again"
    ] * 2


def test_with_sqlite_there_is_one_worker(office: Opened) -> None:
    at = office("router")
    at.start()
    with pytest.raises(BusyError, match="run a worker"), presence.announced(at.workspace):
        pass


def test_two_workers_share_cycles_and_one_takes_over_from_the_other(
    office: Opened, empty_postgres: str
) -> None:
    at = office("router", "triage", records_url=empty_postgres)
    at.start(2)
    assert len(presence.alive(at.workspace)) == 2
    at.hold.touch()
    for name in at.projects:
        at.ask(name)
    at.wait_for(lambda: {model for model, *_ in at.steps()} == at.projects.keys())
    at.hold.unlink()
    at.wait_for(lambda: all(at.status(name) == "finished" for name in at.projects))
    workers_of = {name: {w for m, *_, w in at.steps() if m == name} for name in at.projects}
    assert all(len(workers) == 1 for workers in workers_of.values()), "one sees a cycle through"
    assert workers_of["router"] != workers_of["triage"], "the other one has its hand free"
    done = Counter((m, s) for m, s, what, _ in at.steps() if what == "done")
    assert set(done.values()) == {1} and len(done) == 2 * len(played_worker.STEPS)

    at.log.write_text("")
    at.keep_in("train")
    at.ask("router")
    at.wait_for(lambda: any(step == "train" for _, step, *_ in at.steps()))
    first = {w for *_, w in at.steps()}
    (victim,) = [worker for worker in at.workers if worker.pid in first]
    victim.kill()
    at.hold.unlink()
    at.wait_for(lambda: at.status("router") == "finished")
    done = Counter(step for _, step, what, _ in at.steps() if what == "done")
    assert done == dict.fromkeys(played_worker.STEPS, 1)
    assert {w for *_, w in at.steps()} == {worker.pid for worker in at.workers}
    assert len(presence.alive(at.workspace)) == 1


def put_in_production(at: Office) -> None:
    """A bundle that holds nothing which a server could load."""
    folder = at.workspace.folder("made")
    (folder / "file").write_text("weights")
    content = manifest_of(
        model="router",
        base={},
        artifacts={"export": at.workspace.artifacts.put(folder, kind="export")},
        dataset={},
        training={},
        task={},
        serving={},
        evaluation={},
        routing={},
    )
    endpoints.point(
        at.workspace,
        model=at.projects["router"].model,
        bundle=bundles.register(at.workspace, content).id,
        expected=None,
        actor="ann",
        reason="test",
    )


def test_a_moment_fires_once_however_many_workers_look(office: Opened, empty_postgres: str) -> None:
    at = office("router", records_url=empty_postgres)
    put_in_production(at)
    at.start(2)
    jobs = sa.text(
        "SELECT workflow_uuid, status FROM dbos.workflow_status "
        "WHERE workflow_uuid LIKE 'golden of router at %'"
    )

    def found() -> list[tuple[str, str]]:
        with at.workspace.records.begin() as tx:
            return [tuple(row) for row in tx.execute(jobs)]

    at.wait_for(lambda: [status for _, status in found()] == ["SUCCESS"])
    time.sleep(3)  # both have looked again
    assert len(found()) == 1


def test_moments_that_pass_while_a_job_is_under_way_do_not_pile_up(
    office: Opened, empty_postgres: str
) -> None:
    """It fails for want of an embedder, and tries again after a while; it is due every second.

    A job whose crontab line cannot be read holds up no other.
    """
    at = office("router", records_url=empty_postgres)
    put_in_production(at)
    settings = yaml.safe_load(at.files[0].read_text())
    settings["schedule"] = {"judge": "99 * * * *", "daily_monitors": "* * * * * *"}
    settings["monitors"] = {"embedder": "nowhere"}
    at.files[0].write_text(yaml.safe_dump(settings))
    at.start()
    jobs = sa.text(
        "SELECT count(*) FROM dbos.workflow_status "
        "WHERE workflow_uuid LIKE 'daily monitors of router at %'"
    )

    def handed_out() -> int:
        with at.workspace.records.begin() as tx:
            return int(tx.execute(jobs).scalar_one())

    at.wait_for(lambda: handed_out() > 0)
    time.sleep(5)
    assert handed_out() == 1
