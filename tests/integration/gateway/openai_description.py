"""The published description of the OpenAI API, where it is at hand, as validators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_PATH = Path(__file__).parents[4] / "shared/data/openai_openapi/openapi.yaml"
needs_description = pytest.mark.skipif(
    not _PATH.is_file(), reason=f"the OpenAI description is not at {_PATH}"
)


def validator(name: str) -> Any:
    """Of a schema among the description's components."""
    assert name in _document()["components"]["schemas"]
    registry: Any = Registry().with_resource("openai:", DRAFT202012.create_resource(_document()))
    return _Validator({"$ref": f"openai:#/components/schemas/{name}"}, registry=registry)


@cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.yaml.decode(_PATH.read_bytes())
    return found


def _or_null(keyword: str) -> Any:
    """In places the description says `nullable`, as OpenAPI 3.0 did; JSON Schema ignores that."""
    check = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if instance is not None or not schema.get("nullable"):
            yield from check(validator, value, instance, schema)

    return checked


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {keyword: _or_null(keyword) for keyword in ("type", "enum")}
)
