"""Reading feedback: what came back about an interaction.

Its interaction is not looked up here: it may be on its way to the store, or in another gateway's
spool. The join happens where both lie together.
"""

from __future__ import annotations

import time
from typing import Any, Literal, get_args

import msgspec

from tuneloop import metric_names
from tuneloop.gateway.access import Caller
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.interaction_ids import is_id, issued_for
from tuneloop.registry.routes import RouteSnapshot
from tuneloop.storage import spool
from tuneloop.storage.spool import Feedback

_MOST = 1e15
"""Larger numbers are a mistake, and their squares no longer add up."""


_Kind = Literal["edit", "rating", "escalation", "label", "metric"]
_EXPECTED = (
    f"Expected an `interaction`, a `kind` ({', '.join(get_args(_Kind))}) and a `value`; "
    "of a metric also its `name`; `endpoint` and `user` where they are known."
)
"""What a client that sent something else is told."""


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    interaction: str
    kind: _Kind
    value: Any = None
    name: str | None = None
    """Of a metric."""
    endpoint: str | None = None
    user: str | None = None


def parse_feedback(body: bytes) -> Feedback:
    """Read `{"interaction": id, "kind": ..., "value": ...}`, with `endpoint` and `user` if known.

    edit: the corrected answer, text. rating: a number from 0 (bad) to 1 (good). escalation: a
    reason, text, or nothing. label: any JSON value. metric: a number, true or false, under a
    `name`.

    Raises:
        ApiError: 400 saying what was expected.
    """
    try:
        sent = msgspec.json.decode(body, type=_Sent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        message = f"The feedback cannot be read: {e}. {_EXPECTED}"
        raise ApiError(400, "invalid_feedback", message) from e
    if not is_id(sent.interaction):
        raise _invalid(
            "interaction", "the 32 hex digits that the answer carried in x-tuneloop-interaction"
        )
    if expected := _value_problem(sent.kind, sent.value):
        raise _invalid("value", expected)
    if expected := _name_problem(sent.kind, sent.name):
        raise _invalid("name", expected)
    now_ns = time.time_ns()
    return Feedback(
        id=spool.new_id(now_ns),
        time=spool.iso_time(now_ns),
        interaction=sent.interaction,
        endpoint=sent.endpoint,
        kind=sent.kind if sent.name is None else f"{metric_names.PREFIX}{sent.name}",
        value=msgspec.json.encode(sent.value).decode(),
        user=sent.user,
    )


def check_owner(feedback: Feedback, caller: Caller, snapshot: RouteSnapshot) -> None:
    """Refuse feedback on what the caller has no business with.

    Raises:
        ApiError: 403 when the interaction is of another owner, of an endpoint that the caller's key
            does not open, or no interaction of this gateway.
    """
    if caller.key is None or snapshot.keys is None:
        return
    owners = {caller.owner}
    if caller.key.feedback_for_all:
        owners |= {key.owner for key in snapshot.keys.values()}
    allowed = [name for name in snapshot.endpoints if caller.may_use(name)]
    if not any(
        issued_for(feedback.interaction, secret=snapshot.secret, owner=owner, endpoint=endpoint)
        for owner in owners
        for endpoint in allowed
    ):
        raise ApiError(
            403,
            "not_your_interaction",
            "Expected an interaction that was answered to this key's owner.",
            param="interaction",
        )


def _value_problem(kind: str, value: Any) -> str | None:
    """What was expected instead, if anything is wrong."""
    if kind == "edit" and not (isinstance(value, str) and value.strip()):
        return "the corrected answer as text"
    if kind == "rating" and not (type(value) in (int, float) and 0 <= value <= 1):
        return "a number from 0 (bad) to 1 (good)"
    if kind == "escalation" and not (value is None or isinstance(value, str)):
        return "a reason as text, or nothing"
    if kind == "label" and value is None:
        return "a label"
    if kind == "metric" and not (
        type(value) in (bool, int, float) and -_MOST <= value <= _MOST  # NaN is in no JSON
    ):
        return "a number, true or false"
    return None


def _name_problem(kind: str, name: str | None) -> str | None:
    if kind != "metric":
        return None if name is None else "no name with feedback that is no metric"
    return None if name is not None and metric_names.is_name(name) else metric_names.EXPECTED


def _invalid(field: str, expected: str) -> ApiError:
    return ApiError(400, "invalid_feedback", f"Expected {expected} as `{field}`.", param=field)
