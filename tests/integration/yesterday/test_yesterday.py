"""A workspace of the version before the rebuild opens, says the same, and goes on.

`workspace.tar.xz` was made by `made_by.py` with that version's code; both stay as they are.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import tuneloop
from tuneloop.cli.main import app
from tuneloop.errors import ConflictError
from tuneloop.project import Project
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.retraining.cycles import UNSAID

pytestmark = pytest.mark.timeout(240)

HERE = Path(__file__).parent
ADA, INES = {"TUNELOOP_ACTOR": "ada"}, {"TUNELOOP_ACTOR": "ines"}
NOW = {"seconds_ago", "oldest_days", "median_days"}
"""What is reported of the moment at which one looks."""
SINCE = {
    "data show": {"cases_wanted_by_the_decision"},
    "monitor history": {"bundle"},
    "people list": {"change suites"},
}
"""Command → what it has told since then beside what it told."""
RULES = {"add about 180 rows that it counts": "add about 181 rows that it counts"}
"""What that version advised → what today's rules do: one of the 30 rows is a correction, and such
rows decide nothing, however many are held out."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the team; the tests of this file go on in it one after the other."""
    folder = tmp_path_factory.mktemp("yesterday")
    with tarfile.open(HERE / "workspace.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    assert list((folder / "desk" / ".tuneloop" / "spool").glob("[!.]*"))
    return folder / "desk"


@pytest.fixture(autouse=True)
def there(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)


def run(*words: str, code: int = 0, **environment: str) -> Result:
    done = CliRunner().invoke(app, [*words], env=environment)
    assert done.exit_code == code, (words, done.output, done.exception)
    return done


def told(*words: str, code: int = 0, **environment: str) -> Any:
    return json.loads(run(*words, "--json", code=code, **environment).stdout)


def without(reported: Any, keys: Set[str]) -> Any:
    """A report without these keys, however deep they lie."""
    if isinstance(reported, dict):
        return {key: without(value, keys) for key, value in reported.items() if key not in keys}
    if isinstance(reported, list):
        return [without(value, keys) for value in reported]
    return reported


def by_todays_rules(reported: Any) -> Any:
    """The report with the advice that is given now."""
    if isinstance(reported, dict):
        return {key: by_todays_rules(value) for key, value in reported.items()}
    if isinstance(reported, list):
        return list(map(by_todays_rules, reported))
    return RULES.get(reported, reported) if isinstance(reported, str) else reported


def said() -> dict[str, Any]:
    """Command → what that version reported of the workspace."""
    found: dict[str, Any] = json.loads(Path("said.json").read_text())
    return found


def test_every_record_is_reported_as_that_version_did() -> None:
    before = said()
    assert len(before) > 20
    now = {words: told(*words.split()) for words in before}
    assert [words for words in before if not now[words]] == [], "every kind of record is there"
    for words, reported in before.items():
        known_then = without(now[words], NOW | SINCE.get(words, set()))
        assert known_then == by_todays_rules(without(reported, NOW)), words


@pytest.mark.parametrize(
    "words",
    ["status", "doctor", "config show", "bundle verify", "judge show", "alert channels"],
)
def test_what_depends_on_the_moment_is_answered(words: str) -> None:
    assert told(*words.split()) is not None
    assert run(*words.split()).stdout.strip()


def test_traffic_in_the_tables_and_in_the_spool_is_read() -> None:
    listed = told("traffic", "list", "--limit", "100")
    asked = [json.dumps(interaction["messages"]) for interaction in listed]
    assert len([text for text in asked if "question" in text]) == 15, "one was erased"
    assert len([text for text in asked if "Still in the spool" in text]) == 3
    items = told("review", "list", "--status", "all")
    corrected = next(item for item in items if item["kind"] == "correction")
    trace = told("traffic", "show", corrected["interaction"])
    assert trace["feedback"][0]["kind"] == "edit"
    assert trace["answered_by"]["bundle"] == said()["bundle show"]["id"]


def test_the_face_opens_it_too() -> None:
    before = said()
    loop = tuneloop.open("tuneloop.yaml", actor="ada")
    assert [bundle.id for bundle in loop.bundles()] == [b["id"] for b in before["bundle list"]]
    assert loop.audit.verify(head=before["audit head"]["digest"]).whole
    assert loop.dataset().digest == before["data show"]["digest"]
    assert {key.owner for key in loop.keys.listing()} == {"help-desk", "left"}
    loop.close()


def test_the_same_rows_are_prepared_of_it() -> None:
    """Under a digest of its own: the recipe names the code that prepared them."""
    told("prepare", **ADA)
    prepared, before = told("data", "show")["report"], said()["data show"]["report"]
    for key in ("content_digest", "rows_in", "rows_train", "rows_eval", "left_out"):
        assert prepared[key] == before[key], key


def test_an_item_still_waits_for_a_second_person() -> None:
    owed, *_ = told("review", "list", "--status", "second")
    first = run("review", "approve", owed["id"], "--reviewer", "ines", code=1)
    assert isinstance(first.exception, ConflictError), "she judged it in that version"


def test_going_back_and_forth() -> None:
    live, previous = told("status")["live"]["bundle"], told("status")["previous"]
    assert told("rollback", "-m", "there", **ADA)["bundle"] == previous
    assert told("rollback", "-m", "and back", **ADA)["bundle"] == live


def test_what_a_rollout_took_back_then_stays_out_now() -> None:
    loop = tuneloop.open("tuneloop.yaml", actor="ada")
    (refusal,) = loop.refusals("candidate")
    assert refusal.how == "taken back" and refusal.detail == "(enough)"
    assert loop.refusals("production") == ()
    assert loop.refusals("previous") == (), "a rollback that was undone then is undone"
    loop.close()


def test_the_cycle_that_waits_is_taken_up_and_ends() -> None:
    waiting = said()["cycle show latest"]
    told("approve", "candidate", "-m", "I tried it", **INES)
    project = Project.open(Path(), actor="ada")
    taken_up = CycleRecord.start(project, UNSAID)
    assert taken_up.id == waiting["id"]
    assert taken_up.step("train", never)["run"] == "run-1", "no step of it is done again"
    taken_up.close("finished", "It goes on.")
    project.close()
    assert told("cycle", "show")["status"] == "finished"
    assert told("audit", "verify", "--head", said()["audit head"]["digest"])["whole"]


def never() -> dict[str, Any]:
    raise AssertionError("it is done already")
