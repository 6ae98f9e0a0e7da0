"""Routing is pure and sticky: a conversation never changes its bundle until the route changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.routing import choose, resolve
from tuneloop.registry.routes import Arm, Endpoint, RouteSnapshot, Shadow, Target

CONVERSATIONS = [f"{number:016x}" for number in range(4000)]


def _endpoint(**weights: float) -> Endpoint:
    return Endpoint(arms=tuple(Arm(bundle=b, weight=w) for b, w in weights.items()))


@given(st.text(max_size=40), st.lists(st.floats(0, 1e6), min_size=1, max_size=5))
def test_a_conversation_always_gets_the_same_arm_with_a_weight(
    conversation: str, weights: list[float]
) -> None:
    arms = tuple(Arm(bundle=f"b{i}", weight=w) for i, w in enumerate([*weights, 1.0]))
    endpoint = Endpoint(arms=arms)
    chosen = choose(endpoint, "desk", conversation)
    assert chosen == choose(endpoint, "desk", conversation)
    assert next(arm.weight for arm in arms if arm.bundle == chosen) > 0


def test_a_salt_divides_the_conversations_anew() -> None:
    arms = (Arm(bundle="production", weight=0.5), Arm(bundle="candidate", weight=0.5))
    one, other = (Endpoint(arms=arms, salt=salt) for salt in ("r1", "r2"))
    both = [choose(one, "desk", c) == choose(other, "desk", c) for c in CONVERSATIONS]
    # 4,000 coins: five standard deviations are 0.04.
    assert abs(sum(both) / len(both) - 0.5) < 0.04


def test_shares_follow_the_weights() -> None:
    endpoint = _endpoint(production=0.9, candidate=0.1)
    picks = [choose(endpoint, "desk", conversation) for conversation in CONVERSATIONS]
    # 4,000 draws at 0.1: five standard deviations are 0.024.
    assert abs(picks.count("candidate") / len(picks) - 0.1) < 0.024


@given(st.floats(0.01, 0.98), st.floats(0.001, 0.5))
def test_growing_the_canary_moves_conversations_only_to_it(share: float, more: float) -> None:
    grown = min(0.99, share + more)
    before = _endpoint(production=1 - share, candidate=share)
    after = _endpoint(production=1 - grown, candidate=grown)
    for conversation in CONVERSATIONS[:200]:
        if choose(before, "desk", conversation) == "candidate":
            assert choose(after, "desk", conversation) == "candidate"


def test_two_endpoints_do_not_send_the_same_conversations_to_their_canaries() -> None:
    endpoint = _endpoint(production=0.5, candidate=0.5)
    same = sum(
        choose(endpoint, "desk", conversation) == choose(endpoint, "sales", conversation)
        for conversation in CONVERSATIONS
    )
    assert 0.4 < same / len(CONVERSATIONS) < 0.6


def test_an_unknown_model_is_refused_with_the_known_names() -> None:
    snapshot = RouteSnapshot(
        version=1,
        endpoints={"desk": _endpoint(b1=1)},
        bundles={"b1": Target(base_url="http://127.0.0.1:1/v1", served_name="b1")},
    )
    with pytest.raises(ApiError) as refused:
        resolve(snapshot, "dsek", "0")
    assert refused.value.status == 404
    assert refused.value.code == "model_not_found"
    assert "known: desk" in refused.value.message
    assert resolve(snapshot, "desk", "0").bundle == "b1"


def _resolved(endpoint: Endpoint, conversation: str = "c") -> tuple[str, str | None, str | None]:
    targets = {name: Target(base_url="http://h/v1", served_name=name) for name in ("p", "c", "o")}
    snapshot = RouteSnapshot(version=1, endpoints={"desk": endpoint}, bundles=targets)
    route = resolve(snapshot, "desk", conversation)
    return (
        route.bundle,
        route.fallback.bundle if route.fallback else None,
        route.shadow.bundle if route.shadow else None,
    )


def test_production_falls_back_to_the_previous_bundle_and_a_candidate_to_production() -> None:
    production, candidate = Arm(bundle="p"), Arm(bundle="c")
    assert _resolved(Endpoint(arms=(production,), previous="o")) == ("p", "o", None)
    assert _resolved(Endpoint(arms=(production,))) == ("p", None, None)
    assert _resolved(Endpoint(arms=(production,), previous="gone")) == ("p", None, None)
    assert _resolved(Endpoint(arms=(production,), previous="o", failover=False))[1] is None
    canary = Endpoint(arms=(Arm(bundle="p", weight=0), candidate), previous="o")
    assert _resolved(canary) == ("c", "p", None)


def test_a_shadow_sees_its_share_of_the_conversations_whole() -> None:
    endpoint = Endpoint(arms=(Arm(bundle="p"),), shadow=Shadow(bundle="c", share=0.3))
    seen = [_resolved(endpoint, conversation)[2] for conversation in CONVERSATIONS]
    # 4,000 draws at 0.3: five standard deviations are 0.036.
    assert abs(seen.count("c") / len(seen) - 0.3) < 0.036
    assert seen == [_resolved(endpoint, conversation)[2] for conversation in CONVERSATIONS]
