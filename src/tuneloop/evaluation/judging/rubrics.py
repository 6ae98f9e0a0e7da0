"""Rubrics of the team's own: each is a text file, and a judge of its own by what it says."""

from __future__ import annotations

from pathlib import Path

from tuneloop.errors import ModelFileError
from tuneloop.modelfile import JudgeSettings


def by_rubric(settings: JudgeSettings, name: str, *, folder: Path) -> JudgeSettings:
    """The judge as it is asked by one of the team's own rubrics, whose file is read.

    Raises:
        ModelFileError: the file cannot be read, or says nothing.
    """
    path = folder / settings.rubrics[name]
    try:
        rubric = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
        raise ModelFileError(
            f"The rubric {settings.rubrics[name]} cannot be read: {reason}.",
            remedy="A rubric is a text file that says what a good answer is.",
        ) from e
    if not rubric:
        raise ModelFileError(
            f"The rubric {settings.rubrics[name]} says nothing.",
            remedy="Say in it what a good answer is, and what is not.",
        )
    return settings.model_copy(update={"rubric": rubric})
