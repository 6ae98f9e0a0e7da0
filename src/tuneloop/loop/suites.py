"""`loop.suites`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tuneloop.arguments import checked_methods
from tuneloop.candidates import suite_changes, suites
from tuneloop.candidates.suite_changes import AddedCase, NewSuite
from tuneloop.candidates.suites import SuiteState
from tuneloop.evaluation.frozen import FrozenSuite
from tuneloop.evaluation.suite_diff import SuiteDiff
from tuneloop.evaluation.suites import Case, Suite
from tuneloop.loop.part import Part


@checked_methods
class Suites(Part):
    """The cases that candidates answer: those of the newest dataset version and of suite files."""

    def listing(self) -> list[SuiteState]:
        """Every suite with its cases, the looks that were taken at it, and what is frozen of it."""
        return suites.listing(self._project)

    def find(self, name: str) -> Suite:
        """The cases of a suite as they are now.

        Raises:
            UsageError: there is no such suite.
            EvaluationError: its file cannot be used.
        """
        return suites.find(self._project, name)

    def new(
        self,
        name: str,
        *,
        kind: Literal["golden", "edge-case", "safety", "general"] = "golden",
        file: str | None = None,
    ) -> NewSuite:
        """Begin a suite: its file (by default NAME.jsonl), and its entry in the model file.

        Where the entry cannot be written without changing more, `declared` is False, and `lines`
        says what to write.

        Raises:
            UsageError: there is a suite of that name, or name or file cannot be one.
        """
        return suite_changes.new(self._project, name, kind=kind, file=file)

    def add(
        self,
        name: str,
        *,
        prompt: str | None = None,
        interaction: str | None = None,
        expected: str | None = None,
        tags: Sequence[str] = (),
        must_contain: Sequence[str] = (),
        must_not_contain: Sequence[str] = (),
    ) -> AddedCase:
        """Add a case to the file of a suite: of a prompt, or of a captured interaction by its id.

        The right answer to an interaction is `expected`, else what was approved in review, else
        the last edit or label that came as feedback. Personal data in it is treated as in data
        sources. `tags` are slices, such as `["lang=de"]`; an answer of prose has the phrases of
        `must_contain` and none of `must_not_contain`.

        Raises:
            UsageError: it is in the suite already, it cannot be a case, or nobody has said what
                the right answer is.
            EvaluationError: the file cannot be used.
        """
        return suite_changes.add(
            self._project,
            name,
            prompt=prompt,
            interaction=interaction,
            expected=expected,
            tags=tags,
            must_contain=must_contain,
            must_not_contain=must_not_contain,
        )

    def remove(self, name: str, case: str) -> Case:
        """Take a case, named by its id, out of the file of a suite; frozen versions keep it.

        Raises:
            UsageError: there is no such case.
            EvaluationError: the file cannot be used.
        """
        return suite_changes.remove(self._project, name, case)

    def freeze(self, name: str) -> FrozenSuite:
        """Keep a suite as it is now for good; equal rows make no second version.

        Raises:
            UsageError: the model file names no such suite.
            EvaluationError: its file cannot be used.
        """
        return suite_changes.freeze(self._project, name)[0]

    def versions(self, name: str) -> list[FrozenSuite]:
        """The frozen versions of a suite, the newest first."""
        return suites.versions(self._project, name)

    def diff(self, name: str, before: str | None = None, after: str | None = None) -> SuiteDiff:
        """What changed between two versions: by digest, label, `latest`, or `file`, as it is now.

        By default between the last frozen version and the file.

        Raises:
            UsageError: there is no such suite or version.
            EvaluationError: a version cannot be read with today's task.
        """
        return suites.compare(self._project, name, before, after)
