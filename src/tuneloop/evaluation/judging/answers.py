"""The judge's answers by what it was asked, so that nothing is paid for twice."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.targets import Answer


class JudgeAnswers:
    """A JSON Lines file of answers; a line that a kill cut short is asked again."""

    def __init__(self, path: Path) -> None:
        """The file is read at once and made with the first answer."""
        self._path = path
        self._lock = threading.Lock()
        self._answers = _read(path)

    def find(self, question: str) -> Answer | None:
        """The answer to the question with this digest."""
        return self._answers.get(question)

    def keep(self, question: str, answer: Answer) -> None:
        """Add an answer.

        Raises:
            EvaluationError: the file cannot be written.
        """
        line = json.dumps({"question": question, "answer": asdict(answer)}) + "\n"
        with self._lock:
            self._answers[question] = answer
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line)
            except OSError as e:
                raise EvaluationError(
                    f"The judge's answers cannot be written to {self._path}: "
                    f"{os.strerror(e.errno or 0)}.",
                    remedy="Free some space and run the same command again: it continues.",
                ) from e


def _read(path: Path) -> dict[str, Answer]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    answers: dict[str, Answer] = {}
    for line in lines:
        try:
            row = json.loads(line)
            answers[row["question"]] = Answer(**row["answer"])
        except (ValueError, KeyError, TypeError):
            continue
    return answers
