"""Sources that change: what is new is told with numbers, nothing is read twice or too early."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tuneloop.datasets import importing, source_watch, sources, versions
from tuneloop.datasets.source_watch import SourcesNow, SourceState, changed_since
from tuneloop.datasets.sources import Source
from tuneloop.hashing import digest_file
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.modelfile.sections.data import TaskSettings
from tuneloop.registry import tombstones
from tuneloop.workspace import Workspace

INTENTS = ("refund", "delivery", "human")
SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": list(INTENTS)}},
    "required": ["intent"],
}
WORDS = ("parcel", "invoice", "battery", "password", "radiator", "kettle", "order", "warranty")


def row(number: int, intent: str = "", **columns: Any) -> dict[str, Any]:
    question = f"{WORDS[number % 8]} {number * 7919} {WORDS[number // 8 % 8]}"
    answer = json.dumps({"intent": intent or INTENTS[number % 3]})
    return {"prompt": question, "completion": answer, **columns}


def rows(start: int, end: int) -> list[dict[str, Any]]:
    return [row(number) for number in range(start, end)]


def text(content: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(one) + "\n" for one in content)


class Watch:
    """A model with one version, and looks at its sources."""

    def __init__(self, workspace: Workspace, folder: Path, clock: Any, *sources: str) -> None:
        self.workspace, self.folder, self.clock = workspace, folder, clock
        self.model_file = ModelFile(
            path=folder / "tuneloop.yaml",
            settings=ModelSettings(
                name="desk",
                base="base",
                task=TaskSettings(output_schema=SCHEMA),
                data=DataSettings(sources=sources or ("data",)),
            ),
            origins={},
        )
        self.write("october.jsonl", rows(0, 120))
        self.version = versions.prepare(workspace, self.model_file)

    def write(self, name: str, content: list[dict[str, Any]] | str) -> Path:
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else text(content))
        return path

    def look(self) -> SourcesNow:
        """A look when everything has settled."""
        source_watch.look(self.workspace, self.model_file, self.version, now=self.clock.time)
        self.clock.advance(seconds=6)
        return source_watch.look(self.workspace, self.model_file, self.version, now=self.clock.time)

    def at(self, name: str) -> SourceState:
        (state,) = [one for one in self.look().sources if one.name.endswith(name)]
        return state


@pytest.fixture
def watch(workspace: Workspace, tmp_path: Path, clock: Any) -> Watch:
    return Watch(workspace, tmp_path / "desk", clock)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files whose content is read for a digest."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(sources, "digest_file", counted)
    yield names


def test_what_is_the_same_is_the_same(watch: Watch) -> None:
    assert [(one.name, one.state, one.rows_before) for one in watch.look().sources] == [
        ("data/october.jsonl", "same", 120)
    ]


def test_a_new_file_is_told_with_its_numbers(watch: Watch) -> None:
    content = rows(100, 200)
    content[16] = row(116, intent="refnd")
    content[30] = row(130, intent="nope")
    watch.write("november.jsonl", content)
    now = watch.look()
    (new,) = now.news
    assert (new.name, new.state, new.rows_before) == ("data/november.jsonl", "new", None)
    found = new.arrival
    assert found is not None and (found.rows, found.usable, found.fit) == (100, 98, "fits")
    assert len(found.new) == 79 and found.corrected == () and found.gone == 0, "100..119 are known"
    assert [(one.reason, one.rows, one.lines) for one in found.misfits] == [
        ("output_breaks_schema", 2, (17, 31))
    ]
    assert "'refnd' is not one of" in found.misfits[0].detail
    assert str(found).startswith(
        "100 rows, 98 usable, 2 do not fit the schema (first line 17); 79 new; "
    )
    assert now.learnable == 79


def test_a_changed_file_tells_new_corrected_and_gone_rows(watch: Watch) -> None:
    kept = versions.read_examples(watch.workspace, watch.version, "train")
    assert {example.source for example in kept} == {"data/october.jsonl"}
    changed = rows(0, 110) + rows(500, 507)
    changed[3] = row(3, intent="human" if row(3)["completion"] != row(0, "human") else "refund")
    changed[3]["completion"] = json.dumps({"intent": "human"})  # was refund
    watch.write("october.jsonl", changed)
    found = watch.at("october.jsonl").arrival
    assert found is not None
    assert (len(found.new), len(found.corrected), found.gone) == (7, 1, 10)
    assert found.conflicting == 0


def test_another_answer_beside_the_old_one_is_no_correction(watch: Watch) -> None:
    watch.write("november.jsonl", [row(3, intent="human"), row(700)])
    found = watch.at("november.jsonl").arrival
    assert found is not None
    assert (len(found.new), found.corrected, found.conflicting) == (1, (), 1)


def test_rows_of_two_files_count_once(watch: Watch) -> None:
    watch.write("november.jsonl", rows(200, 240))
    watch.write("december.jsonl", rows(220, 260))
    assert watch.look().learnable == 60


def test_rows_that_are_all_known_bring_nothing(watch: Watch) -> None:
    watch.write("copy.jsonl", list(reversed(rows(0, 120))))
    found = watch.at("copy.jsonl").arrival
    assert found is not None and found.fit == "nothing new" and not found.learnable
    with (watch.folder / "data/october.jsonl").open("a") as file:
        file.write("\n")
    assert watch.at("october.jsonl").arrival.fit == "nothing new"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "fit", "says"),
    [
        (text([{"q": "where", "status": 1}] * 60), "does not fit", "60 in no known form"),
        (text(rows(200, 210) + [row(n, "nope") for n in range(300, 330)]), "does not fit",
         "30 do not fit the schema (first line 11)"),
        ("\x1f\x8b not gzip", "does not fit", "1 left out"),
    ],
)  # fmt: skip
def test_another_kind_of_file_does_not_fit(watch: Watch, content: str, fit: str, says: str) -> None:
    watch.write("other.jsonl", content)
    state = watch.at("other.jsonl")
    assert state.arrival is not None and state.arrival.fit == fit
    assert says in str(state.arrival)
    assert not state.arrival.learnable


def test_a_file_that_cannot_be_read_says_why(watch: Watch) -> None:
    (watch.folder / "data/other.jsonl.gz").write_bytes(b"no gzip at all")
    state = watch.at("other.jsonl.gz")
    assert state.arrival is not None and state.arrival.fit == "cannot be read"
    assert "cannot be unpacked" in str(state.arrival)


def test_answers_that_lost_a_key_do_not_fit_though_no_schema_says_so(
    workspace: Workspace, tmp_path: Path, clock: Any
) -> None:
    watch = Watch(workspace, tmp_path, clock)
    free = watch.model_file.settings.model_copy(update={"task": TaskSettings()})
    watch.model_file = replace(watch.model_file, settings=free)
    watch.version = versions.prepare(workspace, watch.model_file)
    other = [dict(row(n), completion=json.dumps({"label": n % 3})) for n in range(200, 260)]
    watch.write("other.jsonl", other)
    found = watch.at("other.jsonl").arrival
    assert found is not None and (found.usable, found.lost) == (60, ("intent",))
    assert found.fit == "does not fit" and "answers have no more intent" in str(found)


def test_a_shift_and_a_missing_value_are_told(watch: Watch) -> None:
    watch.write("november.jsonl", [row(n, intent="refund") for n in range(200, 300)])
    found = watch.at("november.jsonl").arrival
    assert found is not None and found.fit == "fits"
    (shift,) = [check for check in found.checks if check.name == "answers: intent"]
    assert shift.verdict == "changed" and "33% → 100%" in shift.detail.replace("34%", "33%")
    assert "shifted, answers: intent" in str(found)


def test_a_file_that_is_being_written_waits(watch: Watch) -> None:
    def look() -> tuple[str, ...]:
        now = source_watch.look(
            watch.workspace, watch.model_file, watch.version, now=watch.clock.time
        )
        return tuple(one.state for one in now.sources if one.name.endswith("november.jsonl"))

    path = watch.write("november.jsonl", rows(200, 300))
    later = watch.clock.time.timestamp() + 1_000  # a clock that is not ours
    os.utime(path, (later, later))
    assert look() == ("being written",)
    watch.clock.advance(seconds=2)
    with path.open("a") as file:
        file.write(text(rows(300, 310)))
    watch.clock.advance(seconds=4)
    assert look() == ("being written",), "it grew"
    watch.clock.advance(seconds=6)
    assert look() == ("new",)


def test_an_old_file_that_was_copied_here_is_read_at_the_first_look(watch: Watch) -> None:
    path = watch.write("november.jsonl", rows(200, 300))
    an_hour_ago = watch.clock.time.timestamp() - 3_600
    os.utime(path, (an_hour_ago, an_hour_ago))
    now = source_watch.look(watch.workspace, watch.model_file, watch.version, now=watch.clock.time)
    assert [one.state for one in now.news] == ["new"]


def test_nothing_is_read_twice_in_vain(
    watch: Watch, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_read: list[str] = []
    real = source_watch.import_sources

    def counted(files: list[Source], *rest: Any, **options: Any) -> importing.Imported:
        rows_read.extend(source.name for source in files)
        return real(files, *rest, **options)

    monkeypatch.setattr(source_watch, "import_sources", counted)
    watch.write("november.jsonl", rows(200, 300))
    first, second = watch.look(), watch.look()
    assert first == second
    assert sorted(read) == ["november.jsonl", "october.jsonl"]
    assert rows_read == ["data/november.jsonl"]
    # Touched, and the same: its content is looked at, its rows are not.
    (watch.folder / "data/november.jsonl").touch()
    assert watch.look() == first
    assert read.count("november.jsonl") == 2 and len(rows_read) == 1
    # A third file leaves what is known of the second alone.
    watch.write("december.jsonl", rows(300, 400))
    assert watch.look().learnable == 200
    assert rows_read == ["data/november.jsonl", "data/december.jsonl"]


def test_a_memory_that_is_lost_or_broken_costs_a_look_and_changes_nothing(watch: Watch) -> None:
    watch.write("november.jsonl", rows(200, 300))
    first = watch.look()
    memory = watch.workspace.root / "sources/desk.json"
    for broken in (
        "",
        "{",
        "[]",
        '{"seen": {}, "arrivals": {"x": 1}}',
        '{"seen": {"x": {}}, "arrivals": {}}',
    ):
        memory.write_text(broken)
        assert watch.look() == first
    assert [path.name for path in memory.parent.iterdir()] == ["desk.json"]


def test_a_file_that_is_gone_is_told(watch: Watch) -> None:
    watch.write("november.jsonl", rows(200, 300))
    (watch.folder / "data/october.jsonl").unlink()
    gone = watch.at("october.jsonl")
    assert (gone.state, gone.rows_before, gone.arrival) == ("gone", 120, None)


def test_erased_rows_stay_erased_and_are_no_misfits(watch: Watch) -> None:
    watch.write("november.jsonl", rows(200, 260))
    assert watch.look().learnable == 60
    keys = watch.at("november.jsonl").arrival.new[:40]  # type: ignore[union-attr]
    with watch.workspace.records.begin() as tx:
        tombstones.plant(tx, keys, erasure="e1", now=watch.clock.time)
    found = watch.at("november.jsonl").arrival
    assert found is not None and (found.usable, len(found.new), found.fit) == (20, 20, "fits")
    assert [(one.reason, one.rows) for one in found.misfits] == [("erased", 40)]
    assert "600" not in found.misfits[0].detail


def test_other_settings_are_other_findings(watch: Watch) -> None:
    watch.write("november.jsonl", [row(n, "nope") for n in range(200, 260)])
    assert watch.at("november.jsonl").arrival.fit == "does not fit"  # type: ignore[union-attr]
    settings = watch.model_file.settings.model_copy(update={"task": TaskSettings()})
    watch.model_file = replace(watch.model_file, settings=settings)
    assert watch.at("november.jsonl").arrival.fit == "fits"  # type: ignore[union-attr]


def test_remote_files_are_watched_too(workspace: Workspace, tmp_path: Path, clock: Any) -> None:
    bucket, fs = f"/{uuid.uuid4().hex}", fsspec.filesystem("memory")
    fs.pipe(f"{bucket}/october.jsonl", text(rows(0, 120)).encode())
    watch = Watch(workspace, tmp_path, clock, f"memory:/{bucket}")
    assert [one.state for one in watch.look().sources] == ["same"]
    fs.pipe(f"{bucket}/november.jsonl", text(rows(200, 280)).encode())
    now = watch.look()
    assert [(one.name, one.state) for one in now.news] == [
        (f"memory://{bucket}/november.jsonl", "new")
    ]
    assert now.learnable == 80
    assert changed_since(workspace, watch.model_file, watch.version, now=clock.time) == (
        f"memory://{bucket}/november.jsonl",
    )
    fs.rm(bucket, recursive=True)
    assert {one.state for one in watch.look().sources} == {"gone"}


def test_a_store_that_does_not_answer_makes_nothing_gone(
    workspace: Workspace, tmp_path: Path, clock: Any
) -> None:
    watch = Watch(workspace, tmp_path / "desk", clock)
    data = watch.model_file.settings.data.model_copy(
        update={"sources": ("data/none*.csv", "http://127.0.0.1:9/x.jsonl?token=${NONE_SUCH}")}
    )
    settings = watch.model_file.settings.model_copy(update={"data": data})
    watch.model_file = replace(watch.model_file, settings=settings)
    october, away = watch.look().sources
    assert (october.name, october.state) == ("data/october.jsonl", "not reached")
    assert (away.name, away.state) == ("http://127.0.0.1:9/x.jsonl", "not reached")
    assert "NONE_SUCH" in away.problem and not watch.look().news


def test_status_names_what_changed_since_a_version(watch: Watch) -> None:
    def changed() -> tuple[str, ...]:
        watch.clock.advance(seconds=6)
        return changed_since(watch.workspace, watch.model_file, watch.version, now=watch.clock.time)

    changed()
    assert changed() == ()
    watch.write("november.jsonl", rows(200, 210))
    (watch.folder / "data/october.jsonl").unlink()
    changed()
    assert changed() == ("data/november.jsonl", "data/october.jsonl")


def test_settling_counts_from_the_file_or_from_the_first_look(clock: Any) -> None:
    second = timedelta(seconds=1)
    now = clock.time
    assert source_watch.is_settled(None, seen_at=now, now=now), "it appears whole"
    assert not source_watch.is_settled(now - second, seen_at=now, now=now)
    assert source_watch.is_settled(now - 5 * second, seen_at=now, now=now)
    ahead = now + 3_600 * second
    assert not source_watch.is_settled(ahead, seen_at=now - second, now=now)
    assert source_watch.is_settled(ahead, seen_at=now - 5 * second, now=now)
