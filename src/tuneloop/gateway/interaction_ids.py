"""Interaction ids that prove where they come from.

32 hex digits: milliseconds since 1970 (12), random bits (10), and a code (10) that only holders of
the gateways' secret can compute, over the rest, the owner and the endpoint. So feedback can be
checked by any gateway process without looking the interaction up: a guessed id, or one of another
owner or endpoint, does not fit.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b

_FORM = re.compile(r"[0-9a-f]{32}")
_CODE_BYTES = 5


def issue(time_ns: int, *, secret: str, owner: str, endpoint: str) -> str:
    """A new id; ids sort by time."""
    head = f"{time_ns // 1_000_000:012x}{_random_digits()}"
    return head + _code(head, secret, owner, endpoint)


def is_id(text: str) -> bool:
    """Whether the text has the form of an id."""
    return _FORM.fullmatch(text) is not None


def issued_for(identity: str, *, secret: str, owner: str, endpoint: str) -> bool:
    """Whether the id was issued for a request of this owner to this endpoint."""
    head = identity[: -2 * _CODE_BYTES]
    return identity == head + _code(head, secret, owner, endpoint)


_RANDOM_BYTES = 5
_AT_A_TIME = 256
_drawn: list[str] = []


def _random_digits() -> str:
    """Ten hex digits; drawn many at a time, for asking the kernel costs more than using them."""
    if not _drawn:
        digits = os.urandom(_RANDOM_BYTES * _AT_A_TIME).hex()
        size = 2 * _RANDOM_BYTES
        _drawn.extend(digits[at : at + size] for at in range(0, len(digits), size))
    return _drawn.pop()


def _code(head: str, secret: str, owner: str, endpoint: str) -> str:
    # A keyed BLAKE2b is a message authentication code (RFC 7693, section 2.9).
    text = f"{head}{len(owner)}:{owner}{endpoint}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_CODE_BYTES, key=secret.encode()[:64]).hexdigest()
