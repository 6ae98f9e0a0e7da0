"""What a bundle was held to less than others: kept in its manifest, told wherever it is shown.

Which gates, settings and suites are weaker is a rule of `evaluation.weakening`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tuneloop.foreign_text import one_line

Than = Literal["default", "production"]


@dataclass(frozen=True, kw_only=True)
class Weakness:
    """One thing that was asked for less."""

    about: str
    """Its key in the model file: `evaluation.gates.accuracy`, `evaluation.margin`,
    `evaluation.suites.held-out`."""
    than: Than
    """Whose is stronger: what holds for everybody, or what was in production."""
    now: str
    """What is asked, in words: `accuracy >= 0.80`."""
    was: str = ""
    """What the stronger one asks for; empty where `now` says it."""
    reason: str = ""
    """As the model file gives it; empty: it gives none."""

    @property
    def sentence(self) -> str:
        """All of it on one line."""
        whose, word = ("production's", "was") if self.than == "production" else _DEFAULT
        stronger = f" ({word} {self.was})" if self.was else ""
        return one_line(f"weaker than {whose}: {self.now}{stronger}: {self.reason or _UNSAID}")

    @property
    def reason_key(self) -> str:
        """Where the model file says why."""
        if self.about.startswith(_GATES):
            return f"{self.about}.reason"
        return f"evaluation.reasons.{self.about.removeprefix(_SUITES).removeprefix(_SECTION)}"

    def as_json(self) -> dict[str, Any]:
        """In JSON form."""
        return asdict(self)


_SECTION, _GATES, _SUITES = "evaluation.", "evaluation.gates.", "evaluation.suites."
_DEFAULT = ("the default", "default")
_UNSAID = "no reason is given"


def stored(rows: Iterable[Mapping[str, Any]] | None) -> tuple[Weakness, ...]:
    """What a manifest, an evaluation or a report holds; nothing where it holds none."""
    known = Weakness.__dataclass_fields__
    return tuple(
        Weakness(**{name: value for name, value in row.items() if name in known})
        for row in rows or ()
    )


def sentences(weakened: Iterable[Weakness]) -> list[str]:
    """A line for each."""
    return [weakness.sentence for weakness in weakened]
