"""Requests that are wrong, or strange, in their body."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.arena import Arena, echo
from chaos.trial import Place, Trial
from tuneloop.testing.upstream import Received, ScriptedUpstream

_ENDPOINT = b'"model": "desk"'
_MESSAGES = b'"messages": [{"role": "user", "content": "Hi"}]'
_DEPTH = 100_000
_BAD = "invalid_json"


@dataclass(frozen=True, kw_only=True)
class Strange:
    """One request body with what must come of it."""

    what: str
    body: bytes
    expected: tuple[str, ...] = ("ok",)
    """Outcomes, any of which is right."""
    headers: Mapping[str, str] = field(default_factory=dict)


def invalid_json(trial: Trial, place: Place) -> None:
    """Bodies that are no JSON, or not the JSON that was asked for."""
    _send_all(trial, place, INVALID_JSON)


def invalid_utf8(trial: Trial, place: Place) -> None:
    """Bytes that are no UTF-8, where text is expected and where nobody looks."""
    _send_all(trial, place, INVALID_UTF8)


def deep_nesting(trial: Trial, place: Place) -> None:
    """A hundred thousand brackets, where a field is read and where it is passed on."""
    _send_all(trial, place, DEEP)


def huge_numbers(trial: Trial, place: Place) -> None:
    """Numbers that fit into no register reach the model server as they are."""
    received = _send_all(trial, place, HUGE_NUMBERS)
    for strange in HUGE_NUMBERS:
        number = strange.body.partition(b'"seed": ')[2].rstrip(b"}")
        reached = any(number in one.raw for one in received)
        trial.expect(reached, f"{strange.what} to reach the model server unchanged")


def duplicate_keys(trial: Trial, place: Place) -> None:
    """Fields that are there twice: what is checked, asked and kept is the same one."""
    received = _send_all(trial, place, DUPLICATES)
    for one in received:
        pairs = json.loads(one.raw, object_pairs_hook=list)
        names = [name for name, _ in pairs]
        trial.expect(
            len(names) == len(set(names)), f"each field once at the model server, got {names}"
        )


def compressed_bombs(trial: Trial, place: Place) -> None:
    """Bodies of a few kB that say they are 100 MB are not unpacked."""
    plain = b"{" + _ENDPOINT + b", " + _MESSAGES + b', "x": "' + b" " * 100_000_000 + b'"}'
    zipped = gzip.compress(plain, compresslevel=1)
    refused = ("unsupported_encoding",)
    bombs = [
        Strange(what="gzip", body=zipped, expected=refused, headers=_encoded("gzip")),
        Strange(what="GZIP", body=zipped, expected=refused, headers=_encoded("GZIP")),
        Strange(
            what="deflate",
            body=zlib.compress(plain, level=1),
            expected=refused,
            headers=_encoded("deflate"),
        ),
        Strange(
            what="twice",
            body=gzip.compress(zipped),
            expected=refused,
            headers=_encoded("gzip, gzip"),
        ),
        Strange(what="br", body=zipped, expected=refused, headers=_encoded("br")),
        Strange(what="zstd", body=zipped, expected=refused, headers=_encoded("zstd")),
        Strange(what="unsaid", body=zipped, expected=(_BAD,)),
    ]
    _send_all(trial, place, bombs)


def _send_all(trial: Trial, place: Place, requests: Sequence[Strange]) -> list[Received]:
    """Send each of them several times beside ordinary traffic; what the model server got."""
    with Arena(place.folder) as arena, ScriptedUpstream(_answer) as upstream:
        arena.route(upstream.base_url)
        client = arena.client()
        with arena.calm_load() as calm:
            for _ in range(max(1, place.size.answers // 100)):
                for one in requests:
                    answer = client.send(
                        "POST", "/v1/chat/completions", one.body, headers=one.headers
                    )
                    trial.check(answer, *one.expected, what=one.what)
            over = time.monotonic()
            trial.recovered(calm.wait_for_success(over))
            calm.wait_for(place.size.answers)
        trial.count(calm.answers)
        rows = arena.settle(trial)
        kept = [row for row in rows if row["endpoint"] == "desk"]
        received = upstream.requests
        trial.expect(
            len(kept) == len(received),
            f"every request of the model server kept, got {len(received)} and {len(kept)}",
        )
        asked = [json.loads(one.raw)["messages"] for one in received]
        captured = [json.loads(row["messages"]) for row in sorted(kept, key=lambda r: r["id"])]
        trial.expect(captured == asked, "to have captured what the model server was asked")
        return received


def _answer(received: Received) -> Any:
    return echo(received)


def _encoded(how: str) -> Mapping[str, str]:
    return {"content-encoding": how}


def _with(more: bytes) -> bytes:
    return b"{" + _ENDPOINT + b", " + _MESSAGES + b", " + more + b"}"


INVALID_JSON = (
    Strange(what="nothing", body=b"", expected=(_BAD,)),
    Strange(what="half of it", body=_with(b'"seed": 1')[:-9], expected=(_BAD,)),
    Strange(what="more behind it", body=_with(b'"seed": 1') + b"}", expected=(_BAD,)),
    Strange(what="two of it", body=_with(b'"seed": 1') * 2, expected=(_BAD,)),
    Strange(what="NaN", body=_with(b'"seed": NaN'), expected=(_BAD,)),
    Strange(what="single quotes", body=_with(b"'seed': 1"), expected=(_BAD,)),
    Strange(what="a raw line end in a text", body=_with(b'"x": "a\nb"'), expected=(_BAD,)),
    Strange(what="a byte order mark", body=b"\xef\xbb\xbf" + _with(b'"x": 1'), expected=(_BAD,)),
    Strange(what="zeros", body=bytes(1_000), expected=(_BAD,)),
    Strange(what="UTF-16", body=_with(b'"x": 1').decode().encode("utf-16"), expected=(_BAD,)),
    Strange(what="a form", body=b"model=desk&messages=Hi", expected=(_BAD,)),
    Strange(what="a list", body=b"[]", expected=("invalid_value",)),
    Strange(what="null", body=b"null", expected=("invalid_value",)),
    Strange(what="no fields", body=b"{}", expected=("invalid_value",)),
    Strange(what="a number as model", body=b'{"model": 1}', expected=("invalid_value",)),
    Strange(
        what="a text as messages",
        body=b"{" + _ENDPOINT + b', "messages": "Hi"}',
        expected=("invalid_value",),
    ),
    Strange(
        what="no messages",
        body=b"{" + _ENDPOINT + b', "messages": []}',
        expected=("invalid_value",),
    ),
    Strange(
        what="a message that is none",
        body=b"{" + _ENDPOINT + b', "messages": [null]}',
        expected=("invalid_value",),
    ),
)

INVALID_UTF8 = (
    Strange(what="a message", body=_with(b'"x": 1').replace(b"Hi", b"\xff\xfe"), expected=(_BAD,)),
    Strange(what="an unknown field", body=_with(b'"x": "\x80"'), expected=(_BAD,)),
    Strange(what="a name", body=_with(b'"\xc3": 1'), expected=(_BAD,)),
    Strange(what="a surrogate as bytes", body=_with(b'"x": "\xed\xa0\x80"'), expected=(_BAD,)),
    Strange(what="too long a form", body=_with(b'"x": "\xc0\xaf"'), expected=(_BAD,)),
    Strange(what="a user", body=_with(b'"user": "\xff"'), expected=(_BAD,)),
    Strange(what="half a surrogate pair", body=_with(rb'"x": "\ud800"'), expected=(_BAD,)),
    Strange(what="a zero character", body=_with(rb'"x": "\u0000"')),
    Strange(what="a zero character as user", body=_with(rb'"user": "a\u0000b"')),
    Strange(what="half of one as user", body=_with(rb'"user": "\ud800"'), expected=(_BAD,)),
)

_BRACKETS = b"[" * _DEPTH + b"]" * _DEPTH
_BRACES = b'{"a":' * _DEPTH + b"1" + b"}" * _DEPTH
DEEP = (
    Strange(what="only lists", body=_BRACKETS, expected=(_BAD, "invalid_value")),
    Strange(what="only objects", body=_BRACES, expected=(_BAD, "invalid_value")),
    Strange(what="lists that never end", body=b"[" * 1_000_000, expected=(_BAD, "invalid_value")),
    Strange(what="an unknown field", body=_with(b'"x": ' + _BRACKETS), expected=(_BAD,)),
    Strange(what="an unknown object", body=_with(b'"x": ' + _BRACES), expected=(_BAD,)),
    Strange(
        what="a message's content",
        body=_with(b'"x": 1').replace(b'"Hi"', _BRACKETS),
        expected=(_BAD,),
    ),
    Strange(
        what="stream_options",
        body=_with(b'"stream_options": ' + _BRACES),
        expected=(_BAD, "invalid_value"),
    ),
    Strange(what="fifty levels", body=_with(b'"x": ' + b"[" * 50 + b"]" * 50)),
)

HUGE_NUMBERS = (
    Strange(what="65 bits", body=_with(b'"seed": 18446744073709551616')),
    Strange(what="4,000 digits", body=_with(b'"seed": ' + b"9" * 4_000)),
    Strange(what="4,000 decimals", body=_with(b'"seed": 0.' + b"3" * 4_000)),
    Strange(what="more than a double holds", body=_with(b'"seed": 1e400')),
    Strange(what="less than a double holds", body=_with(b'"seed": -1e-400')),
    Strange(what="an exponent of many digits", body=_with(b'"seed": 1e-99999999')),
    Strange(what="minus zero", body=_with(b'"seed": -0')),
)

DUPLICATES = (
    Strange(what="two models, the last one known", body=_with(_ENDPOINT).replace(b"desk", b"x", 1)),
    Strange(
        what="two models, the first one known",
        body=_with(b'"model": "x"'),
        expected=("model_not_found",),
    ),
    Strange(
        what="two lists of messages",
        body=_with(_MESSAGES.replace(b"Hi", b"the last one")),
    ),
    Strange(
        what="the last list of messages empty",
        body=_with(b'"messages": []'),
        expected=("invalid_value",),
    ),
    Strange(what="stream, then not", body=_with(b'"stream": true, "stream": false')),
    Strange(what="not, then stream", body=_with(b'"stream": false, "stream": true')),
    Strange(what="a name in two spellings", body=_with(rb'"seed": 1, "\u0073eed": 2')),
    Strange(what="two users", body=_with(b'"user": "a", "user": "b"')),
)
