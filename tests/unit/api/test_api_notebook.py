"""The guide to notebooks is run from top to bottom, on a desk that is live without a server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from live_desk import SCHEMA, capture, make_loop, put_live
from python_page import PARTS
from tuneloop.loop import Loop
from tuneloop.testing.judge import judge_script, verdict
from tuneloop.testing.upstream import ScriptedUpstream
from tuneloop.workspace import Workspace

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "notebook.md"
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """A desk with a judge, a golden suite and a channel; it answered all of last week."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNELOOP_WORKSPACE", raising=False)
    answer = '{"intent": "delivery"}'
    row = {"prompt": "Where is it?", "completion": answer}
    asked = [f"When will the {n * 7919} of {chr(97 + n) * 4} be there?" for n in range(20)]
    rows = [row, *({"prompt": text, "completion": answer} for text in asked)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "golden.jsonl").write_text(json.dumps(row) + "\n")
    labelled = {"prompt": "q", "answer": answer, "correct": True}
    (tmp_path / "labelled.jsonl").write_text(json.dumps(labelled) + "\n")
    workspace = Workspace.open(tmp_path / ".tuneloop")
    hook, judged = ScriptedUpstream(), ScriptedUpstream(judge_script(lambda _: verdict(5)))
    with hook, judged:
        made = make_loop(
            workspace,
            tmp_path,
            task={"output_schema": SCHEMA},
            judge={"base_url": judged.base_url, "model": "judge", "share": 1.0},
            evaluation={"suites": [{"name": "golden", "file": "golden.jsonl", "kind": "golden"}]},
            alerts={"notify": [f"json://127.0.0.1:{hook.port}/hook"]},
        )
        live = put_live(made, gates="g", verdict="passed", comparisons={})
        now = datetime.now(UTC)
        for age in (timedelta(hours=3), timedelta(days=7)):
            capture(made, 5, bundle=live.id, at=now - age, response=answer)
        yield made
    workspace.records.close()


def test_the_guide_runs_from_top_to_bottom(desk: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, GUIDE.name, "exec"), names)
    said = capsys.readouterr().out
    assert "not calibrated" not in said and "delivered" in said
    assert """['{"intent": "delivery"}']""" in said, "what the held-out rows expect"
    assert names["first"].id in {item.id for item in desk.review.listing(status="approved")}
    assert names["second"].id in {item.id for item in desk.review.listing(status="open")}
    assert desk.cycles.show().status == "cancelled"
    assert [person.name for person in desk.people.listing()] == ["ada", "ada", "ines", "ines"]
    assert [key.active for key in desk.keys.listing()] == [False]
    assert {event.actor for event in desk.audit.listing()} >= {"ada"}
    names["loop"].close()


def test_the_guide_shows_every_part() -> None:
    shown = set(re.findall(r"loop\.(\w+)\.\w+\(", "".join(BLOCKS)))
    assert shown == set(PARTS)
