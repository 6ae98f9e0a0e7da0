"""What a model file names is there, or it is said before anything slow begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tuneloop.datasets import names as data_names
from tuneloop.deployment.backends import table
from tuneloop.deployment.backends.base import Capability
from tuneloop.deployment.load_figures import FIGURES, RATIOS
from tuneloop.embedders import embedder_of
from tuneloop.errors import (
    BaseModelError,
    DeploymentError,
    EvaluationError,
    ModelFileError,
    UsageError,
)
from tuneloop.evaluation import gates
from tuneloop.evaluation import names as evaluation_names
from tuneloop.evaluation.judging.rubrics import by_rubric
from tuneloop.modelfile import BenchSettings, ModelFile, ModelSettings, Problem
from tuneloop.progress import Progress
from tuneloop.project import Project
from tuneloop.registry.base_model import base_spec, check_base


def problems(model_file: ModelFile) -> list[Problem]:
    """All names in a model file that mean nothing, in the order in which they stand there."""
    settings = model_file.settings
    every_problem = [
        *_base_problems(model_file),
        *data_names.problems(settings.data, settings.task, folder=model_file.folder),
        *evaluation_names.problems(
            settings.task,
            settings.evaluation,
            folder=model_file.folder,
            columns=settings.data.columns,
            judge=settings.judge,
        ),
        *_rubric_problems(model_file),
        *_bench_problems(settings.bench),
        *_backend_problems(settings),
        *_embedder_problems(model_file),
    ]
    return sorted(every_problem, key=lambda problem: model_file.line(problem.at))


def _rubric_problems(model_file: ModelFile) -> Iterator[Problem]:
    judge = model_file.settings.judge
    if judge is None:
        return
    for name in judge.rubrics:
        try:
            by_rubric(judge, name, folder=model_file.folder)
        except ModelFileError as e:
            yield Problem(at=("judge", "rubrics", name), message=e.message, remedy=e.remedy)


def require(
    model_file: ModelFile, *, progress: Progress, base: bool = False, rows: bool = True
) -> None:
    """Refuse a model file that names what is not there; tell what could not be looked up.

    With `base` it must be known that the base can be had. Without `rows` a dataset version is
    there already: files and columns that are gone since are only told.

    Raises:
        ModelFileError: with every such name, its line and the nearest one that exists.
        BaseModelError: `base`, and nobody could be asked for it.
    """
    every_problem = problems(model_file)
    wrong = [problem for problem in every_problem if problem.certain]
    if any(rows or problem.at[0] != "data" for problem in wrong):
        raise refusal(model_file, wrong)
    for problem in every_problem:
        if base and problem.at == ("base",):
            raise BaseModelError(problem.message, remedy=problem.remedy)
        unsure = "warning" if problem.certain else "could not be checked"
        progress.note(f"{unsure}: {line(model_file, problem)}")


def check(project: Project, *, base: bool = False, rows: bool = True) -> None:
    """`require` for a project; once it was found right it is not looked at again.

    A look that asked for more covers those that ask for less.

    Raises:
        ModelFileError, BaseModelError: as `require`.
    """
    found_right: list[tuple[bool, bool]] = project.once("names", list)
    if not any(had_base >= base and had_rows >= rows for had_base, had_rows in found_right):
        require(project.model_file, progress=project.progress, base=base, rows=rows)
        found_right.append((base, rows))


def refusal(
    model_file: ModelFile, wrong: Sequence[Problem], *, mistakes: Sequence[str] = ()
) -> ModelFileError:
    """The error that tells of all of them, and of mistakes in the values."""
    lines = [*mistakes, *(line(model_file, problem) for problem in wrong)]
    what = "has mistakes" if mistakes else "names what is not there"
    return ModelFileError(
        f"{model_file.path} {what}:\n" + "\n".join(f"  {text}" for text in lines),
        remedy="Correct it; `tuneloop config check` looks at it again.",
    )


def line(model_file: ModelFile, problem: Problem) -> str:
    """A problem on one line: where it stands, what is wrong, what to do."""
    text = f"{model_file.place(problem.at)}: {problem.key}: {problem.message} {problem.remedy}"
    return text.rstrip()


def _base_problems(model_file: ModelFile) -> Iterator[Problem]:
    base = model_file.settings.base
    try:
        unknown = check_base(
            base_spec(base, folder=model_file.folder), revision=model_file.settings.revision
        )
    except BaseModelError as e:
        yield Problem(at=("base",), message=e.message, remedy=e.remedy)
        return
    if unknown is not None:
        yield Problem(
            at=("base",),
            message=f"{base} is neither a file or folder here nor in the Hugging Face cache, "
            f"and {unknown}.",
            remedy="Connect once to download it, or name a model folder that is here.",
            certain=False,
        )


def _bench_problems(settings: BenchSettings) -> Iterator[Problem]:
    known = (*FIGURES, *RATIOS)
    for key, condition in settings.gates.items():
        try:
            (gate,) = gates.parse_gates(
                {key: condition}, metrics={"bench": known}, main_suite="bench"
            )
        except EvaluationError as e:
            yield Problem(at=("bench", "gates", key), message=e.message, remedy=e.remedy)
            continue
        higher = gate.metric.startswith("tokens_per_second")
        if wrong := evaluation_names.wrong_direction(gate, higher_is_better=higher):
            yield Problem(at=("bench", "gates", key), message=f"The gate {wrong}")


def _backend_problems(settings: ModelSettings) -> Iterator[Problem]:
    endpoint = settings.endpoint
    try:
        backend = table.find(endpoint.backend)
    except (UsageError, DeploymentError) as e:
        yield Problem(at=("endpoint", "backend"), message=e.message, remedy=e.remedy)
        return
    yield from backend.problems(endpoint)
    if endpoint.constrain_output and Capability.GRAMMAR not in backend.offers:
        yield Problem(
            at=("endpoint", "constrain_output"),
            message=f"The backend {backend.name} cannot keep an answer to a schema.",
            remedy="Leave it out, or choose another endpoint.backend.",
        )


def _embedder_problems(model_file: ModelFile) -> Iterator[Problem]:
    try:
        embedder_of(model_file.settings.monitors.embedder, folder=model_file.folder)
    except ModelFileError as e:
        yield Problem(at=("monitors", "embedder"), message=e.message, remedy=e.remedy)
