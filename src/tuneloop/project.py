"""A model and its workspace, and who works on it: what everything above the stages receives.

A stage takes what it needs and knows no project. What composes stages takes a `Project` and hands
them their parts. Who acts is a part of it and is read from no environment below: a web process acts
for many people at once, each with `project.as_(name)`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tuneloop import modelfile, under_way
from tuneloop.conversation.template import ChatTemplate
from tuneloop.modelfile import ModelFile, ModelSettings
from tuneloop.progress import Progress, Silent
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.base_model import BaseModel, base_spec, resolve_base
from tuneloop.registry.base_template import find_template
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.pinned_base import pinned_base
from tuneloop.storage.ingest import IngestReport, ingest
from tuneloop.under_way import UnderWay
from tuneloop.workspace import FOLDER, Workspace

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Project:
    """One model of a workspace."""

    workspace: Workspace
    model_file: ModelFile
    actor: str
    """Who acts; it stands in the audit log, and is asked for permission."""
    progress: Progress = field(default_factory=Silent)
    _seen: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)
    """What `once` found, shared with the projects that were made of this one."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        actor: str,
        overrides: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Project:
        """The project of a model file, or of the folder that it is in.

        Its workspace is the folder `.tuneloop` beside it, or what TUNELOOP_WORKSPACE names.

        Raises:
            ModelFileError: the file is missing or wrong.
            StoreError: the workspace cannot be used.
        """
        model_file = modelfile.load(path, overrides=overrides)
        root = os.environ.get("TUNELOOP_WORKSPACE")
        workspace = Workspace.open(Path(root) if root else model_file.folder / FOLDER)
        return cls(
            workspace=workspace,
            model_file=model_file,
            actor=actor,
            progress=progress or Silent(),
        )

    @property
    def model(self) -> ModelSettings:
        """The model file's settings with defaults and overrides applied."""
        return self.model_file.settings

    def as_(self, actor: str) -> Project:
        """The same project, where somebody else acts."""
        return replace(self, actor=actor)

    def with_model_file(self, model_file: ModelFile) -> Project:
        """The same project by another file, of which nothing is known yet."""
        return replace(self, model_file=model_file, _seen={})

    def close(self) -> None:
        """Give back what the stores hold open; the project cannot be used afterwards."""
        self.workspace.records.close()

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` returned the first time that it was asked for under this key."""
        if key not in self._seen:
            self._seen[key] = find()
        value: T = self._seen[key]
        return value

    def bundle(self, reference: str = "production") -> Bundle:
        """A bundle by id, the beginning of it, or alias: production, previous, candidate.

        Raises:
            UsageError: none, or more than one, is meant.
            CorruptArtifactError: the stored manifest does not match its id.
        """
        return bundles.find(self.workspace, reference, model=self.model.name)

    def in_production(self) -> str | None:
        """The id of the bundle in production; None before the first."""
        alias = aliases.in_production(self.workspace, self.model.name)
        return alias.bundle if alias else None

    def base(self) -> BaseModel:
        """The base model, fetched or found, with its content hash.

        Raises:
            BaseModelError: it does not exist, cannot be reached, or cannot be trained.
        """
        return self.once(
            ("base", self.model.base, self.model.revision, self.model.task.thinking),
            self._base,
        )

    def _base(self) -> BaseModel:
        cache = self.workspace.shared_folder("bases")
        base = resolve_base(
            base_spec(self.model.base, folder=self.model_file.folder),
            cache=cache,
            revision=self.model.revision,
            progress=self.progress,
        )
        return pinned_base(base, thinking=self.model.task.thinking, cache=cache)

    def template(self) -> ChatTemplate | None:
        """The base's chat template; None where it has none, or it cannot be had now.

        Raises:
            BaseModelError: its tokenizer cannot be read.
        """
        thinking = self.model.task.thinking
        return self.once(
            ("template", self.model.base, self.model.revision, thinking),
            lambda: find_template(
                base_spec(self.model.base, folder=self.model_file.folder),
                revision=self.model.revision,
                thinking=thinking,
            ),
        )

    def control_tokens(self) -> tuple[str, ...]:
        """What the base reads as more than words, wherever it stands.

        Raises:
            BaseModelError: its tokenizer cannot be read.
        """
        template = self.template()
        return () if template is None else template.control_tokens

    def ingest(self) -> IngestReport:
        """Move what the gateway captured into the traffic tables.

        Raises:
            BusyError: another process has been moving the captured traffic for a minute.
        """
        return ingest(self.workspace.folder("spool"), self.workspace.traffic)

    @contextmanager
    def telling(self, what: str) -> Iterator[Project]:
        """A project whose work other processes can see while it lasts (`under_way`)."""
        folder, now = self._under_way, self.workspace.now
        with under_way.told(self.progress, folder, what=what, now=now) as progress:
            yield replace(self, progress=progress)

    def under_way(self) -> list[UnderWay]:
        """What processes are doing for this model at this moment."""
        return under_way.seen(self._under_way, now=self.workspace.now())

    @property
    def _under_way(self) -> Path:
        return under_way.folder(self.workspace.root, self.model.name)
