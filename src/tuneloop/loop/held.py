"""What a loop holds."""

from __future__ import annotations

from tuneloop.modelfile import ModelFile, ModelSettings
from tuneloop.progress import Progress
from tuneloop.project import Project
from tuneloop.workspace import Workspace


class Held:
    """One model and its workspace, and who acts."""

    def __init__(self, project: Project) -> None:
        self.project = project

    @property
    def workspace(self) -> Workspace:
        """The three stores, and the clock."""
        return self.project.workspace

    @property
    def model_file(self) -> ModelFile:
        """The model file as it was read, with where each value comes from."""
        return self.project.model_file

    @property
    def model(self) -> ModelSettings:
        """The model file's settings with defaults and overrides applied."""
        return self.project.model

    @property
    def progress(self) -> Progress:
        """What is told what long steps do."""
        return self.project.progress

    @property
    def actor(self) -> str:
        """Who acts, as the audit log names them."""
        return self.project.actor
