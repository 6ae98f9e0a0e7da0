"""What the checks look at: the rows, the base, the rows as the base's template writes them.

Everything is read when the first check asks for it, and once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from tuneloop.datasets import names, versions
from tuneloop.datasets.example import Example
from tuneloop.datasets.imported import Imported
from tuneloop.datasets.importing import Cleaning, import_sources, with_rows
from tuneloop.datasets.selection import Earlier
from tuneloop.datasets.sources import CACHE, find_sources
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment.backends import table
from tuneloop.errors import DataError, TuneloopError
from tuneloop.evaluation.declared import load_declared
from tuneloop.evaluation.suites import Suite
from tuneloop.modelfile import ModelSettings, SuiteSettings
from tuneloop.progress import Silent
from tuneloop.project import Project
from tuneloop.registry import tombstones
from tuneloop.registry.base_model import base_spec, local_base
from tuneloop.registry.gguf_base import known_folder
from tuneloop.setup.base_facts import FETCHED, BaseFacts, facts_of_folder, facts_of_gguf
from tuneloop.setup.finding import UnseenError
from tuneloop.setup.written import RowTokens, WrittenRows, tokenise, write
from tuneloop.training import stage as runs

MOST_ROWS = 10_000
"""More would take longer than somebody waits for a check."""
_MOST_HASHED_BYTES = 2_000_000_000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SeenRows:
    """The rows that will be trained on and held out, or the first of them."""

    examples: Sequence[Example]
    whole: bool
    """There are no more."""
    rows: int
    """Rows that were read."""
    answers: int
    """Answers in them, those that are left out among them."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason → answers."""
    first_left_out: Mapping[str, str] = field(default_factory=dict)
    """Reason → where the first of them stands, for people."""

    @property
    def which(self) -> str:
        """How to speak of them."""
        return "rows" if self.whole else f"of the first {MOST_ROWS:,} rows"


class Look:
    """One look at a project before a run; `dataset` where its version is made already."""

    def __init__(self, project: Project, *, dataset: DatasetVersion | None = None) -> None:
        """Nothing is read yet."""
        self.project = project
        self._dataset = dataset
        self._seen: dict[str, Any] = {}

    @property
    def model(self) -> ModelSettings:
        """The model file's settings."""
        return self.project.model

    @property
    def base(self) -> BaseFacts:
        """What the files of the base say.

        Raises:
            UnseenError: it is not on this machine.
            TuneloopError: it cannot be read.
        """
        return self._once("base", self._read_base)

    @property
    def rows(self) -> SeenRows:
        """The rows.

        Raises:
            TuneloopError: not one can be read.
        """
        return self._once("rows", self._read_rows)

    @property
    def written(self) -> WrittenRows:
        """The rows as the base's template writes them, and those that it does not take.

        Raises:
            TuneloopError, UnseenError: the base or its template, or the rows, cannot be read.
        """
        return self._once("written", lambda: write(self.base, self.rows.examples))

    @property
    def kept(self) -> Sequence[Example]:
        """The rows that the template takes; all of them where it takes none or cannot be asked.

        Raises:
            TuneloopError: not one can be read.
        """
        try:
            return [row.example for row in self.written.taken] or self.rows.examples
        except (TuneloopError, UnseenError):
            return self.rows.examples

    @property
    def tokens(self) -> list[RowTokens]:
        """The tokens of the rows that the template takes.

        Raises:
            TuneloopError, UnseenError: as `written`, or the tokenizer cannot be read.
        """
        return self._once("tokens", lambda: tokenise(self.base, self.written.taken))

    def suite(self, declared: SuiteSettings) -> Suite:
        """A suite that the model file declares.

        Raises:
            DataError, EvaluationError: it cannot be read, or has no cases.
        """
        return self._once(
            f"suite {declared.name}",
            lambda: load_declared(
                declared,
                self.project.model_file.folder,
                task=self.model.task,
                columns=self.model.data.columns,
            ),
        )

    @property
    def served_here(self) -> bool:
        """Whether a process of ours serves the tuned model, and not somebody else's.

        Raises:
            UsageError, DeploymentError: the backend is not known.
        """
        return table.find(self.model.endpoint.backend).loads is not None

    @cached_property
    def is_first(self) -> bool:
        """Whether nothing was trained yet, so that all of a cycle is still to be done."""
        return not runs.listing(self.project.workspace, self.model.name)

    @cached_property
    def latest(self) -> DatasetVersion | None:
        """The version whose split the next one keeps."""
        return next(iter(versions.list_versions(self.project.workspace, self.model.name)), None)

    @cached_property
    def earlier(self) -> Earlier:
        """What that version decided."""
        return versions.earlier_of(self.project.workspace, self.latest, self._cleaning)

    @cached_property
    def _cleaning(self) -> Cleaning:
        """Without the template: what it refuses is told by itself."""
        erased = tombstones.load(self.project.workspace)
        return versions.cleaning_of(self.project.model_file, erased)

    def _once(self, what: str, read: Callable[[], T]) -> T:
        """What `read` returned, or raises what it raised, the first time."""
        if what not in self._seen:
            try:
                self._seen[what] = read()
            except (TuneloopError, UnseenError) as e:
                self._seen[what] = e
        value = self._seen[what]
        if isinstance(value, TuneloopError | UnseenError):
            raise value
        result: T = value
        return result

    def _read_base(self) -> BaseFacts:
        project = self.project
        spec = base_spec(self.model.base, folder=project.model_file.folder)
        place = local_base(spec, revision=self.model.revision)
        if place is None:
            raise UnseenError(
                f"The base {spec} is not on this machine yet.",
                remedy=FETCHED,
            )
        if place.is_file() and place.stat().st_size <= _MOST_HASHED_BYTES:
            cache = project.workspace.shared_folder("bases")
            place = known_folder(place, cache=cache) or place
        read = facts_of_folder if place.is_dir() else facts_of_gguf
        return read(place, thinking=self.model.task.thinking)

    def _read_rows(self) -> SeenRows:
        if self._dataset is not None:
            return self._stored_rows(self._dataset)
        try:
            imported = self._imported()
        except DataError:
            if self._columns_are_wrong():  # What else is said of the rows follows from it.
                raise UnseenError("Not before what is wrong with the names is mended.") from None
            raise
        return SeenRows(
            examples=imported.examples[:MOST_ROWS],
            whole=imported.rows <= MOST_ROWS,
            rows=min(imported.rows, MOST_ROWS),
            answers=imported.answers,
            left_out=Counter(row.reason for row in imported.left_out),
            first_left_out={
                row.reason: f"{row.source}, line {row.line}" for row in reversed(imported.left_out)
            },
        )

    def _imported(self) -> Imported:
        return with_rows(
            import_sources(
                find_sources(
                    self.project.model_file.folder,
                    self.model.data.sources,
                    cache=self.project.workspace.folder(CACHE),
                    progress=self.project.progress,
                ),
                self._cleaning,
                most=MOST_ROWS + 1,
                progress=Silent(),
            )
        )

    def _columns_are_wrong(self) -> bool:
        folder = self.project.model_file.folder
        problems = names.problems(self.model.data, self.model.task, folder=folder)
        return any(problem.at[:2] == ("data", "columns") for problem in problems)

    def _stored_rows(self, dataset: DatasetVersion) -> SeenRows:
        examples = [
            example
            for side in ("train", "eval")
            for example in versions.read_examples(self.project.workspace, dataset, side)
        ]
        return SeenRows(
            examples=examples[:MOST_ROWS],
            whole=len(examples) <= MOST_ROWS,
            rows=len(examples),
            answers=len(examples),
        )
