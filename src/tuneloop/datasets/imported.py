"""What came out of files: how many rows of each, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.datasets.left_out import LeftOut


@dataclass(kw_only=True)
class FileCount:
    """What came out of one file."""

    source: str
    digest: str
    read_as: str = ""
    """How it was read, where that is not a matter of course, e.g. `Windows-1252 text`."""
    rows: int = 0
    """All but blank lines."""
    answers: int = 0
    """Answers to learn in them; a row that cannot be used counts as one."""
    kept: int = 0
    """Answers, up to here."""
    forms: Counter[str] = field(default_factory=Counter)
    """What was recognised → rows."""
    own_system: int = 0
    """Rows with another system text than the model file's."""
    ungrouped: int = 0
    """Rows without a value for the group field."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason → answers, up to here; duplicates and the like are counted later."""
    unused: Counter[str] = field(default_factory=Counter)
    """Column that no format knows and that is too long for a tag → rows."""

    def add(self, part: FileCount) -> None:
        """Count some rows of the file in."""
        self.rows += part.rows
        self.answers += part.answers
        self.kept += part.kept
        self.forms.update(part.forms)
        self.own_system += part.own_system
        self.ungrouped += part.ungrouped
        self.left_out.update(part.left_out)
        self.unused.update(part.unused)

    def as_row(self) -> dict[str, Any]:
        """The count in JSON form."""
        return {
            "source": self.source,
            "digest": self.digest,
            "rows": self.rows,
            "answers": self.answers,
            "kept": self.kept,
            "forms": dict(sorted(self.forms.items())),
            "own_system": self.own_system,
            "left_out": dict(sorted(self.left_out.items())),
            "unused": dict(sorted(self.unused.items())),
            **({"read_as": self.read_as} if self.read_as else {}),
        }


@dataclass(kw_only=True)
class Imported:
    """Everything that was read."""

    examples: list[Example] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    files: list[FileCount] = field(default_factory=list)
    personal_data: Counter[str] = field(default_factory=Counter)
    """Kind → finds in kept rows."""
    personal_rows: int = 0
    retired_terms: Counter[str] = field(default_factory=Counter)
    """Old name → hits in kept rows."""
    retired_rows: int = 0

    def add(self, part: Imported) -> None:
        """Take over what came of some rows; their file is counted apart."""
        self.examples += part.examples
        self.left_out += part.left_out
        self.personal_data.update(part.personal_data)
        self.personal_rows += part.personal_rows
        self.retired_terms.update(part.retired_terms)
        self.retired_rows += part.retired_rows

    def taken(self) -> Iterator[Example]:
        """The examples, which are not kept here: a million of them are held once."""
        self.examples.reverse()
        while self.examples:
            yield self.examples.pop()

    @property
    def rows(self) -> int:
        """Rows in."""
        return sum(file.rows for file in self.files)

    @property
    def answers(self) -> int:
        """Answers in: each stays or is left out."""
        return sum(file.answers for file in self.files)
