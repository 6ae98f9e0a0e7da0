"""Which bundle answers: a pure function of the route snapshot and the request's key.

The same key always gets the same bundle until the route changes, so a conversation never changes
its model in the middle. Growing the last arm of an endpoint moves keys to it and nowhere else.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from tuneloop.gateway.errors import ApiError
from tuneloop.registry.routes import Arm, Endpoint, RouteSnapshot, Target

_KEY_BYTES = 8


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where one request goes."""

    endpoint: str
    bundle: str
    target: Target
    rules: Endpoint
    """What the endpoint says of captures, waiting and failures."""
    fallback: Route | None = None
    """Who answers when the target cannot."""
    shadow: Route | None = None
    """Who gets a copy."""


def resolve(snapshot: RouteSnapshot, endpoint: str, conversation: str) -> Route:
    """The route of one request.

    Raises:
        ApiError: 404 when the snapshot has no such endpoint.
    """
    rules = snapshot.endpoints.get(endpoint)
    if rules is None:
        raise unknown_model(snapshot, endpoint)
    bundle = choose(rules, endpoint, conversation)
    fallback = shadow = None
    if rules.failover:
        fallback = _route(snapshot, endpoint, rules, _next_best(rules, bundle))
    if rules.shadow is not None and in_share(f"shadow\0{conversation}", rules.shadow.share):
        shadow = _route(snapshot, endpoint, rules, rules.shadow.bundle)
    return Route(
        endpoint=endpoint,
        bundle=bundle,
        target=snapshot.bundles[bundle],
        rules=rules,
        fallback=fallback,
        shadow=shadow,
    )


def _route(
    snapshot: RouteSnapshot, endpoint: str, rules: Endpoint, bundle: str | None
) -> Route | None:
    if bundle is None or bundle not in snapshot.bundles:
        return None
    return Route(endpoint=endpoint, bundle=bundle, target=snapshot.bundles[bundle], rules=rules)


def _next_best(endpoint: Endpoint, bundle: str) -> str | None:
    """During a rollout production takes over from the candidate, else the previous bundle does."""
    first = endpoint.arms[0].bundle
    return endpoint.previous if bundle == first else first


def in_share(key: str, share: float) -> bool:
    """Whether a key belongs to so large a part of all keys; the same answer every time."""
    return share >= 1 or _share(key) < share


def choose(endpoint: Endpoint, name: str, conversation: str) -> str:
    """The bundle of the arm in whose share of the hash range the conversation falls."""
    arms = endpoint.arms
    if len(arms) == 1:
        return arms[0].bundle
    point = _share(f"{name}\0{endpoint.salt}\0{conversation}") * sum(arm.weight for arm in arms)
    return _arm_at(arms, point).bundle


def conversation_of(kind: str, value: bytes) -> str:
    """The routing key as it is stored: 16 hex digits, never the text it comes from.

    `kind` keeps a session named like a user apart from the user.
    """
    return blake2b(value, digest_size=_KEY_BYTES, person=kind.encode()).hexdigest()


def unknown_model(snapshot: RouteSnapshot, name: str) -> ApiError:
    """404 with the names that would have worked."""
    known = ", ".join(sorted(snapshot.endpoints)) or "none yet"
    return ApiError(
        404,
        "model_not_found",
        f"Expected the name of an endpoint as `model` (known: {known}), got {name[:100]!r}.",
        param="model",
    )


def _arm_at(arms: tuple[Arm, ...], point: float) -> Arm:
    # From the end: the last arm owns [0, weight), so only its own growth moves keys to it.
    passed = 0.0
    for arm in reversed(arms):
        passed += arm.weight
        if point < passed:
            return arm
    return next(arm for arm in arms if arm.weight > 0)  # rounding at the upper end


def _share(text: str) -> float:
    """A number in [0, 1), the same for the same text."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
