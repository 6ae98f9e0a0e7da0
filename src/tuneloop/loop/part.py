"""What the parts of a loop share."""

from __future__ import annotations

from tuneloop.project import Project


class Part:
    """What belongs together, reached by an attribute of the loop."""

    def __init__(self, project: Project) -> None:
        self._project = project
