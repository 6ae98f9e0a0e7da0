"""Reading a judge's answer: tolerant of what stands around a verdict, never guessing one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tuneloop.hashing import canonical_json

_THOUGHT_END = "</think>"
_DECODER = json.JSONDecoder()


class NoVerdictError(ValueError):
    """The judge's answer holds no verdict; the text is a reason code.

    no_object: no JSON object with the key. bad_value: its value is none of those asked for.
    ambiguous: several verdicts that differ. quoted: only what the judged text says itself.
    """


def read_verdict(
    text: str, *, key: str, values: Sequence[int | str], quoted: Sequence[str] = ()
) -> tuple[Any, str]:
    """The value of `key`, one of `values`, and the reason, from a judge's answer.

    Thoughts before `</think>`, a code fence and sentences around the object do no harm. An object
    that stands in the judged text too is a quotation, however the judge came to repeat it.

    Raises:
        NoVerdictError: with its reason code.
    """
    own = _own_objects(text, key=key, quoted=quoted)
    chosen = {_value(parsed[key], values) for parsed in own}
    if len(chosen) > 1:
        raise NoVerdictError("ambiguous")
    reason = own[-1].get("reason")
    return chosen.pop(), reason if isinstance(reason, str) else ""


def read_claims(text: str, *, quoted: Sequence[str] = ()) -> tuple[tuple[str, bool], ...]:
    """(claim, whether it is supported) of each claim in a judge's answer, as `read_verdict` reads.

    Raises:
        NoVerdictError: with its reason code.
    """
    own = _own_objects(text, key="claims", quoted=quoted)
    if len({_same(parsed) for parsed in own}) > 1:
        raise NoVerdictError("ambiguous")
    listed = own[-1]["claims"]
    if not isinstance(listed, list) or not all(map(_is_claim, listed)):
        raise NoVerdictError("bad_value")
    return tuple((claim["claim"], claim["supported"]) for claim in listed)


def _is_claim(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("claim"), str)
        and isinstance(value.get("supported"), bool)
    )


def _own_objects(text: str, *, key: str, quoted: Sequence[str]) -> list[dict[str, Any]]:
    """The objects with the key that are the judge's own, and no quotation of what it judges."""
    said = text.rpartition(_THOUGHT_END)[2]
    objects = [parsed for parsed in _objects(said) if key in parsed]
    if not objects:
        raise NoVerdictError("no_object")
    quotations = {_same(parsed) for part in quoted for parsed in _objects(part)}
    own = [parsed for parsed in objects if _same(parsed) not in quotations]
    if not own:
        raise NoVerdictError("quoted")
    return own


def _value(value: Any, values: Sequence[int | str]) -> int | str:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    for allowed in values:
        if type(value) is not bool and value == allowed:
            return allowed
    raise NoVerdictError("bad_value")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, in their order."""
    at = text.find("{")
    while at >= 0:
        try:
            parsed, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(parsed, dict):
                yield parsed
        at = text.find("{", end)


def _same(value: Any) -> str:
    """Equal objects give equal text; NaN, which JSON has not, must not stop us."""
    try:
        return canonical_json(value)
    except ValueError:
        return repr(value)
