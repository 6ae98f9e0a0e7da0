"""Attempts on what a key does not open: others' endpoints, others' interactions, other paths."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import product
from typing import Any

from chaos.arena import Arena
from chaos.client import Answer, Client, exchange
from chaos.trial import Place, Trial
from tuneloop.registry.routes import Key
from tuneloop.testing.upstream import Reply, ScriptedUpstream

ALICE, BOB, STAFF, GUEST = (f"tl_{name}_{'s' * 43}" for name in ("alice", "bob", "staff", "guest"))
_SECRET = b"s" * 43
_KEYS: Mapping[str, Mapping[str, Any]] = {
    ALICE: {"endpoints": ("desk",)},
    BOB: {"endpoints": ("calm",)},
    STAFF: {"feedback_for_all": True},
    GUEST: {},
}
"""What each key opens."""


def foreign_key(trial: Trial, place: Place) -> None:
    """The key of one endpoint used on another, on no endpoint, and altered."""
    altered = (ALICE[:-1] + "x", ALICE + "s", "tl_alice_", "tl__", f"tl_carol_{'s' * 43}", "ü", "")
    with ScriptedUpstream() as upstream, Arena(place.folder) as arena:
        arena.route(upstream.base_url, keys=_keys())
        with arena.load("calm", 2, key=BOB, connect_anew=True) as calm:
            bob, alice, nobody = arena.client(key=BOB), arena.client(key=ALICE), arena.client()
            for _ in range(max(1, place.size.answers // 20)):
                trial.check(bob.chat("desk"), "model_not_found", what="another's endpoint")
                trial.check(alice.chat("calm"), "model_not_found", what="another's endpoint")
                trial.check(alice.chat("desk"), "ok", what="the own endpoint")
                listed = json.loads(bob.send("GET", "/v1/models").body)
                names = [one["id"] for one in listed["data"]]
                trial.expect(names == ["calm"], f"only the own endpoint to be listed, got {names}")
                for key in altered:
                    headers = {"authorization": f"Bearer {key}".encode().decode("latin-1")}
                    refused = nobody.chat("desk", headers=headers)
                    trial.check(refused, "invalid_api_key", what=f"the key {key[:9]}…")
                trial.check(nobody.chat("desk"), "invalid_api_key", what="no key")
            _end(trial, place, calm)
        rows = arena.settle(trial)
        owners = {(row["endpoint"], row["owner"]) for row in rows}
        trial.expect(
            owners == {("desk", "alice"), ("calm", "bob")}, f"rows of their owners, got {owners}"
        )
        asked = len(upstream.requests)
        mine = sum(row["endpoint"] == "desk" for row in rows)
        trial.expect(asked == mine, f"a refused request to reach no server, got {asked - mine}")
        _no_secret_written(trial, place)


def forged_feedback(trial: Trial, place: Place) -> None:
    """Feedback on another key's interaction, on invented ones and on ones that were altered."""
    with ScriptedUpstream() as upstream, Arena(place.folder) as arena:
        arena.route(upstream.base_url, keys=_keys())
        mine = arena.client(key=ALICE).chat("desk")
        trial.check(mine, "ok", what="the interaction")
        identity = str(mine.interaction)
        with arena.load("calm", 2, key=BOB, connect_anew=True) as calm:
            for forged in _forged(identity, max(20, place.size.answers)):
                trial.check(
                    _feedback(arena, ALICE, forged), "not_your_interaction", what="a forged id"
                )
            for stranger in (BOB, GUEST):
                refused = _feedback(arena, stranger, identity)
                trial.check(refused, "not_your_interaction", what="another's interaction")
            for wrong in ("", "x", identity.upper() + "g", identity + "\r\nx: y", "0" * 31):
                trial.check(_feedback(arena, ALICE, wrong), "invalid_feedback", what="no id")
            given = [_feedback(arena, key, identity) for key in (ALICE, STAFF)]
            for answer in given:
                trial.check(answer, "ok", what="feedback of the owner, and of staff")
            _end(trial, place, calm)
        arena.settle(trial)
        kept = sorted(row["id"] for row in arena.books.rows("feedback"))
        wanted = sorted(str(json.loads(answer.body)["id"]) for answer in given)
        trial.expect(kept == wanted, f"the rightful feedback once each, got {len(kept)} rows")


