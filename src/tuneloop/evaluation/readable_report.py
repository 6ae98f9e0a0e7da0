"""A report in the forms in which people and programs read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from tuneloop.errors import EvaluationError
from tuneloop.evaluation import report_html, report_terminal
from tuneloop.evaluation.report import CANDIDATE, FORMAT

FILE_NAME = "report.json"


class Report:
    """A finished evaluation, readable in three forms."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        """`data` is what `make_report` or `as_json` gave."""
        if data.get("format") != FORMAT:
            raise EvaluationError(
                f"Expected a report of format {FORMAT}, got {data.get('format')!r}.",
                remedy="It was written by another version of tuneloop: use that one to read it.",
            )
        self._data = dict(data)

    def as_json(self) -> dict[str, Any]:
        """The report itself."""
        return self._data

    @property
    def verdict(self) -> str:
        """Of the gates: passed, failed or refused."""
        return str(self._data["verdict"])

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return str(self._data["reason"])

    @property
    def figures(self) -> dict[str, Any]:
        """The candidate's metrics on the main suite: name → value, low, high, n."""
        figures: dict[str, Any] = self._data["suites"][0]["figures"][CANDIDATE]
        return figures

    def as_html(self) -> str:
        """One self-contained page; everything that a model said is escaped."""
        return report_html.page(self._data)

    def as_terminal(self) -> list[RenderableType]:
        """Renderables for a Rich console, top to bottom."""
        return report_terminal.parts(self._data)

    def write(self, folder: Path) -> None:
        """Write `report.html` and, last, `report.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.html").write_text(self.as_html(), encoding="utf-8")
        text = json.dumps(self._data, ensure_ascii=False, indent=1, allow_nan=False)
        (folder / FILE_NAME).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Report:
        """Read a report that `write` wrote."""
        try:
            return cls(json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError) as e:
            raise EvaluationError(f"There is no readable report in {folder}: {e}.") from e
