"""What a served file answered in earlier evaluations, so that it is not asked the same again."""

from __future__ import annotations

from pathlib import Path

from tuneloop import serving
from tuneloop.deployment.backends.base import Backend, Proof
from tuneloop.deployment.backends.table import backend_of
from tuneloop.errors import EvaluationError, StoreError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation import repeatability
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.plan import base_cases_of
from tuneloop.evaluation.repeatability import Repeatability, Repeats
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.runner import answers_kept
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import Answer, ChatTarget
from tuneloop.hashing import digest_json, digest_text, short
from tuneloop.project import Project
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle


def by_file(
    project: Project, digest: str, backend: Backend, *, alone: bool = False
) -> dict[str, Answer]:
    """What the file with this digest said, served as the model file says now: prompt → answer.

    Nothing where somebody else serves it, for nobody knows what has changed there since.

    Latencies come along, so all that decides them must be the same: sampling, server, slots,
    threads, and how many questions were asked at a time. Gates, margin and suites decide nothing.
    `alone`: only what was answered while no other server was at work.
    """
    known: dict[str, Answer] = {}
    for bundle in reversed(bundles.listing(project.workspace, model=project.model.name)):
        if _served_alike(project, bundle, digest, backend):
            try:
                done = evaluations.find(project.workspace, bundle.manifest.evaluation.id)
                known |= evaluations.answers_of_candidate(project.workspace, done)
            except (EvaluationError, StoreError):
                continue  # the answers are gone or damaged: they are asked for again
    return {prompt: answer for prompt, answer in known.items() if not (alone and answer.beside)}


def before(project: Project, target: ChatTarget, digest: str) -> dict[str, Answer]:
    """What a file said as a candidate, and earlier for a table of quantisations."""
    backend = serving.backend_of(project.model)
    in_tables = {}
    if backend is serving.reader():
        in_tables = answers_kept(tables_folder(project), target)
    return in_tables | by_file(project, digest, backend)


def production(project: Project, bundle: Bundle, target: ChatTarget) -> Subject:
    """A bundle as it is served; what it said as a candidate counts if the server is still the same.

    Raises:
        EvaluationError: its own evaluation is not there.
    """
    served, known = bundle.manifest.serving, {}
    backend = backend_of(served)
    server = backend.version()
    if served.server == server and backend.proof is Proof.FILE:
        own = evaluations.find(project.workspace, bundle.manifest.evaluation.id)
        known = evaluations.answers_of_candidate(project.workspace, own)
    return Subject(
        target=target,
        system=bundle.manifest.task.system,
        known=known,
        conditions=short(digest_text(server)),
    )


def tables_folder(project: Project) -> Path:
    """Where the answers of forms that do not serve are kept, apart by what decides them."""
    return project.workspace.folder(
        f"{evaluation.ANSWERS_FOLDER}/quantisations/{conditions(project)}"
    )


def conditions(project: Project) -> str:
    """What decides, beside file and prompt, how a server of ours answers, as one short digest."""
    at_once = {"concurrency": project.model.cases_at_a_time}
    served = serving.conditions(project.model, serving.reader(), digest="")
    return short(digest_json(served | at_once))


def again(
    project: Project, target: ChatTarget, main: SuiteResult, *, known: Repeats | None
) -> Repeats | None:
    """How well answers repeat: as is `known`, or as is measured now."""
    if known is not None:
        project.progress.note("how well its answers repeat was measured before; used again")
        return known
    at_once = serving.concurrency(project.model)
    repeats = repeatability.repeat(
        main,
        target,
        concurrency=at_once,
        # The smoke test asks these, and compares its answers with the base's.
        among=base_cases_of(project.model.task, project.model.evaluation),
        progress=project.progress,
    )
    if repeats is not None:
        project.progress.note(repeatability.sentence(repeats.figure.as_json()))
    return repeats


def repeats_of(project: Project, digest: str) -> Repeats | None:
    """How well the answers of a file with this digest repeated when that was measured."""
    backend = serving.backend_of(project.model)
    for bundle in bundles.listing(project.workspace, model=project.model.name):
        figure = bundle.manifest.evaluation.repeatability
        if figure is None or not _served_alike(project, bundle, digest, backend):
            continue
        try:
            done = evaluations.find(project.workspace, bundle.manifest.evaluation.id)
            rows = evaluations.read_answers(project.workspace, done)
        except (EvaluationError, StoreError):
            continue
        counts = {key: figure[key] for key in ("n", "repeated", "alone", "together")}
        texts = {row["case"]: row["repeats"] for row in rows if "repeats" in row}
        return Repeats(figure=Repeatability(**counts), texts=texts)
    return None


def _served_alike(project: Project, bundle: Bundle, digest: str, backend: Backend) -> bool:
    served, held_to = bundle.manifest.serving.as_json(), bundle.manifest.evaluation.settings
    now = serving.conditions(project.model, backend, digest=digest)
    return (
        backend.proof is Proof.FILE
        and served.get("digest") == digest
        and all(served.get(key) == value for key, value in now.items())
        and held_to.get("concurrency") == project.model.cases_at_a_time
    )
