"""What the sections of the model file are made of: values with rules of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from tuneloop.table import extensions

Share = Annotated[float, Field(ge=0.0, le=1.0)]
CADENCES = ("daily", "weekly", "monthly", "quarterly", "never")


def _is_regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as e:
        raise ValueError(f"is not a regular expression: {e}") from e
    return pattern


def _is_condition(text: str) -> str:
    if not re.fullmatch(r"\s*(>=|<=|>|<)\s*[0-9]+(\.[0-9]+)?\s*", text):
        raise ValueError('expected a condition such as ">= 0.90"')
    return text


RELATIVE = re.compile(r"\s*(better|not worse) than (base|production)\s*")
"""The condition of a gate that compares with somebody on the same cases."""


def _is_gate_condition(text: str) -> str:
    if RELATIVE.fullmatch(text):
        return text
    try:
        return _is_condition(text)
    except ValueError:
        raise ValueError(
            'expected a condition such as ">= 0.90", or "better than base", "not worse than base", '
            '"better than production", "not worse than production"'
        ) from None


def _is_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", text):
        raise ValueError("expected lower-case letters, digits, '-', '_' or '.', at most 64 of them")
    return text


_CRONTAB = re.compile(
    r"[0-9*/,LW#A-Za-z-]+( [0-9*/,LW#A-Za-z-]+){4}"
    r"( (\*(/[1-9][0-9]?)?|[0-5]?[0-9]([,-][0-5]?[0-9])*))?"  # seconds, and never a year
)


def _is_cadence(text: str) -> str:
    if text not in CADENCES and not _CRONTAB.fullmatch(text):
        raise ValueError(
            f"expected one of {', '.join(CADENCES)}, or the five fields of a crontab line (minute, "
            "hour, day, month, weekday), after which a sixth may say the seconds"
        )
    return text


def _clock_time(value: object) -> object:
    if isinstance(value, int) and 0 <= value < 24 * 60:
        # YAML 1.1 reads 22:00 without quotes as a number to the base of 60.
        return time(*divmod(value, 60))
    if isinstance(value, time) or (
        isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value)
    ):
        return value
    raise ValueError('expected a time of day such as "22:00"')


def _is_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise ValueError("expected a time zone that is known here, such as Europe/Berlin") from e
    return name


Regex = Annotated[str, AfterValidator(_is_regex)]
Cadence = Annotated[str, AfterValidator(_is_cadence)]
ClockTime = Annotated[time, BeforeValidator(_clock_time)]
TimeZone = Annotated[str, AfterValidator(_is_time_zone)]
Condition = Annotated[str, AfterValidator(_is_condition)]
GateCondition = Annotated[str, AfterValidator(_is_gate_condition)]
Name = Annotated[str, AfterValidator(_is_name)]


@dataclass(frozen=True)
class NameIn:
    """A name in a table that packages may add to: one of our own, or of a package (`group`)."""

    group: str
    own: tuple[str, ...]
    also: Callable[[str], bool] | None = None
    """Whether a name that stands in no table is one."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """A text, then looked up."""
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Editors offer our own names and let others pass."""
        return {"anyOf": [{"enum": list(self.own), "type": "string"}, {"type": "string"}]}

    def _known(self, name: str) -> str:
        if name in self.own or name in (added := extensions(self.group)):
            return name
        if self.also is not None and self.also(name):
            return name
        *most, last = (repr(known) for known in (*self.own, *added))
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})


class Section(BaseModel):
    """A part of the model file: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelServer(Section):
    """A model behind an OpenAI-compatible API."""

    base_url: str = Field(description="OpenAI-compatible server, up to and with /v1.")
    model: str = Field(description="Its model; name a dated version where there is one.")
    api_key_env: str | None = Field(
        None, description="Environment variable with its API key; the key is stored nowhere."
    )

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("expected an address such as http://127.0.0.1:8400/v1")
        return url
