"""Exchanges that are over, made by hand."""

from __future__ import annotations

import json
from typing import Any

from tuneloop.gateway.capture import Exchange
from tuneloop.gateway.requests import CHAT, Operation, parse
from tuneloop.gateway.routing import resolve
from tuneloop.registry.routes import Arm, Endpoint, RouteSnapshot, Target

SNAPSHOT = RouteSnapshot(
    version=1,
    endpoints={"desk": Endpoint(arms=(Arm(bundle="b1"),))},
    bundles={"b1": Target(base_url="http://user:pw@10.0.0.7:8081/v1", served_name="served-b1")},
)


def finished(
    operation: Operation = CHAT,
    *,
    error: str | None = None,
    status: int = 200,
    **fields: Any,
) -> Exchange:
    """An exchange with the endpoint `desk` that is over."""
    body: dict[str, Any] = {"model": "desk"} | fields
    if operation is CHAT:
        body = {"messages": [{"role": "user", "content": "a secret"}]} | body
    call = parse(operation, json.dumps(body).encode(), {})
    exchange = Exchange(call, resolve(SNAPSHOT, "desk", call.conversation))
    if error is not None:
        exchange.fail(status, error)
    exchange.finish()
    return exchange
