"""Captured traffic that is too old goes for good; nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tuneloop.errors import StoreError
from tuneloop.storage.retention import Pruned, prune
from tuneloop.storage.spool import Feedback, Interaction, Spool, encode
from tuneloop.storage.traffic import Traffic

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LIMIT = NOW - timedelta(days=90)
DESK, OTHER = "d" * 64, "0" * 64
OLD_TEXT = "a customer's words"


def _interaction(name: str, days: float, *, bundle: str = DESK, text: str = "fresh") -> Any:
    return {
        "id": name,
        "time": NOW - timedelta(days=days),
        "endpoint": "desk",
        "bundle": bundle,
        "status": 200,
        "messages": json.dumps([{"role": "user", "content": text}]),
        "response": text,
        "latency_ms": 5.0,
    }


def _feedback(name: str, interaction: str, days: float) -> dict[str, Any]:
    return {
        "id": name,
        "time": NOW - timedelta(days=days),
        "interaction": interaction,
        "kind": "edit",
        "value": '"better"',
    }


def _ids(traffic: Traffic, table: Any) -> list[str]:
    return list(traffic.scan(table).collect()["id"].sort())


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def traffic(tmp_path: Path) -> Iterator[Traffic]:
    """Old and new rows, in one file and in several, of two models."""
    made = Traffic(str(tmp_path / "traffic"))
    made.append(
        "interactions",
        [
            _interaction("old", 91, text=OLD_TEXT),
            _interaction("new", 89),
            _interaction("other", 400, bundle=OTHER),
        ],
    )
    made.append("interactions", [_interaction("older", 300, text=OLD_TEXT)])
    made.append("interactions", [_interaction("newer", 0)])
    shadow = {"interaction": "x", "endpoint": "desk", "status": 200, "bundle": DESK}
    made.append(
        "shadows",
        [
            {"id": "old", "time": NOW - timedelta(days=91), "response": OLD_TEXT} | shadow,
            {"id": "new", "time": NOW} | shadow,
        ],
    )
    made.append(
        "embeddings",
        [
            {"id": name, "time": NOW - timedelta(days=days), "bundle": DESK, "vector": [0.5]}
            for name, days in (("old", 91), ("new", 89))
        ],
    )
    made.append(
        "feedback",
        [
            _feedback("late", "old", 1),  # on an old interaction
            _feedback("early", "older", 299),
            _feedback("kept", "new", 88),
            _feedback("others", "other", 399),
            _feedback("on nothing", "never captured", 91),
            _feedback("on nothing yet", "not captured yet", 0),
        ],
    )
    made.append("measurements", [{"id": "m", "time": NOW - timedelta(days=400), "n": 1}])
    yield made


def test_the_old_rows_of_a_model_go_and_take_their_feedback_along(
    spool: Path, traffic: Traffic
) -> None:
    seen = prune(spool, traffic, bundles=[DESK], before=LIMIT, dry_run=True)
    assert (seen.interactions, seen.shadows, seen.feedback) == (2, 1, 3)
    assert seen.bytes_before == seen.bytes_after > 0
    assert len(_ids(traffic, "interactions")) == 5

    done = prune(spool, traffic, bundles=[DESK], before=LIMIT)
    assert (done.interactions, done.shadows, done.feedback) == (2, 1, 3)
    assert _ids(traffic, "interactions") == ["new", "newer", "other"]
    assert _ids(traffic, "shadows") == ["new"]
    assert _ids(traffic, "embeddings") == ["new"]
    assert _ids(traffic, "feedback") == ["kept", "on nothing yet", "others"]
    assert _ids(traffic, "measurements") == ["m"]
    again = prune(spool, traffic, bundles=[DESK], before=LIMIT)
    assert (again.rows, again.bytes_before) == (0, done.bytes_after)


def test_their_text_is_in_no_file_any_more(spool: Path, traffic: Traffic, tmp_path: Path) -> None:
    prune(spool, traffic, bundles=[DESK], before=LIMIT)
    for file in (tmp_path / "traffic").rglob("*"):
        if file.suffix == ".parquet" and "_delta_log" not in file.parts:
            assert OLD_TEXT not in str(pl.read_parquet(file).to_dicts())
        elif file.is_file():
            assert OLD_TEXT.encode() not in file.read_bytes(), file.name


def test_bytes_are_given_back(spool: Path, traffic: Traffic) -> None:
    texts = (f"{number} {number**7} words" * 50 for number in range(2_000))
    traffic.append(
        "interactions", [_interaction(f"i{n}", 91, text=text) for n, text in enumerate(texts)]
    )
    done = prune(spool, traffic, bundles=[DESK], before=LIMIT)
    assert done.interactions == 2_002
    assert done.bytes_after < done.bytes_before / 3


def test_what_is_still_on_the_spool_is_no_exception(spool: Path, traffic: Traffic) -> None:
    writer = Spool(spool)
    kept = {"endpoint": "desk", "bundle": DESK, "status": 200, "messages": "[]", "request": "{}"}
    for name, when in (("spooled old", "2026-01-01"), ("spooled new", "2026-11-24")):
        record = Interaction(
            id=name, time=f"{when}T00:00:00.000Z", latency_ms=1, conversation="c", **kept
        )
        assert writer.append(encode(record)) is None
    edit = Feedback(
        id="e",
        time="2026-11-24T00:00:00.000Z",
        interaction="spooled old",
        kind="edit",
        value='"x"',
    )
    assert writer.append(encode(edit)) is None
    writer.close()
    assert prune(spool, traffic, bundles=[DESK], before=LIMIT).interactions == 3
    assert "spooled new" in _ids(traffic, "interactions")
    assert "e" not in _ids(traffic, "feedback")


def test_nothing_captured_is_nothing_removed(spool: Path, tmp_path: Path) -> None:
    empty = Traffic(str(tmp_path / "empty"))
    assert prune(spool, empty, bundles=[], before=LIMIT) == Pruned(
        before=LIMIT,
        interactions=0,
        shadows=0,
        feedback=0,
        bytes_before=0,
        bytes_after=0,
        dry_run=False,
    )


def test_a_run_that_was_stopped_is_finished_by_the_next(
    spool: Path, traffic: Traffic, tmp_path: Path
) -> None:
    class Failing(Traffic):
        def delete_where(self, table: Any, predicate: str) -> None:
            if table == "interactions":
                raise StoreError("stopped")
            super().delete_where(table, predicate)

    failing = Failing(str(tmp_path / "traffic"))
    with pytest.raises(StoreError, match="stopped"):
        prune(spool, failing, bundles=[DESK], before=LIMIT)
    assert _ids(traffic, "shadows") == ["new"]
    assert prune(spool, traffic, bundles=[DESK], before=LIMIT).interactions == 2
    assert prune(spool, traffic, bundles=[DESK], before=LIMIT).rows == 0
