"""The description of the gateway says what there is: its paths, its headers, its error codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from tuneloop.gateway import openapi, requests
from tuneloop.gateway.app import Gateway
from tuneloop.gateway.errors import CONTEXT_EXCEEDED
from tuneloop.gateway.settings import GatewaySettings

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "src" / "tuneloop" / "gateway"
PAGE = ROOT / "docs" / "reference" / "gateway.md"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(openapi.description())
    return found


def test_every_path_is_described_and_every_described_path_is_there(
    described: dict[str, Any], tmp_path: Path
) -> None:
    gateway = Gateway(GatewaySettings(routes=tmp_path / "routes.json", spool=tmp_path / "spool"))
    taken = {(path, method.lower()) for path, (method, _) in gateway._table.items()}
    found = {(path, method) for path, methods in described["paths"].items() for method in methods}
    assert found == taken | {("/v1/models/{model}", "get")}


def test_headers_are_called_what_the_gateway_reads(described: dict[str, Any]) -> None:
    parameters = described["components"]["parameters"]
    assert {parameter["name"] for parameter in parameters.values()} == {
        requests.SESSION_HEADER,
        requests.TAGS_HEADER,
        requests.CAPTURE_HEADER,
    }


def test_its_schemas_are_schemas(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert len(schemas) > 10
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_the_page_names_every_error_code_and_no_other() -> None:
    raised = {
        code
        for source in SOURCES.rglob("*.py")
        for code in re.findall(
            r'(?:(?:Api|Upstream)Error|_unread)\(\s*(?:[45]\d\d|[a-z.]+),\s*"(\w+)"',
            source.read_text(),
        )
    }
    # Two are put together from a word: see `access._too_many`.
    raised |= {"rate_limit_exceeded", "concurrency_exceeded", "invalid_feedback"}
    raised |= {CONTEXT_EXCEEDED}  # a name of ours: what reads the captured rows has it, too
    named = set(re.findall(r"^\| [45]\d\d \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert named == raised - {"upstream_error"}  # of the model server's own errors
