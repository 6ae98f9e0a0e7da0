"""What the model file names and what is not there."""

from __future__ import annotations

from dataclasses import dataclass

from tuneloop.modelfile.loading import KeyPath


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One name in a model file that means nothing, or may mean nothing."""

    at: KeyPath
    """Where it stands, e.g. ("evaluation", "gates", "acuracy")."""
    message: str
    remedy: str = ""
    certain: bool = True
    """False: it could not be looked up from here, so it may be right."""

    @property
    def key(self) -> str:
        """The place as a dotted key."""
        return ".".join(map(str, self.at))
