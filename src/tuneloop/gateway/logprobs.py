"""Log-probabilities for the monitor `confidence`: asked of a share of the requests, and taken out.

A client that did not ask for them gets what it would have got, byte for byte. What a server writes
where nobody asks, no field or null, is learnt from an answer of its own, so the first request that
a server answers is not asked.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from functools import partial

import msgspec

from tuneloop.gateway.answers import Hiding
from tuneloop.gateway.capture import Exchange
from tuneloop.gateway.requests import CHAT, Call
from tuneloop.gateway.routing import in_share
from tuneloop.storage.captured import PROBE_TAG

_log = logging.getLogger(__name__)

REFUSALS = {400, 422, 500, 501}
"""What servers say to a field that they do not take; such a request is asked again without."""

_ASK_AGAIN_SECONDS = 3600.0
_FIELD = "logprobs"
_NOT_WANTED = (b"null", b"false")
_OTHERS = {"top_logprobs", "tools", "functions"}
"""With these a request is left alone: servers do not take all of it together, llama.cpp's no tools
in a stream."""
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:\s*')
_encode = msgspec.json.Encoder().encode
_list = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class LogprobAsking:
    """What one gateway process knows of its servers' log-probabilities."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._nulls: dict[tuple[str, bool], bool] = {}
        """Bundle, and whether streamed → whether its choices say null where nobody asks."""
        self._spared_until: dict[str, float] = {}

    def hiding(self, exchange: Exchange) -> Hiding | None:
        """How to hide what this exchange's request is to be asked for; None: it is not asked.

        The same interaction, by its id, always falls on the same side of the share.
        """
        share = exchange.route.rules.capture.logprobs_share
        if not share or not in_share(f"{_FIELD}\0{exchange.id}", share):
            return None
        call, bundle = exchange.call, exchange.route.bundle
        nulls = self._nulls.get((bundle, call.streamed))
        if nulls is None or not _may_be_asked(call) or exchange.not_captured is not None:
            return None
        if self._clock() < self._spared_until.get(bundle, 0.0):
            return None
        return partial(hidden, null=nulls)

    def learn(self, exchange: Exchange) -> None:
        """Note what the choices of an answer have that nobody asked for log-probabilities."""
        key = exchange.route.bundle, exchange.call.streamed
        if key in self._nulls or not exchange.route.rules.capture.logprobs_share:
            return
        if exchange.facts.finish_reason is not None and _may_be_asked(exchange.call):
            self._nulls[key] = exchange.facts.null_logprobs

    def refused(self, exchange: Exchange) -> None:
        """A server answered without them what it had refused with them: it is spared for an hour.

        It may be another server then, and it costs one request to find out.
        """
        bundle = exchange.route.bundle
        self._spared_until[bundle] = self._clock() + _ASK_AGAIN_SECONDS
        _log.warning(
            "The model server of %s refuses log-probabilities: the monitor `confidence` has none "
            "of its answers; tried again in an hour",
            bundle,
        )


def hidden(choices: bytes, *, null: bool) -> bytes:
    """The choices, a JSON list, in which null or nothing stands in place of log-probabilities.

    All other bytes stay.
    """
    pieces, done = [], 0
    for choice in _list.decode(choices):
        text = bytes(choice)
        start = choices.index(text, done)
        pieces += [choices[done:start], _hidden_in(text, null)]
        done = start + len(text)
    return b"".join([*pieces, choices[done:]])


def _hidden_in(choice: bytes, null: bool) -> bytes:
    fields = _fields.decode(choice)
    if _FIELD not in fields:
        return choice
    end = 1  # of the value before, or of the opening brace
    for name, value in fields.items():
        key = _KEY.search(choice, end)
        if key is None or not choice.startswith(bytes(value), key.end()):
            break  # a name stands there twice
        if name != _FIELD:
            end = key.end() + len(bytes(value))
            continue
        after = choice[key.end() + len(bytes(value)) :]
        if null:
            return choice[: key.end()] + b"null" + after
        following = _KEY.search(after)
        if following is None:
            return choice[:end] + after
        return choice[: key.start()] + after[following.start() :]
    rest = {name: value for name, value in fields.items() if name != _FIELD}
    return _encode(rest | {_FIELD: None} if null else rest)


def _may_be_asked(call: Call) -> bool:
    """Whether a call is a client's chat that leaves log-probabilities open."""
    if call.operation is not CHAT or PROBE_TAG in call.tags or not _OTHERS.isdisjoint(call.fields):
        return False
    said = call.fields.get(_FIELD)
    return said is None or bytes(said) in _NOT_WANTED
