"""Keys, limits, circuit breaking and ids, without a gateway."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.gateway.access import ANYBODY, Caller, Limiter, identify
from tuneloop.gateway.breaker import Breaker
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.interaction_ids import is_id, issue, issued_for
from tuneloop.registry.routes import Key, RouteSnapshot


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def _caller(**limits: float) -> Caller:
    key = Key(digest="", owner="ann", **limits)  # type: ignore[arg-type]
    return Caller(name="k", owner="ann", key=key)


def _admitted(limiter: Limiter, caller: Caller, tries: int) -> int:
    admitted = 0
    for _ in range(tries):
        try:
            limiter.enter(caller)
        except ApiError as e:
            assert e.status == 429
            assert int(dict(e.headers)["retry-after"]) >= 1
        else:
            admitted += 1
            limiter.leave(caller)
    return admitted


def test_a_rate_is_a_minutes_worth_and_comes_back_with_time() -> None:
    clock = Clock()
    limiter = Limiter(clock=clock)
    caller = _caller(requests_per_minute=6)
    assert _admitted(limiter, caller, 10) == 6
    clock.now += 10
    assert _admitted(limiter, caller, 10) == 1
    clock.now += 3_600
    assert _admitted(limiter, caller, 10) == 6
    assert _admitted(limiter, ANYBODY, 100) == 100


def test_processes_share_a_keys_limits() -> None:
    caller = _caller(requests_per_minute=12, concurrent_requests=4)
    limiter = Limiter(processes=2, clock=Clock())
    limiter.enter(caller)
    limiter.enter(caller)
    with pytest.raises(ApiError, match="at a time"):
        limiter.enter(caller)
    limiter.leave(caller)
    limiter.leave(caller)
    assert _admitted(limiter, caller, 12) == 4  # 6 for each process, 2 of them taken above


def test_a_refused_request_holds_no_place() -> None:
    clock = Clock()
    limiter = Limiter(clock=clock)
    caller = _caller(requests_per_minute=1, concurrent_requests=1)
    assert _admitted(limiter, caller, 5) == 1
    clock.now += 60
    assert _admitted(limiter, caller, 5) == 1


@given(st.text())
def test_no_text_but_the_key_opens_a_guarded_gateway(text: str) -> None:
    real = "tl_ann_" + "x" * 43
    digest = sha256(real.encode()).hexdigest()
    snapshot = RouteSnapshot(version=1, keys={"ann": Key(digest=digest, owner="ann")})
    assert identify(snapshot, f"Bearer {real}").owner == "ann"
    for header in (text, f"Bearer {text}", f"Bearer tl_ann_{text}", None):
        if header != f"Bearer {real}":
            with pytest.raises(ApiError) as refused:
                identify(snapshot, header)
            assert refused.value.status == 401


def test_revoking_the_last_key_does_not_open_the_gateway() -> None:
    with pytest.raises(ApiError):
        identify(RouteSnapshot(version=1, keys={}), None)
    assert identify(RouteSnapshot(version=1, keys=None), None) is ANYBODY


def test_a_failing_server_is_spared_and_tried_now_and_then() -> None:
    clock = Clock()
    breaker = Breaker(failures=3, pause_seconds=2, clock=clock)
    for _ in range(2):
        breaker.failed("b")
    assert breaker.allows("b")
    breaker.failed("b")
    assert (breaker.allows("b"), breaker.allows("other"), breaker.open) == (False, True, ["b"])
    clock.now += 2
    assert [breaker.allows("b") for _ in range(3)] == [True, False, False]  # one trial
    breaker.failed("b")
    assert not breaker.allows("b")
    clock.now += 2
    assert breaker.allows("b")
    breaker.succeeded("b")
    assert [breaker.allows("b") for _ in range(3)] == [True] * 3
    assert breaker.open == []


_NAMES = st.text(max_size=20)


@given(_NAMES, _NAMES, _NAMES, _NAMES)
def test_an_id_fits_its_owner_and_endpoint_only(
    owner: str, endpoint: str, other_owner: str, other_endpoint: str
) -> None:
    identity = issue(1_700_000_000_000_000_000, secret="s", owner=owner, endpoint=endpoint)
    assert is_id(identity)
    assert issued_for(identity, secret="s", owner=owner, endpoint=endpoint)
    assert not issued_for(identity, secret="t", owner=owner, endpoint=endpoint)
    if (other_owner, other_endpoint) != (owner, endpoint):
        assert not issued_for(identity, secret="s", owner=other_owner, endpoint=other_endpoint)


def test_ids_sort_by_time() -> None:
    ids = [
        issue(1_700_000_000_000_000_000 + n * 1_000_000, secret="", owner="", endpoint="e")
        for n in range(50)
    ]
    assert ids == sorted(ids)
    assert len(set(ids)) == 50
