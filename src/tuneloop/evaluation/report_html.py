"""A report as one HTML file without scripts or outside assets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneloop.errors import require
from tuneloop.evaluation.near_misses import advice
from tuneloop.evaluation.other_facts import facts_told
from tuneloop.evaluation.report import (
    fields_compared,
    fields_of,
    is_of_prose,
    is_told_by_field,
    is_watched,
    lost_slices,
    told_first,
)
from tuneloop.registry.weakness import sentences, stored

_TEMPLATE = "report.html.j2"


def page(report: Mapping[str, Any]) -> str:
    """The page; every value is escaped by the template engine.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="evaluate")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tuneloop.evaluation", "templates"),
        # By name, not by file ending: a template must never lose its escaping by being renamed.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    environment.filters["percent"] = lambda value: f"{100 * min(max(value, 0.0), 1.0):.2f}"
    environment.filters["told_first"] = told_first
    environment.filters["weaknesses"] = lambda report: sentences(stored(report.get("weakened")))
    environment.filters["lost_slices"] = lost_slices
    environment.filters["fields_compared"] = fields_compared
    environment.filters["advice"] = advice
    environment.filters["facts_told"] = facts_told
    environment.tests["of_prose"] = is_of_prose
    environment.tests["watched"] = is_watched
    environment.tests["told_by_field_of"] = is_told_by_field
    environment.tests["having_fields_of"] = fields_of
    return str(environment.get_template(_TEMPLATE).render(report=report))


def _figure(value: float, metric: str = "") -> str:
    return f"{value:.0f}" if metric.endswith("_ms") else f"{value:.3f}"
