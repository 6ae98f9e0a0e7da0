"""Tags from above: which there are, on how many rows, and with how many values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tuneloop.datasets.example import Example

FEW_VALUES = 20
"""Values of a tag that has no more than these are counted one by one."""


@dataclass(frozen=True, kw_only=True)
class TagCount:
    """One tag over all rows."""

    rows: int
    """Rows that have it."""
    values: int
    """How many different ones."""
    common: Mapping[str, int]
    """Value → rows, the commonest first; empty for a tag with more than 20 values."""

    @property
    def names_rows(self) -> bool:
        """Whether every row has a value of its own, or nearly: an id says nothing in a list."""
        return not self.common or (self.rows > 2 and self.values == self.rows)

    def as_row(self) -> dict[str, Any]:
        """The count in JSON form."""
        return {"rows": self.rows, "values": self.values, "common": dict(self.common)}

    def __str__(self) -> str:
        """`40 rows: de 30, en 10`, or `60 values in 60 rows`."""
        if self.names_rows:
            return f"{self.values:,} values in {self.rows:,} rows"
        listed = ", ".join(f"{value} {rows:,}" for value, rows in self.common.items())
        return f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}: {listed}"


def count_tags(examples: Iterable[Example]) -> dict[str, TagCount]:
    """Tag → its count over the rows that these are from, in the order of their names.

    A row with several answers counts once.
    """
    counters: dict[str, Counter[str]] = {}
    for row in {(example.source, example.line): example for example in examples}.values():
        for tag, value in row.tags.items():
            counters.setdefault(tag, Counter())[value] += 1
    return {
        tag: TagCount(
            rows=counter.total(),
            values=len(counter),
            common=_commonest_first(counter) if len(counter) <= FEW_VALUES else {},
        )
        for tag, counter in sorted(counters.items())
    }


def counts_in(report: Mapping[str, Any]) -> dict[str, TagCount]:
    """The counts that a version's report holds; of an earlier release only tags with few values."""
    values = report.get("tags", {})
    totals = report.get("tag_counts") or {
        tag: {"rows": sum(rows.values()), "values": len(rows)} for tag, rows in values.items()
    }
    return {
        tag: TagCount(**total, common=_commonest_first(values.get(tag, {})))
        for tag, total in totals.items()
    }


def _commonest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
