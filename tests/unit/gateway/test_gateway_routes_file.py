"""The routes file: written whole, read with care, and the last good one is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.errors import StoreError
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.watch import RouteWatch
from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, RouteSnapshot, Target

TARGET = Target(base_url="http://127.0.0.1:1/v1", served_name="b1")


def _snapshot(version: int = 1) -> RouteSnapshot:
    return RouteSnapshot(
        version=version,
        endpoints={"desk": Endpoint(arms=(Arm(bundle="b1"),))},
        bundles={"b1": TARGET},
    )


@given(
    name=st.text(min_size=1, max_size=20).filter(str.isprintable),
    weight=st.floats(0.001, 1000),
    system=st.none() | st.text(max_size=30).filter(lambda text: text.isprintable()),
    sampling=st.dictionaries(st.sampled_from(["temperature", "stop"]), st.floats(0, 2)),
)
def test_a_snapshot_survives_writing_and_reading(
    name: str, weight: float, system: str | None, sampling: dict[str, float]
) -> None:
    target = Target(base_url="http://h/v1", served_name=name, system=system, sampling=sampling)
    snapshot = RouteSnapshot(
        version=3,
        endpoints={name: Endpoint(arms=(Arm(bundle="b", weight=weight),), previous="a")},
        bundles={"b": target},
    )
    assert routes.decode(routes.encode(snapshot)) == snapshot


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        ((), "no arm|none"),
        ((Arm(bundle="b1", weight=0),), "weight above 0"),
        ((Arm(bundle="b1"), Arm(bundle="b1", weight=-1)), "negative"),
        ((Arm(bundle="b2"),), "'b2' has no target"),
    ],
)
def test_routes_that_cannot_be_served_are_never_published(
    tmp_path: Path, arms: tuple[Arm, ...], says: str
) -> None:
    snapshot = RouteSnapshot(
        version=1, endpoints={"desk": Endpoint(arms=arms)}, bundles={"b1": TARGET}
    )
    with pytest.raises(StoreError, match=says):
        routes.publish(snapshot, tmp_path / "routes.json")
    assert list(tmp_path.iterdir()) == []


def test_fields_of_a_newer_tuneloop_are_ignored() -> None:
    data = routes.encode(_snapshot()).replace(b'"version"', b'"newer": {"x": 1}, "version"')
    assert routes.decode(data) == _snapshot()


def test_the_watch_keeps_the_last_good_routes(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    watch = RouteWatch(path)
    with pytest.raises(ApiError, match="No routes"):
        watch.current()

    routes.publish(_snapshot(), path)
    watch.check()
    assert watch.current() == _snapshot()

    for broken in (b"", b'{"version": ', b'{"version":2,"endpoints":{"desk":{"arms":[]}}}'):
        path.write_bytes(broken)
        watch.check()
        assert watch.current() == _snapshot()
        assert watch.stale

    path.unlink()
    watch.check()
    assert watch.current() == _snapshot()
    assert watch.stale

    routes.publish(_snapshot(version=2), path)
    watch.check()
    assert watch.current().version == 2
    assert not watch.stale


def test_routes_that_could_not_be_read_once_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, for a moment: the file stays the same."""
    path = tmp_path / "routes.json"
    path.write_bytes(b"{}")
    watch = RouteWatch(path)
    found = RouteSnapshot(version=7)

    def fails(_: Path) -> RouteSnapshot:
        raise StoreError("Too many open files.")

    monkeypatch.setattr(routes, "read", fails)
    path.write_bytes(b"{ }")
    watch.check()
    assert watch.stale and watch.loaded != found
    monkeypatch.setattr(routes, "read", lambda _: found)
    watch.check()
    assert watch.loaded == found and not watch.stale