def header_injection(trial: Trial, place: Place) -> None:
    """Line ends and other control characters in every id that a client may choose."""
    evil = "a\r\nx-evil: 1\r\n\r\nHTTP/1.1 200 OK"
    reply = Reply(status=429, text=evil, headers=(("retry-after", "1;x-evil=1"), ("x-evil", "1")))
    with (
        ScriptedUpstream(lambda r: reply if r.body.get("seed") else Reply()) as upstream,
        Arena(place.folder) as arena,
    ):
        arena.route(upstream.base_url)
        client = arena.client()
        with arena.calm_load() as calm:
            for _ in range(max(1, place.size.answers // 50)):
                answers = [
                    _checked(trial, client.chat(evil), "model_not_found", "a model"),
                    _checked(trial, client.chat("desk", user=evil), "ok", "a user"),
                    _checked(
                        trial, client.chat("desk", seed=1), "scripted", "an upstream's header"
                    ),
                    *(_with_header(trial, arena, *case) for case in _HEADERS),
                    *(_raw(trial, arena, b"GET", path) for path in _EVIL_PATHS),
                ]
                names = {name for answer in answers for name in answer.headers}
                trial.expect("x-evil" not in names, "no header of the attacker's, got x-evil")
            _end(trial, place, calm)
        rows = arena.settle(trial)
        users = [row["user"] for row in rows if row["user"]]
        trial.expect(users and set(users) == {evil}, "the user kept as it was sent")


def path_tricks(trial: Trial, place: Place) -> None:
    """Paths, methods and frames that mean something else to somebody else open nothing."""
    with ScriptedUpstream() as upstream, Arena(place.folder) as arena:
        arena.route(upstream.base_url, keys=_keys())
        with arena.load("calm", 2, key=BOB, connect_anew=True) as calm:
            for _ in range(max(1, place.size.answers // 100)):
                for method, path in _PATHS:
                    _raw(trial, arena, method, path)
                for what, data, expected in _FRAMES:
                    trial.check(exchange(arena.port, [data]), *expected, what=what)
            _end(trial, place, calm)
        trial.expect(not upstream.requests, "no request without a key to reach a server")
        arena.settle(trial)


def _end(trial: Trial, place: Place, calm: Any) -> None:
    """After the attack the ordinary clients go on."""
    over = time.monotonic()
    trial.recovered(calm.wait_for_success(over))
    calm.wait_for(place.size.answers)
    trial.count(calm.answers)


def _keys() -> dict[str, Key]:
    return {
        text.split("_")[1]: Key(
            digest=sha256(text.encode()).hexdigest(), owner=text.split("_")[1], **opens
        )
        for text, opens in _KEYS.items()
    }


def _feedback(arena: Arena, key: str, identity: str) -> Answer:
    body = json.dumps({"interaction": identity, "kind": "rating", "value": 1}).encode()
    with Client(arena.port, key=key) as client:
        return client.send("POST", "/v1/feedback", body)


def _forged(identity: str, count: int) -> list[str]:
    """Ids of the right form: one digit changed, other ends, other times, and invented ones."""
    digits = "0123456789abcdef"
    changed = [
        identity[:at] + digits[(digits.index(identity[at]) + 1) % 16] + identity[at + 1 :]
        for at in range(len(identity))
    ]
    ends = [identity[:22] + os.urandom(5).hex() for _ in range(count)]
    return [*changed, *ends, "0" * 32, "f" * 32, *(os.urandom(16).hex() for _ in range(count))]


def _no_secret_written(trial: Trial, place: Place) -> None:
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    found = [path.name for path in files if _SECRET in path.read_bytes()]
    trial.expect(not found, f"no key in any file of the gateway, got one in {found}")


def _checked(trial: Trial, answer: Answer, expected: str, what: str) -> Answer:
    trial.check(answer, expected, what=f"a line end in {what}")
    return answer


def _with_header(
    trial: Trial, arena: Arena, name: bytes, value: bytes, expected: Sequence[str]
) -> Answer:
    body = b'{"model": "desk", "messages": [{"role": "user", "content": "Hi"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n%b: %b\r\n"
    length = b"content-length: %d\r\n\r\n" % len(body)
    answer = exchange(arena.port, [head % (name, value) + length + body])
    trial.check(answer, *expected, what=f"the header {name!r} with {value!r}")
    return answer


def _raw(trial: Trial, arena: Arena, method: bytes, path: bytes) -> Answer:
    head = b"%b %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    answer = exchange(arena.port, [head % (method, path)])
    shown = path if len(path) < 60 else path[:60] + b"..."
    trial.check(answer, *_NOTHING_THERE, what=f"{method.decode()} {shown!r}")
    return answer


_NOTHING_THERE = (
    "unknown_url",
    "model_not_found",
    "method_not_allowed",
    "invalid_api_key",
    "plain_400",
    "plain_414",
    "plain_431",
)
"""The last ones come from the HTTP server itself, for what is no HTTP."""
_NO_HTTP = ("plain_400", "cut")
_ODD = ("ok", "plain_400")
_UNREADABLE = ("invalid_header",)
_HEADERS: tuple[tuple[bytes, bytes, Sequence[str]], ...] = (
    (b"x-tuneloop-session", b"a\tb", _ODD),
    (b"x-tuneloop-session", b"a\x00b", _NO_HTTP),
    (b"x-tuneloop-session", b"a\rx-evil: 1", _NO_HTTP),
    (b"x-tuneloop-session", b"a\nx-evil: 1", _ODD),  # a header of its own, to us and to it
    (b"x-tuneloop-session", b"a\r\n x-evil: folded", _ODD),
    (b"x-tuneloop-session", b"\xff\xfe", _UNREADABLE),
    (b"x-tuneloop-session", b"%0d%0ax-evil:%201", _ODD),
    (b"x-tuneloop-tags", b"a=%0d%0ax-evil:%201", _ODD),
    (b"x-tuneloop-tags", b"a=\xff", _UNREADABLE),
    (b"x-tuneloop-tags", b"evil", _UNREADABLE),
    (b"x-tuneloop-capture", b"off\x7f", _ODD),
    (b"x-tuneloop-interaction", b"ab" * 16, _ODD),
    (b"authorization", b"Bearer \xff\xfe", _ODD),
    (b"content-encoding", b"\xff", ("unsupported_encoding",)),
)
_EVIL_PATHS = (
    b"/v1/models/a%0d%0ax-evil:%201",
    b"/v1/models/%00",
    b"/v1/models/\xff",
    b"/v1/models/a%0aSet-Cookie:%20x",
)
_PATHS: tuple[tuple[bytes, bytes], ...] = (
    *product(
        (b"GET", b"POST"),
        (
            b"/",
            b"//v1/chat/completions",
            b"/v1//chat/completions",
            b"/v1/./chat/completions",
            b"/v1/../v1/chat/completions",
            b"/v1/chat/completions/",
            b"/v1/chat/completions/..",
            b"/v1/chat/completions;a=b",
            b"/v1/chat/completions%00",
            b"/v1/chat%2fcompletions",
            b"/v1/%63hat/completions",
            b"/V1/Chat/Completions",
            b"/v1/models/../../etc/passwd",
            b"/v1/models/..%2f..%2fetc%2fpasswd",
            b"/v1/models/%2e%2e/%2e%2e/etc/passwd",
            b"/v1/models/desk/../calm",
            b"/metrics/../v1/models",
            b"http://example.org/v1/chat/completions",
            b"/v1\\chat\\completions",
            b"/v1/models/" + b"a" * 60_000,
        ),
    ),
    (b"DELETE", b"/v1/models/desk"),
    (b"TRACE", b"/v1/chat/completions"),
    (b"OPTIONS", b"*"),
    (b"CONNECT", b"127.0.0.1:80"),
    (b"get", b"/v1/models"),
)
_POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
_REFUSED = ("plain_400", "invalid_api_key", "cut")
_FRAMES: tuple[tuple[str, bytes, Sequence[str]], ...] = (
    ("no HTTP", b"\x16\x03\x01\x02\x00 hello\r\n\r\n", _REFUSED),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", _REFUSED),
    ("HTTP/0.9", b"GET /v1/models\r\n\r\n", _REFUSED),
    ("two lengths", _POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", _REFUSED),
    ("a negative length", _POST + b"content-length: -2\r\n\r\n{}", _REFUSED),
    ("a length in words", _POST + b"content-length: two\r\n\r\n{}", _REFUSED),
    (
        "a length and chunks",
        _POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        _REFUSED,
    ),
    ("an odd coding", _POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", _REFUSED),
    ("a bad chunk", _POST + b"transfer-encoding: chunked\r\n\r\nXY\r\n", _REFUSED),
    ("a space before the colon", _POST + b"content-length : 2\r\n\r\n{}", _REFUSED),
    ("a thousand headers", _POST + b"x: y\r\n" * 1_000 + b"\r\n", (*_REFUSED, "plain_431")),
)
